"""A product that did not exist when the models were trained is proposed to others moments after its first visits."""

from __future__ import annotations

import time

import pytest
from tests.e2e.conftest import command

REASON = "Of interest in visits like yours that included old"


def visit(client, customer, *products):
    for product in products:
        status, _ = client.post({"customer_id": customer, "event_type": "view", "product_id": product})
        assert status == 202


def reason_for(client, customer, product):
    """Return why a product is in the customer's answer, None when it is not; and what is said to be missing."""
    answer = client.send("GET", f"/api/v1/recommendations?customer_id={customer}&context=browse")[1]
    reasons = {row["product_id"]: row["reason"] for row in answer["recommendations"]}
    return reasons.get(product), answer["metadata"]["degraded"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_product_of_this_minute_is_in_others_answers_beside_the_trained_models(serve, data, workers):
    """On every worker, with its true reason, and without anything said to be missing."""
    service = serve(data, workers)
    client = service.client()
    for number in range(5):
        visit(client, f"earlier-{number}", "old", f"known-{number}")
    assert command("refresh", "--data-dir", data).returncode == 0
    visit(client, "curious", "old")
    assert reason_for(client, "curious", "new")[0] is None
    for number in range(3):
        visit(client, f"today-{number}", "old", "new")
    for asker in [service.client() for _ in range(6)]:  # connections land on both workers
        while reason_for(asker, "curious", "new") != (REASON, []):  # each worker takes the model up within a second
            time.sleep(0.02)
    assert reason_for(client, "today-0", "new")[0] is None  # it is the page they are on
