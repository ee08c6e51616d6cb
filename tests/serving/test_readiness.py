"""What is ready and what is waited for, by the thresholds that the sources themselves go by."""

from __future__ import annotations

import pytest
from tests.realtime.conftest import Shop, two_worlds

from active_customers.core.product import Product
from active_customers.models.hybrid_model import LISTS_AT_LEAST
from active_customers.serving.readiness import Readiness

SOURCES = ["catalog", "similar", "live", "sessions", "related", "bought_together", "popular", "trending", "ranker"]


def report(shop: Shop):
    return Readiness(shop.store, shop.engine).report()


def active(shop: Shop) -> set[str]:
    return {source.source for source in report(shop).sources if source.active}


def source(shop: Shop, name: str):
    return next(source for source in report(shop).sources if source.source == name)


@pytest.fixture
def empty_shop() -> Shop:
    return Shop()


def test_an_empty_shop_is_told_what_each_source_needs(empty_shop):
    found = report(empty_shop)
    assert [each.source for each in found.sources] == SOURCES
    assert not any(each.active for each in found.sources)
    assert (found.model_version, found.products, found.customers, found.events) == ("none", 0, 0, 0)
    assert all(each.have < each.needs for each in found.sources)


def test_a_catalogue_alone_is_known_by_what_it_says(empty_shop):
    empty_shop.sell(Product("a", name="Oak board"), Product("b", name="Oak table"), Product("c", name="Lamp"))
    assert active(empty_shop) == {"catalog"}
    empty_shop.learn()
    assert active(empty_shop) == {"catalog", "similar"}
    assert source(empty_shop, "similar").have == 2


def test_a_shop_with_a_history_says_what_it_has_learned():
    shop = two_worlds()
    assert {"catalog", "sessions", "related", "bought_together", "popular"} <= active(shop)
    assert source(shop, "sessions").have == 26


def test_what_is_bought_together_waits_for_the_support_that_the_model_asks_for(empty_shop):
    empty_shop.session(1, ["a", "b"], "purchase")
    empty_shop.learn()
    waiting = source(empty_shop, "bought_together")
    assert (waiting.active, waiting.have, waiting.needs) == (False, 0, 1)
    assert "2 sessions bought both" in waiting.line
    assert "refresh" in waiting.line
    empty_shop.session(2, ["a", "b"], "purchase")
    empty_shop.learn("v2")
    assert source(empty_shop, "bought_together").active


def test_popularity_counts_the_sessions_of_the_most_popular_product(empty_shop):
    for number in range(1, 3):
        empty_shop.session(number, ["a"])
    empty_shop.learn()
    popular = source(empty_shop, "popular")
    assert (popular.active, popular.have, popular.needs) == (False, 2, 3)  # as this shop is configured
    empty_shop.session(3, ["a"])
    empty_shop.learn("v2")
    assert source(empty_shop, "popular").active


def test_the_trees_need_as_many_questions_as_the_model_asks_for():
    trees = source(two_worlds(), "ranker")
    assert (trees.needs, trees.active) == (LISTS_AT_LEAST, False)


def test_it_is_printed_as_a_table():
    lines = report(two_worlds()).lines()
    assert lines[0].endswith("model v1")
    assert len(lines) == 1 + len(SOURCES)
    assert any(line.startswith("  active   sessions") for line in lines)
    assert any(line.startswith("  waiting  ranker") and "works from 20 " in line for line in lines)
