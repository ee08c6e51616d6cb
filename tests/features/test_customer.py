"""What the acts say of customers: rhythm, tastes, and what they did with each product."""

from __future__ import annotations

from math import log

import pytest

from active_customers.core.clock import DAY, parse_time
from active_customers.core.event import EventType
from active_customers.features.acts import acts_table, products_table
from active_customers.features.compute import number
from active_customers.features.customer import customer_features, customer_taste, pair_features

NOON = parse_time("2025-01-15T12:00:00Z")
SHOP = [
    {"product": 0, "category": "Shoes", "brand": "Mare", "price": 10.0},
    {"product": 1, "category": "Shoes", "price": 10.0},
    {"product": 2, "category": "Hats", "price": 40.0},
    {"product": 3},
]


@pytest.fixture
def visits(make_acts):
    """Three visits of customer 7, ten days apart, the last a day ago, with purchases in the first two."""
    kinds = (EventType.VIEW, EventType.CART_ADD, EventType.PURCHASE)
    rows = [
        {"customer": 7, "session": visit, "product": 2 * (kind is EventType.VIEW), "time": days, "event_type": kind}
        for visit, days in enumerate((NOON - 21 * DAY, NOON - 11 * DAY, NOON - DAY))
        for kind in kinds[: 3 - visit // 2]
    ]
    return make_acts(*rows, {"customer": 8, "product": 1, "session": 9, "time": NOON - 2 * DAY})


def test_a_customers_rhythm_is_told_in_days(visits, computed):
    seventh, eighth = computed(customer_features(acts_table(), NOON), visits)
    assert seventh == {
        "customer": 7,
        "sessions": 3,
        "views": 3,
        "carts": 3,
        "purchases": 2,
        "visit_gap": 10,
        "purchase_gap": 10,
        "visited": 1,
        "purchased": 11,
    }
    assert (eighth["visit_gap"], eighth["purchase_gap"], eighth["visited"], eighth["purchased"]) == (
        None,
        None,
        2,
        None,
    )


def test_pairs_tell_what_a_customer_did_with_a_product(visits, computed):
    rows = [tuple(row.values()) for row in computed(pair_features(acts_table(), NOON), visits)]
    assert rows == [(7, 0, 0, 3, 2, 1), (7, 2, 3, 0, 0, 1), (8, 1, 1, 0, 0, 2)]


def test_tastes_are_shares_of_acts_on_products_that_have_the_attribute(visits, computed):
    rows = computed(customer_taste(acts_table(), products_table(), NOON), visits, SHOP)
    seventh = {(row["attribute"], row["value"]): row["share"] for row in rows if row["customer"] == 7}
    assert seventh == {
        ("brand", "Mare"): 1,
        ("category", "Hats"): pytest.approx(3 / 8),
        ("category", "Shoes"): pytest.approx(5 / 8),
        ("price", None): pytest.approx(log(4) * 3 / 8),
    }


def test_without_a_catalogue_there_are_no_tastes(visits, computed):
    assert computed(customer_taste(acts_table(), products_table(), NOON), visits) == []


DEFINITIONS = [customer_features, pair_features, lambda acts, as_of: customer_taste(acts, products_table(), as_of)]


@pytest.mark.parametrize("define", DEFINITIONS)
def test_acts_from_the_time_asked_about_on_change_nothing(define, visits, computed):
    early = NOON - 11 * DAY
    known = computed(define(acts_table(), early), visits.filter(visits["time"].to_numpy() < early), SHOP)
    assert computed(define(acts_table(), early), visits, SHOP) == known != []
    assert computed(define(acts_table(), NOON), visits, SHOP) != known


@pytest.mark.parametrize("define", DEFINITIONS)
@pytest.mark.parametrize("as_of", [NOON - 11 * DAY, NOON])
def test_a_time_said_when_a_definition_runs_is_as_one_written_into_it(define, as_of, visits, computed):
    said = computed(define(acts_table(), number("as_of")), visits, SHOP, as_of=as_of)
    assert said == computed(define(acts_table(), as_of), visits, SHOP)
