"""The rulebook between threads and failures: what it hands over is whole, the newest there is, and never lost."""

from __future__ import annotations

import numpy as np
import pytest
from tests.realtime.conftest import GARDEN, Shop, two_worlds
from tests.realtime.test_rules import rule, stocked

from active_customers.catalog.rule_schema import RuleIn
from active_customers.core.event import Channel, Context
from active_customers.core.product import Product
from active_customers.realtime.rules import Rulebook
from active_customers.realtime.schemas import Query


def some_rule():
    return RuleIn.read({"name": "counted", "kind": "exclude", "filter": "brand = Nobody"}).rule()


def handed(shop: Shop) -> np.ndarray:
    standing = shop.engine.rules.applied(Context.HOME, Channel.WEB).standing
    assert standing is not None
    return standing


@pytest.mark.parametrize("looks", ["a count", "an explanation"])
def test_who_looks_at_products_between_two_rounds_keeps_nothing_from_the_answers(looks):
    shop = two_worlds()
    rule(shop, "no-x", "exclude", filter="brand = X")
    assert len(handed(shop)) > 0
    shop.sell(*(Product(f"x{number}", brand="X") for number in range(4_200)))
    shop.products("anna")  # the table has grown: it is handed over with what is known by then
    if looks == "a count":
        shop.engine.rules.count(some_rule())
    else:
        shop.explain("anna", "x7")
    shop.engine.rules.follow()
    assert len(handed(shop)) > shop.store.catalog.product_number("x4199")
    assert not {product for product in shop.products("anna", n=50) if str(product).startswith("x")}


def test_a_pinned_product_that_comes_with_a_count_in_between_is_there():
    shop = stocked()
    rule(shop, "hero", "pin", product_ids=["coming"])
    shop.sell(Product("coming"))
    shop.engine.rules.count(some_rule())
    shop.engine.rules.follow()
    assert shop.products("anna", n=2)[0] == "coming"


def test_a_change_that_could_not_be_taken_up_is_taken_up_the_next_time():
    shop = stocked()
    shop.sell(Product("late", brand="Oak"))
    catalog = shop.store.catalog
    product, shop.store.catalog.product = catalog.product, broken
    shop.store.rules.change(
        {"no-oak": RuleIn.read({"name": "no-oak", "kind": "exclude", "filter": "brand = Oak"}).record()}
    )
    with pytest.raises(OSError, match="not readable"):
        shop.engine.rules.follow()
    shop.store.catalog.product = product
    shop.engine.rules.follow()
    assert set(GARDEN).isdisjoint(shop.products("anna", n=50))


def broken(number: int) -> Product:
    raise OSError(f"product {number} is not readable")


def test_until_the_catalogue_is_read_a_filter_lets_nothing_through_and_the_answer_says_why():
    shop = stocked()
    shop.engine.rules = Rulebook(shop.store, shop.engine.cards.table, shop.clock)
    query = Query(customer_id="anna", n=5, filter="brand = Oak")
    early = shop.engine.recommend(query)
    assert early.products() == []
    assert early.degraded == ["catalogue_index", "no_products"]
    assert shop.engine.recommend(query._replace(filter="")).size == 5
    for _ in range(2):  # the first look, before any answer, reads nothing where there are no rules
        assert "catalogue_index" in shop.engine.recommend(query).degraded
        shop.engine.rules.follow()
    late = shop.engine.recommend(query)
    assert late.size > 0
    assert "catalogue_index" not in late.degraded
