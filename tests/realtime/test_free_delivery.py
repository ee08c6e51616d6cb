"""What a cart lacks until its delivery is free is told, and what would close the gap comes earlier."""

from __future__ import annotations

import pytest

from active_customers.core.clock import DAY
from active_customers.core.product import Product
from active_customers.realtime.context_engine import ShopConfig
from active_customers.realtime.free_delivery import FreeDelivery

PRICES = {"k0": 10.0, "k1": 12.5, "k2": 5.0, "k3": 31.0, "k4": 4.0, "g0": 20.0, "g1": 35.0, "g2": 90.0}


@pytest.fixture
def priced(shop):
    """A shop that delivers free from 50, with prices for most of what it has."""
    shop.sell(*(Product(product, price=price, currency="EUR", replenishable=True) for product, price in PRICES.items()))
    config = ShopConfig(free_delivery_from=50, gap_factor=10, gap_reach=1.5)
    shop.engine.delivery = FreeDelivery(config, shop.cards.prices_of)
    return shop


def gap_of(shop, customer, context="cart"):
    return shop.ask(customer, context=context)["metadata"].get("free_delivery")


def test_what_is_missing_is_told_with_quantities_at_the_prices_of_the_moment(priced):
    priced.act("anna", "cart_add", "k0", quantity=2)
    priced.act("anna", "cart_add", "k1")
    assert gap_of(priced, "anna") == {"from": 50.0, "cart_value": 32.5, "missing": 17.5}
    priced.sell(Product("k0", price=5.0, currency="EUR"))
    assert gap_of(priced, "anna", "checkout") == {"from": 50.0, "cart_value": 22.5, "missing": 27.5}


def test_nothing_is_missing_from_the_threshold_on(priced):
    priced.act("anna", "cart_add", "k0", quantity=5)
    assert gap_of(priced, "anna") == {"from": 50.0, "cart_value": 50.0, "missing": 0.0}


def test_what_closes_the_gap_comes_before_what_is_cheaper_or_far_dearer(priced):
    """31 and 35 lie between the 30 that are missing and one and a half times that."""
    priced.act("anna", "cart_add", "g0")
    shown = priced.products("anna", context="cart", n=11)
    assert set(shown[:2]) == {"k3", "g1"}
    assert sorted(shown) == sorted({*PRICES, "g3", "g4", "rare"} - {"g0"})


def test_scores_fall_and_stay_below_1_where_products_are_preferred(priced):
    priced.act("anna", "cart_add", "g0")
    scores = [row["score"] for row in priced.ask("anna", context="cart", n=11)["recommendations"]]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] <= 1


def test_a_product_from_behind_the_end_of_a_short_answer_may_close_the_gap(priced):
    priced.act("anna", "cart_add", "g0")
    without = ShopConfig(free_delivery_from=50, gap_factor=1)
    plain = FreeDelivery(without, priced.cards.prices_of)
    priced.engine.delivery, preferring = plain, priced.engine.delivery
    [*_, behind] = priced.products("anna", context="cart", n=4)
    priced.sell(Product(behind, price=30.0, currency="EUR"))
    assert behind not in priced.products("anna", context="cart", n=3)
    priced.engine.delivery = preferring
    assert behind in priced.products("anna", context="cart", n=3)


@pytest.mark.parametrize("context", ["home", "browse", "discover"])
def test_other_pages_say_nothing_of_it(priced, context):
    priced.act("anna", "cart_add", "k0")
    assert gap_of(priced, "anna", context) is None


def test_an_empty_or_forgotten_cart_has_no_gap(priced):
    assert gap_of(priced, "nobody") is None
    priced.act("anna", "cart_add", "k0")
    priced.clock.advance(31 * DAY)
    assert gap_of(priced, "anna") is None


def test_a_cart_with_a_line_of_unknown_price_has_no_known_value(priced):
    for product in ("k0", "rare"):
        priced.act("anna", "cart_add", product)
    assert gap_of(priced, "anna") is None


def test_a_shop_that_sets_no_threshold_says_nothing(shop):
    shop.act("anna", "cart_add", "k0")
    assert gap_of(shop, "anna") is None
