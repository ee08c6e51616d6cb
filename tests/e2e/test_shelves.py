"""Shelves with real processes: pages, rows and searches over HTTP, as the docs say."""

from __future__ import annotations

import time

from tests.e2e.conftest import Client
from tests.e2e.test_catalogue import change, run_example


def page(client: Client, customer: str) -> dict[str, list[object]]:
    """Return the products of each shelf of a page, as this connection's worker gives it."""
    status, answer = client.send("GET", f"/api/v1/homepage?customer_id={customer}&shelves=10")
    assert status == 200
    return {shelf["code"]: [row["product_id"] for row in shelf["products"]] for shelf in answer["shelves"]}


def test_the_example_of_the_docs_runs(serve, data):
    assert run_example(serve(data).client(), "shelves") == 10


def test_what_a_customer_does_is_on_the_next_page_of_every_worker(serve, data):
    service = serve(data, workers=2)
    clients = [service.client() for _ in range(6)]
    for product in ("pan", "pot"):
        change(clients[0], "PUT", product, name=product.title(), price=10, category="Kitchen")
    clients[0].post({"customer_id": "ada", "event_type": "view", "product_id": "pan"})
    assert [page(client, "ada")["continue"] for client in clients] == [["pan"]] * len(clients)
    change(clients[1], "PATCH", "pan", price=8)
    clients[2].post({"customer_id": "ada", "event_type": "purchase", "product_id": "pot"})
    until = time.monotonic() + 1.0
    while not all(page(client, "ada").get("price_drop") == ["pan"] for client in clients):
        assert time.monotonic() < until
    change(clients[3], "PATCH", "pan", stock=0)
    while not all(page(client, "ada").get("price_drop") is None for client in clients):
        assert time.monotonic() < until + 1.0


def test_the_first_answers_after_a_start_know_categories_and_words(serve, data):
    service = serve(data, workers=2)
    change(service.client(), "PUT", "pan", name="Pan", category="Kitchen")
    change(service.client(), "PUT", "rake", name="Rake", category="Garden")
    service.stop()
    service.start()
    for client in [service.client() for _ in range(6)]:
        assert client.products("customer_id=ada&context=category&category=kitchen") == ["pan"]
        assert client.products("customer_id=ada&context=search&query=rake") == ["rake"]
