"""Answers that only certain products fit: categories, searches, what stands in for what is sold out; carts."""

from __future__ import annotations

import orjson
import pytest
from tests.conftest import NOW
from tests.realtime.conftest import GARDEN, KITCHEN, Shop

from active_customers.core.clock import HOUR, format_time
from active_customers.core.event import Channel
from active_customers.core.product import Product
from active_customers.realtime.schemas import MAX_N


@pytest.fixture
def shop(shop) -> Shop:
    """Kitchen and garden with categories, names and prices."""
    for place, product in enumerate(KITCHEN):
        named = Product(product, name=f"Steel pan {place}", category="Kitchen > Pans", brand="Mare", price=20 + place)
        shop.sell(named)
    for place, product in enumerate(GARDEN):
        shop.sell(Product(product, name=f"Steel rake {place}", category="Garden", tags=("autumn",), price=50 + place))
    return shop


def test_a_category_shows_its_products_and_those_below_and_no_others(shop):
    assert set(shop.products("nobody", context="category", category="kitchen", n=MAX_N)) == set(KITCHEN)
    assert set(shop.products("nobody", context="category", category="Kitchen>Pans", n=MAX_N)) == set(KITCHEN)
    assert set(shop.products("nobody", context="category", category="Garden", n=3)) < set(GARDEN)


def test_what_a_customer_did_decides_what_comes_first_in_a_category(shop):
    shop.session(80, ["k3", "k1"])
    shop.learn("v2")
    shop.act("anna", "view", "k3")
    shown = shop.ask("anna", context="category", category="Kitchen", n=5)["recommendations"]
    assert {row["product_id"] for row in shown} == set(KITCHEN)
    assert any(row["reason"].endswith(" Steel pan 3") for row in shown[:2])


def test_a_product_without_a_model_is_found_in_its_category(shop):
    shop.sell(Product("new", name="Wok", category="Kitchen > Woks"))
    shown = shop.products("nobody", context="category", category="Kitchen", n=MAX_N)
    assert shown[-1] == "new"
    assert len(shown) == len(set(shown)) == 6


def test_a_category_without_products_is_answered_as_the_home_page_and_says_so(shop):
    answer = shop.ask("nobody", context="category", category="Bath", n=5)
    assert answer["metadata"]["degraded"] == ["no_match"]
    assert len(answer["recommendations"]) == 5


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("pan", set(KITCHEN)),
        ("PANS", set(KITCHEN)),
        ("steel mare", set(KITCHEN)),
        ("autumn", set(GARDEN)),
        ("rake 3", {"g3"}),
        ("steel garden unheard", set(GARDEN)),
        ("kitchen", set(KITCHEN)),
    ],
)
def test_a_search_finds_by_words_of_name_brand_category_and_tags(shop, query, found):
    assert set(shop.products("nobody", context="search", query=query, n=MAX_N)) == found


def test_a_search_that_finds_nothing_says_so(shop):
    assert shop.ask("nobody", context="search", query="zzz")["metadata"]["degraded"] == ["no_match"]


def test_a_search_before_the_catalogue_was_read_says_so(shop):
    fresh = Shop()
    assert "catalogue_index" in fresh.ask("nobody", context="search", query="pan")["metadata"]["degraded"]


def test_what_is_sold_out_hidden_in_the_cart_or_excluded_is_not_found(shop):
    shop.act("anna", "cart_add", "k0")
    shop.act("anna", "hide", "k1")
    shop.sell(Product("k2", name="pan", category="Kitchen", stock=0))
    assert shop.products("anna", context="search", query="pan", exclude="k4") == ["k3"]
    assert shop.products("anna", context="category", category="Kitchen", exclude="k4") == ["k3"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("context=category", "category"),
        ("context=search", "query"),
        ("context=search&query=", "query"),
        ("context=out_of_stock", "product_id"),
        ("category=Kitchen", "category"),
        ("context=category&category=A&query=pan", "query"),
    ],
)
def test_a_context_without_what_it_is_about_is_refused_by_name(shop, query, field):
    reply = shop.reply_to_get(f"customer_id=a&{query}")
    document = orjson.loads(reply.body)
    assert (reply.status, document["field"]) == (400, field)
    assert document["remedy"]


def substitutes(shop: Shop, product: str, **parameters: object) -> list[object]:
    return shop.products("nobody", context="out_of_stock", product_id=product, **parameters)


def test_what_stands_in_for_a_product_is_of_its_kind_at_a_near_price(empty_shop):
    for product, category, price in (
        ("wanted", "Pans", 20),
        ("near", "Pans", 22),
        ("dear", "Pans", 90),
        ("rake", "Garden", 20),
    ):
        empty_shop.sell(Product(product, category=category, price=price))
    assert substitutes(empty_shop, "wanted") == ["near", "dear"]


def test_another_colour_that_can_be_had_comes_first_and_sold_out_ones_never(empty_shop):
    empty_shop.sell(
        Product("red", category="Pans", price=20, variant_group="pan", stock=0),
        Product("blue", category="Pans", price=20, variant_group="pan", stock=0),
        Product("green", category="Pans", price=24, variant_group="pan"),
        Product("other", category="Pans", price=20),
    )
    assert substitutes(empty_shop, "red") == ["green", "other"]


def test_what_is_looked_at_together_stands_in_where_there_is_no_catalogue():
    shop = Shop()
    for number in range(5):
        shop.session(number, ["a", "b"])
    shop.learn()
    answer = shop.ask("nobody", context="out_of_stock", product_id="a")
    assert [row["product_id"] for row in answer["recommendations"]] == ["b"]
    assert answer["recommendations"][0]["reason"] == "Of interest in the same visits as a"


def test_a_product_that_nothing_stands_in_for_is_answered_as_the_home_page_and_says_so(shop):
    answer = shop.ask("nobody", context="out_of_stock", product_id="unheard-of", n=3)
    assert answer["metadata"]["degraded"] == ["no_match"]
    assert len(answer["recommendations"]) == 3


def test_a_cart_is_not_completed_by_variants_of_what_is_in_it(shop):
    shop.sell(Product("k0", variant_group="one"), Product("k4", variant_group="one"))
    shop.act("anna", "cart_add", "k0")
    for context in ("cart", "checkout"):
        assert "k4" not in shop.products("anna", context=context, n=MAX_N)
    assert "k4" not in shop.shelf("anna", "complete_cart")
    assert "k4" in shop.products("anna", n=MAX_N)


def test_a_cart_is_not_completed_by_what_serves_the_same_need(shop):
    """k4 is bought with k0 in five sessions, so that it goes with it; the others only look like it."""
    shop.act("anna", "cart_add", "k0")
    shown = shop.products("anna", context="cart", n=MAX_N)
    assert shown[0] == "k4"
    assert set(shown) == {"k4", "rare", *GARDEN}


def test_products_of_one_category_at_prices_far_apart_may_be_bought_together(shop):
    shop.sell(Product("k2", category="Kitchen > Pans", price=90))
    shop.act("anna", "cart_add", "k0")
    assert "k2" in shop.products("anna", context="cart", n=MAX_N)


def test_a_cart_of_a_thousand_lines_is_completed(shop):
    for first in range(0, 1000, 500):
        events = [
            {"customer_id": "anna", "event_type": "cart_add", "product_id": f"line-{number}", "event_id": f"e{number}"}
            for number in range(first, first + 500)
        ]
        assert shop.post({"events": events})[0] == 202
    shop.act("anna", "cart_add", "k0", timestamp=format_time(NOW + 1_000_000))
    assert shop.products("anna", context="cart", n=1) == ["k4"]
    assert shop.shelf("anna", "complete_cart") == ["k4"]


def test_a_changed_name_or_category_is_found_by_what_it_says_now(shop):
    shop.sell(Product("k0", name="Kettle", category="Tea"))
    assert shop.products("nobody", context="search", query="kettle") == ["k0"]
    assert "k0" not in shop.products("nobody", context="search", query="pan", n=MAX_N)
    assert "k0" not in shop.products("nobody", context="category", category="Kitchen", n=MAX_N)


def test_what_is_like_a_product_leaves_out_its_variants(shop):
    shop.sell(Product("k0", category="Kitchen > Pans", variant_group="one"))
    shop.sell(Product("k4", category="Kitchen > Pans", variant_group="one"))
    found = shop.shelves.similar("k0", 20, Channel.WEB).recommendations()
    shown = {shop.store.catalog.product_id(row.product) for row in found}
    assert shown == {"k1", "k2", "k3"}
    assert {row.evidence for row in found} == {shop.store.catalog.product_number("k0")}


def test_refunds_are_taken_off_before_a_cart_is_completed(shop):
    shop.act("anna", "purchase", "k0", timestamp=format_time(NOW - HOUR))
    assert "k0" not in shop.products("anna", context="cart", n=MAX_N)
    shop.act("anna", "refund", "k0")
    assert "k0" in shop.products("anna", context="cart", n=MAX_N)
