"""Rules with real processes: what one worker was told, all workers go by within a second, and after any restart."""

from __future__ import annotations

import os
import re
import shlex
import signal
from pathlib import Path
from urllib.parse import quote

import orjson
import pytest
from tests.e2e.conftest import Client, Service, command
from tests.e2e.test_catalogue import change, shown, wait_until
from tests.e2e.test_processes import pid_of, wait_for_another

RULES = "/api/v1/rules"
NO_MARE = {"kind": "exclude", "filter": "brand = Mare"}


@pytest.fixture
def service(serve, data) -> Service:
    started = serve(data, workers=2)
    client = started.client()
    for product, brand, stock in (("pan", "Mare", 9), ("pot", "Oak", 9), ("lid", "Oak", 2)):
        change(client, "PUT", product, brand=brand, stock=stock)
    return started


def put(client: Client, name: str, rule: dict[str, object]) -> None:
    status, document = client.send("PUT", f"{RULES}/{name}", orjson.dumps(rule))
    assert status == 200, document


def test_a_rule_that_one_worker_was_told_is_in_every_workers_answers_within_a_second(service):
    clients = [service.client() for _ in range(8)]  # connections are shared out among the workers
    wait_until(clients, lambda rows: rows.keys() == {"pan", "pot", "lid"})
    put(clients[0], "no-mare", NO_MARE)
    wait_until(clients, lambda rows: rows.keys() == {"pot", "lid"})
    put(clients[1], "enough", {"kind": "include", "filter": "stock >= 3"})
    wait_until(clients, lambda rows: rows.keys() == {"pot"})
    change(clients[2], "PATCH", "lid", stock=3)
    wait_until(clients, lambda rows: rows.keys() == {"pot", "lid"})
    assert clients[3].send("DELETE", f"{RULES}/no-mare")[0] == 200
    wait_until(clients, lambda rows: rows.keys() == {"pan", "pot", "lid"})


def test_the_first_answer_after_a_restart_goes_by_the_rules(service):
    put(service.client(), "no-mare", NO_MARE)
    service.kill()
    service.start()
    assert shown(service.client()).keys() == {"pot", "lid"}
    pid = pid_of(service, "worker-1")
    os.kill(pid, signal.SIGKILL)
    wait_for_another(service, "worker-1", pid)
    for _ in range(8):
        assert shown(service.client()).keys() == {"pot", "lid"}


def test_while_the_committer_is_away_rules_are_kept_and_changes_are_refused(service):
    client = service.client()
    put(client, "no-mare", NO_MARE)
    pid = pid_of(service, "committer")
    os.kill(pid, signal.SIGKILL)
    status, _ = client.send("PUT", f"{RULES}/more", orjson.dumps(NO_MARE))
    assert status in (200, 503)  # it may be back already
    assert shown(client).keys() == {"pot", "lid"}
    wait_for_another(service, "committer", pid)


def test_the_command_checks_stores_and_shows_rules_beside_a_running_service(service, tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text('rules:\n  - {name: no-mare, kind: exclude, filter: "brand = Mare"}\n')
    assert command("rules", "check", path).stdout == "rules: 1, all valid\n"
    told = command("rules", "put", path, "--dry-run", "--data-dir", service.data)
    assert told.stdout == "no-mare  created  products: 1\nrules: 1, nothing was changed\n", told.stderr
    told = command("rules", "put", path, "--data-dir", service.data)
    assert told.stdout == "no-mare  created  products: 1\nrules: 1, stored\n", told.stderr
    wait_until([service.client() for _ in range(4)], lambda rows: rows.keys() == {"pot", "lid"})
    listed = command("rules", "show", "--data-dir", service.data)
    assert listed.stdout == "rules:\n- name: no-mare\n  kind: exclude\n  filter: brand = Mare\n"
    path.write_text("rules:\n  - {name: no-mare, kind: exclude, filter: brnd = Mare}\n")
    refused = command("rules", "put", path, "--data-dir", service.data)
    assert refused.returncode == 2
    assert "rules.yaml: rules[0].filter: 'brnd = Mare' is not valid: at character 1" in refused.stderr


def test_the_example_of_the_docs_runs(service):
    """Every request of the page is answered as the comment under it says."""
    page = (Path(__file__).parents[2] / "docs" / "rules.md").read_text()
    example = re.search(r"```sh\n(.*?)```", page, re.DOTALL)[1].replace("\\\n", " ")
    client, compared = service.client(), 0
    for request, told in re.findall(r"^curl (.*)\n# (.*)$", example, re.MULTILINE):
        words = shlex.split(request)
        method = words[words.index("-X") + 1] if "-X" in words else "GET"
        [address] = [word.removeprefix("http://127.0.0.1:8000") for word in words if word.startswith("http")]
        query = "".join(f"&filter={quote(word[7:])}" for word in words if word.startswith("filter="))
        body = words[words.index("-d") + 1].encode() if "-d" in words else None
        status, document = client.send(method, address + query, body)
        found = f"{status}: {document['detail']}" if status != 200 else orjson.dumps(document).decode()
        assert re.fullmatch(re.escape(told).replace(re.escape("..."), ".*"), found), (request, found)
        compared += 1
    assert compared == 6
