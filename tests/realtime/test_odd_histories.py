"""Whatever a shop's history looks like, models are fitted to it and every customer is answered on every page."""

from __future__ import annotations

import pytest
from tests.realtime.conftest import Shop

from active_customers.core.event import Context

HISTORIES = {
    "sessions of one act": [[f"p{number % 7}"] for number in range(60)],
    "one product, again and again": [["p0", "p0", "p0"] for _ in range(40)],
    "one act in all": [["p0"]],
    "two products that never meet": [[f"p{number % 2}"] * 2 for number in range(40)],
    "all sessions the same, so that all scores are": [["p0", "p1", "p2", "p3"] for _ in range(60)],
    "one session of everything": [[f"p{number % 400}" for number in range(3_000)]],
    "every product once": [[f"p{3 * number + place}" for place in range(3)] for number in range(100)],
}


@pytest.mark.parametrize("sessions", HISTORIES.values(), ids=HISTORIES.keys())
def test_an_odd_history_is_learned_from_and_answered(sessions):
    """All within less than a day for the short ones; answers hold known products, once each, best first."""
    shop = Shop()
    for number, products in enumerate(sessions):
        shop.session(number, products)
    shop.session(len(sessions) + 1, sessions[0][:1], "purchase")
    shop.learn()
    known = {product for products in sessions for product in products}
    shop.act("guest", "view", sessions[0][0])
    for customer in ("guest", "stranger", "shopper-0-view"):
        for context in (Context.HOME, Context.BROWSE, Context.CART, Context.CHECKOUT):
            answer = shop.ask(customer, context=context.word, n=10)
            products = [shown["product_id"] for shown in answer["recommendations"]]
            scores = [shown["score"] for shown in answer["recommendations"]]
            assert set(products) <= known
            assert len(set(products)) == len(products)
            assert scores == sorted(scores, reverse=True)
            if len(known) > 1:
                assert products
