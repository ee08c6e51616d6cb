"""A shop's first day: each page shows what is like it, and nobody's single act is on top of everybody's page."""

from __future__ import annotations

import pytest
from tests.realtime.conftest import Shop

from active_customers.core.product import Product

BOARDS = [Product(f"board-{i}", name=f"Oak board {i}", category="Kitchen > Boards", price=20.0) for i in range(4)]
LAMPS = [Product(f"lamp-{i}", name=f"Desk lamp {i}", category="Office > Lamps", price=80.0) for i in range(4)]


@pytest.fixture
def described(empty_shop) -> Shop:
    """A catalogue that was refreshed, and no event."""
    empty_shop.sell(*BOARDS, *LAMPS)
    empty_shop.learn()
    return empty_shop


def test_a_page_shows_what_the_catalogue_describes_alike(described):
    for kind, product in (("board", "board-1"), ("lamp", "lamp-2")):
        answer = described.ask("anna", context="browse", product_id=product, n=3)
        assert {row["product_id"].partition("-")[0] for row in answer["recommendations"]} == {kind}
        assert all(row["reason"].startswith("Similar to ") for row in answer["recommendations"])
        assert answer["metadata"]["degraded"] == []


def test_a_customer_who_looked_at_something_is_shown_alike_products_everywhere(described):
    described.act("anna", "view", "board-0")
    shown = described.products("anna", n=4)
    assert {"board-1", "board-2", "board-3"} < set(shown)
    assert described.products("bob", n=4) != shown


def test_one_customers_act_changes_nobody_elses_page(described):
    before = described.products("bob", n=8)
    described.act("anna", "view", "board-0")
    described.learn("v2")
    assert described.products("bob", n=8) == before


def test_what_several_customers_looked_at_comes_up(described):
    for customer in ("anna", "carl"):
        described.act(customer, "view", "board-0")
    described.learn("v2")
    best = described.ask("bob", n=1)["recommendations"][0]
    assert (best["product_id"], best["reason"]) == ("board-0", "Looked at by other customers of this shop")
