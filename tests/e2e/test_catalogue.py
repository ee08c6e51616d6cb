"""The catalogue with real processes: what one worker was told, every worker's answers know."""

from __future__ import annotations

import os
import re
import shlex
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import pytest
from tests.e2e.conftest import Client, Service
from tests.e2e.test_processes import pid_of, wait_for_another


@pytest.fixture
def service(serve, data) -> Service:
    return serve(data, workers=2)


def change(client: Client, method: str, product: str, **fields: object) -> None:
    status, document = client.send(method, f"/api/v1/products/{product}", orjson.dumps(fields))
    assert status == 200, document


def shown(client: Client) -> dict[str, dict[str, object]]:
    """Return the rows of the answer to a customer by product, as this connection's worker gives it."""
    _, answer = client.send("GET", "/api/v1/recommendations?customer_id=bob&n=100")
    return {row["product_id"]: row for row in answer["recommendations"]}


def wait_until(clients: list[Client], holds) -> None:
    """Wait until the answers of all connections are as they should be: within a second of the change."""
    until = time.monotonic() + 1.0
    while not all(holds(shown(client)) for client in clients):
        assert time.monotonic() < until


def run_example(client: Client, name: str) -> int:
    """Send the requests of the example on a page of the docs; return how many were answered as it says.

    What is read may take a second until it is there.
    """
    page = (Path(__file__).parents[2] / "docs" / f"{name}.md").read_text()
    example = re.search(r"```sh\n(.*?)```", page, re.DOTALL)[1].replace("\\\n", " ")
    compared = 0
    for request, told in re.findall(r"^curl (.*)\n# (.*)$", example, re.MULTILINE):
        words = shlex.split(request)
        method = words[words.index("-X") + 1] if "-X" in words else "GET"
        [path] = [word.removeprefix("http://127.0.0.1:8000") for word in words if word.startswith("http")]
        body = words[words.index("-d") + 1].encode() if "-d" in words else None
        until = time.monotonic() + (3.0 if method == "GET" else 0.0)
        while not re.fullmatch(
            re.escape(told).replace(re.escape("..."), ".*"), found := answered(client, method, path, body)
        ):
            assert time.monotonic() < until, (request, found)
            time.sleep(0.1)
        compared += 1
    return compared


def answered(client: Client, method: str, path: str, body: bytes | None) -> str:
    status, document = client.send(method, path, body)
    return f"{status}: {document['detail']}" if status >= 400 else orjson.dumps(document).decode()


def test_what_is_sold_out_or_hidden_leaves_every_workers_answers_within_a_second(service):
    clients = [service.client() for _ in range(8)]  # connections are shared out among the workers
    for product in ("pan", "pot"):
        clients[0].post({"customer_id": "ada", "event_type": "view", "product_id": product})
        change(clients[0], "PUT", product, name=product.title(), price=10, stock=3)
    wait_until(clients, lambda rows: rows.keys() == {"pan", "pot"})
    change(clients[1], "PATCH", "pan", stock=0)
    wait_until(clients, lambda rows: rows.keys() == {"pot"})
    change(clients[2], "PATCH", "pot", hidden=True)
    wait_until(clients, lambda rows: not rows)
    change(clients[3], "PATCH", "pot", hidden=False, sale_price=7.5)
    wait_until(clients, lambda rows: rows.keys() == {"pot"} and rows["pot"]["price"] == 7.5)
    change(clients[4], "DELETE", "pot")
    wait_until(clients, lambda rows: not rows)


def test_the_example_of_the_docs_runs(service):
    """Every request of the page is answered as the comment under it says."""
    assert run_example(service.client(), "catalogue") == 5


def test_a_change_that_was_answered_outlives_the_committer_and_the_service(service):
    client = service.client()
    change(client, "PUT", "pan", stock=1)
    change(client, "PUT", "pot", stock=0)
    pid = pid_of(service, "committer")
    os.kill(pid, signal.SIGKILL)
    wait_for_another(service, "committer", pid)
    wait_until([client], lambda rows: rows.keys() == {"pan"})
    service.kill()
    service.start()
    again = service.client()
    assert shown(again).keys() == {"pan"}
    assert again.send("GET", "/api/v1/products/pot")[1]["current"]["availability"] == "out_of_stock"


def test_while_the_committer_is_away_changes_are_refused_and_products_can_be_read(service):
    client = service.client()
    change(client, "PUT", "pan", stock=1)
    pid = pid_of(service, "committer")
    os.kill(pid, signal.SIGSTOP)
    with ThreadPoolExecutor() as pool:
        try:
            assert client.send("GET", "/api/v1/products/pan")[0] == 200
            waiting = pool.submit(service.client().send, "PUT", "/api/v1/products/pot", b"{}")
            time.sleep(0.2)
        finally:
            os.kill(pid, signal.SIGKILL)
        assert waiting.result()[0] == 503
    wait_for_another(service, "committer", pid)
