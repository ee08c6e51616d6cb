"""What is due again, measured on baskets whose rhythm is known."""

from __future__ import annotations

import pytest
from tests.evaluation.made import BUY, events

from active_customers.evaluation.due_again import measure
from active_customers.evaluation.next_basket import next_basket

D = 24 * 60
RULE = (30.0, 0.25)


def orders(customer: str, product: int, *days: float) -> list[tuple]:
    return [(customer, "s", product, day * D, BUY, f"{customer}{product}-{day}") for day in days]


def test_what_comes_every_few_weeks_is_foretold_where_what_is_popular_is_not():
    """Each customer buys one product every ten days and looks in on day 60; what all bought yesterday is popular."""
    rows = []
    for number in range(8):
        customer = f"c{number}"
        rows += orders(customer, number, 30, 40, 50) + orders(customer, 99, 58) + orders(customer, number, 60.5)
    found = measure(next_basket([events(*rows)], 1.0), RULE, k=1)
    assert (found.questions, found.precision, found.precision_of_popular) == (8, 1.0, 0.0)
    apart = found.differences["precision"]
    assert (apart.mean, apart.interval) == (1.0, (1.0, 1.0))


def test_places_that_a_shelf_leaves_empty_count_as_wrong():
    rows = orders("a", 1, 0, 10, 20, 30.5) + orders("b", 2, 0, 1)
    found = measure(next_basket([events(*rows)], 1.0), RULE, k=4)
    assert found.precision == pytest.approx(0.25)
