"""Rotation over HTTP: what was seen so often goes from answers, and a look brings it back."""

from __future__ import annotations

from tests.e2e.test_catalogue import change

AFTER = 5
TWO_FOR_ADA = "customer_id=ada&n=2"


def test_a_product_seen_so_often_goes_and_comes_back_when_the_customer_looks_at_it(serve, data):
    client = serve(data).client()
    for product in ("pan", "pot", "lid", "jug"):
        change(client, "PUT", product, name=product.title(), price=10)
    first = client.products(TWO_FOR_ADA)
    for time in range(AFTER):
        assert client.products(TWO_FOR_ADA) == first
        seen = {"customer_id": "ada", "event_type": "impression", "product_ids": first, "event_id": f"seen-{time}"}
        assert client.post(seen) == (202, {"event_id": f"seen-{time}", "status": "accepted"})
    assert not set(client.products(TWO_FOR_ADA)) & set(first)
    client.post({"customer_id": "ada", "event_type": "view", "product_id": first[0]})
    assert first[0] in client.products(TWO_FOR_ADA)
    status, account = client.send("GET", f"/api/v1/explain?customer_id=ada&product_id={first[1]}&n=2")
    assert (status, account["not_shown"][0]["code"]) == (200, "rotated")
