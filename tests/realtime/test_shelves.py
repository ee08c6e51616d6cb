"""A page of shelves: each says what is true of this customer, none shows what another one does."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conftest import NOW
from tests.realtime.conftest import GARDEN, KITCHEN, SIGNER, Shop, two_worlds

from active_customers.core.clock import DAY, HOUR, MINUTE, SECOND, format_time
from active_customers.core.event import Channel
from active_customers.core.product import Product
from active_customers.core.shelf import Shelf
from active_customers.kernels.shelves import WORTH

KINDS = ["view", "cart_add", "cart_remove", "purchase", "refund", "hide", "wishlist_add"]


def at(days: float) -> str:
    """Return the time so many days ago."""
    return format_time(NOW - round(days * DAY))


def codes(shop: Shop, customer: object, **parameters: object) -> list[str]:
    return [shelf["code"] for shelf in shop.page(customer, **parameters)["shelves"]]


def titled(shop: Shop, customer: object, code: str) -> str:
    [title] = [s["title"] for s in shop.page(customer, shelves=10)["shelves"] if s["code"] == code]
    return title


def test_a_stranger_sees_what_is_popular(shop):
    page = shop.page("nobody")
    assert page["shelves"][0]["code"] == "popular"
    assert {row["reason"] for row in page["shelves"][0]["products"]} == {"Popular with customers of this shop"}
    assert page["metadata"]["degraded"] == []


def test_what_few_looked_at_is_not_called_popular(shop):
    assert "rare" in shop.shelf("nobody", "catalogue")
    assert "rare" not in shop.shelf("nobody", "popular")


def test_a_shop_without_events_shows_its_catalogue(empty_shop):
    empty_shop.sell(Product("pan", name="Pan"), Product("pot", stock=0))
    page = empty_shop.page("nobody")
    assert [shelf["code"] for shelf in page["shelves"]] == ["catalogue"]
    assert [row["product_id"] for row in page["shelves"][0]["products"]] == ["pan"]
    assert page["metadata"]["degraded"] == ["no_model"]


def test_a_shop_without_anything_says_so(empty_shop):
    page = empty_shop.page("nobody")
    assert page["shelves"] == []
    assert page["metadata"]["degraded"] == ["no_model", "no_products"]


def test_a_visit_goes_on_with_what_was_looked_at_and_not_bought_since(shop):
    for minute, product in enumerate(["k1", "g1", "k2", "k1"]):
        shop.act("anna", "view", product, timestamp=format_time(NOW - HOUR + minute * MINUTE))
    assert shop.shelf("anna", "continue") == ["k1", "k2", "g1"]
    shop.act("anna", "purchase", "k2")
    shop.act("anna", "cart_add", "k1")
    assert shop.shelf("anna", "continue") == ["g1"]
    shop.act("anna", "hide", "g1")
    assert shop.shelf("anna", "continue") == []


def test_what_was_looked_at_long_ago_is_not_continued(shop):
    shop.act("anna", "view", "k1", timestamp=at(31))
    shop.act("anna", "view", "rare", timestamp=at(25))
    assert shop.shelf("anna", "continue") == ["rare"]


def test_what_was_looked_at_after_it_was_bought_is_continued(shop):
    shop.act("anna", "purchase", "g1", timestamp=at(2))
    shop.act("anna", "view", "g1", timestamp=at(1))
    assert shop.shelf("anna", "continue") == ["g1"]


def test_because_you_viewed_names_the_newest_product_and_shows_its_world(shop):
    shop.act("anna", "view", "g2", timestamp=at(0.2))
    shop.act("anna", "view", "k1", timestamp=at(0.1))
    shown = shop.shelf("anna", "because_you_viewed", n=20)
    assert titled(shop, "anna", "because_you_viewed") == "Because you viewed Pan"
    assert shown
    assert set(shown) <= set(KITCHEN) - {"k1"}


def test_what_follows_from_a_purchase_says_so(shop):
    shop.act("anna", "purchase", "k1")
    assert titled(shop, "anna", "because_you_viewed") == "Because you bought Pan"


def test_a_name_in_a_title_is_proper_json(shop):
    shop.sell(Product("k1", name='The "best" pan\\'))
    shop.act("anna", "view", "k1")
    assert titled(shop, "anna", "because_you_viewed") == 'Because you viewed The "best" pan\\'


@pytest.mark.parametrize(
    ("days", "due"),
    [((60, 30), True), ((40, 30), True), ((5, 3), True), ((60, 1), False), ((31, 30.8), False), ((20,), False)],
)
def test_a_product_is_bought_again_by_the_customers_own_interval(shop, days, due):
    """Bought on two days, and a quarter of the time between has passed; within one day there is no interval."""
    for place, day in enumerate(days):
        shop.act("anna", "purchase", "k1", timestamp=format_time(NOW - round(day * DAY)), order_id=f"o{place}")
    assert (shop.shelf("anna", "buy_again") == ["k1"]) == due


def test_what_is_replenishable_is_due_again_after_the_first_time(shop):
    shop.act("anna", "purchase", "g1", timestamp=at(5))
    shop.act("ben", "purchase", "g1", timestamp=at(20))
    shop.act("ben", "purchase", "k1", timestamp=at(20))
    assert shop.shelf("anna", "buy_again") == []
    assert shop.shelf("ben", "buy_again") == ["g1"]
    assert titled(shop, "ben", "buy_again") == "Buy again"


def test_a_refund_takes_a_product_off_what_is_bought_again(shop):
    shop.act("ben", "purchase", "g1", timestamp=at(20), quantity=2)
    shop.act("ben", "refund", "g1", quantity=1)
    assert shop.shelf("ben", "buy_again") == ["g1"]
    shop.act("ben", "refund", "g1", quantity=1)
    assert shop.shelf("ben", "buy_again") == []


def test_a_cart_is_completed_by_what_was_bought_with_it(shop):
    shop.act("anna", "cart_add", "k0")
    assert codes(shop, "anna")[0] == "complete_cart"
    assert shop.shelf("anna", "complete_cart") == ["k4"]
    shop.act("anna", "cart_add", "k4")
    assert shop.shelf("anna", "complete_cart") == []


def test_a_price_that_fell_after_the_look_is_told(shop):
    shop.sell(Product("k1", name="Pan", price=40), Product("k2", price=10), Product("k3", price=10))
    shop.clock.advance(HOUR)
    for product in ("k1", "k2", "k3"):
        shop.act("anna", "view", product, timestamp=format_time(shop.clock.now()))
    shop.clock.advance(HOUR)
    shop.sell(Product("k1", name="Pan", price=40, sale_price=20), Product("k2", price=9), Product("k3", price=11))
    shop.act("ben", "view", "k1", timestamp=format_time(shop.clock.now() + SECOND))
    assert shop.shelf("anna", "price_drop") == ["k1", "k2"]
    assert shop.shelf("ben", "price_drop") == []
    [shelf] = [s for s in shop.page("anna")["shelves"] if s["code"] == "price_drop"]
    assert (shelf["products"][0]["price"], shelf["products"][0]["score"]) == (20.0, 0.5)
    assert shelf["products"][0]["reason"] == "Cheaper than when you looked at it"


def test_a_price_that_rose_and_fell_since_the_look_is_no_drop(shop):
    shop.sell(Product("k1", price=10))
    shop.clock.advance(HOUR)
    shop.act("anna", "view", "k1", timestamp=format_time(shop.clock.now()))
    for price in (20, 15):
        shop.clock.advance(HOUR)
        shop.sell(Product("k1", price=price))
    assert shop.shelf("anna", "price_drop") == []


def test_a_price_that_was_not_known_at_the_look_is_no_drop(shop):
    shop.act("anna", "view", "k2")
    for price in (20, 15):
        shop.clock.advance(HOUR)
        shop.sell(Product("k2", price=price))
    assert shop.shelf("anna", "price_drop") == []


def test_what_is_new_and_like_what_a_customer_acted_on_is_new_for_them(shop):
    shop.sell(
        Product("k1", name="Steel pan", category="Kitchen"),
        Product("fresh", name="Steel pan with lid", category="Kitchen", released=NOW - DAY),
        Product("old", name="Steel pan", category="Kitchen", released=NOW - 90 * DAY),
        Product("untouched", name="Steel pan, small", category="Kitchen"),
        Product("rake", name="Wooden rake", category="Garden", released=NOW - DAY),
    )
    shop.learn("v2")
    shop.act("anna", "view", "k1", timestamp=at(25))
    assert set(shop.shelf("anna", "new_for_you")) == {"fresh"}
    [shelf] = [s for s in shop.page("anna", shelves=10)["shelves"] if s["code"] == "new_for_you"]
    assert {row["reason"] for row in shelf["products"]} == {"Similar to Steel pan"}
    shop.act("anna", "view", "fresh", timestamp=at(24))
    assert "fresh" not in shop.shelf("anna", "new_for_you")


def trending_shop() -> Shop:
    """A shop in which all look at pans and pots for two weeks and at the wok and the rake for two days."""
    shop = Shop()
    for number in range(60):
        ago = at(3 + number % 12) if number < 40 else at(0.5)
        for product in ("pan", "pot") if number < 40 else ("wok", "rake"):
            shop.act(f"c{number}", "view", product, timestamp=ago)
    shop.sell(
        *(Product(p, name=p, category="Kitchen > Pans") for p in ("pan", "pot", "wok")),
        Product("rake", name="rake", category="Garden"),
    )
    shop.learn()
    return shop


def test_trends_are_those_of_the_customers_categories_where_there_are_any():
    shop = trending_shop()
    for product in ("pan", "wok"):  # so long ago that what follows from it stands below
        shop.act("anna", "view", product, timestamp=at(20))
    assert shop.shelf("anna", "trending") == ["wok"]
    assert titled(shop, "anna", "trending") == "Trending now in your categories"
    assert set(shop.shelf("nobody", "trending")) == {"wok", "rake"}
    assert titled(shop, "nobody", "trending") == "Trending now"


def test_variants_of_one_product_do_not_stand_on_a_page_twice(shop):
    shop.sell(*(Product(product, variant_group="one") for product in KITCHEN))
    shown = [row["product_id"] for s in shop.page("nobody", shelves=10, n=20)["shelves"] for row in s["products"]]
    assert len(set(shown) & set(KITCHEN)) == 1
    assert set(shown) >= set(GARDEN)


def test_the_evidence_of_an_act_fades_so_that_shelves_of_the_shop_come_first(shop):
    shop.act("anna", "view", "rare", timestamp=at(1))
    shop.act("ben", "view", "rare", timestamp=at(25))
    fresh, stale = codes(shop, "anna", shelves=10), codes(shop, "ben", shelves=10)
    assert fresh.index("continue") < fresh.index("popular")
    assert stale.index("continue") > stale.index("popular")


def test_shelves_of_equal_age_come_in_the_order_of_what_was_done():
    assert WORTH.tolist() == sorted(WORTH.tolist(), reverse=True)
    assert len(WORTH) == len(Shelf)


def test_titles_and_reasons_are_in_the_language_asked_for(shop):
    shop.act("anna", "view", "k1")
    titles = {shelf["code"]: shelf["title"] for shelf in shop.page("anna", lang="de")["shelves"]}
    assert titles["continue"] == "Weiter, wo Sie aufgehört haben"
    assert titles["because_you_viewed"] == "Weil Sie sich das angesehen haben: Pan"


def test_each_shelf_has_a_token_of_its_own_that_names_its_products(shop):
    shop.act("anna", "view", "k1")
    shelves = shop.page("anna")["shelves"]
    assert len(shelves) > 1
    for shelf in shelves:
        shown = SIGNER.verify(shelf["recommendation_id"])
        numbers = [shop.store.catalog.product_number(row["product_id"]) for row in shelf["products"]]
        assert [SIGNER.position(shown, "anna", number) for number in numbers] == list(range(len(numbers)))


def test_there_are_as_many_shelves_and_products_as_were_asked_for_at_most(shop):
    shop.act("anna", "cart_add", "k0")
    shop.act("anna", "view", "k1")
    page = shop.page("anna", shelves=2, n=1)
    assert [len(shelf["products"]) for shelf in page["shelves"]] == [1, 1]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", "customer_id"),
        ("customer_id=a&n=0", "n"),
        ("customer_id=a&n=21", "n"),
        ("customer_id=a&n=1&n=2", "n"),
        ("customer_id=a&shelves=11", "shelves"),
        ("customer_id=a&channel=fax", "channel"),
        ("customer_id=a&shelf=1", "shelf"),
    ],
)
def test_a_query_that_is_not_valid_is_answered_with_what_is_wrong(shop, query, field):
    reply = shop.pages.answer([], query.encode())
    assert reply.status == 400
    document = orjson.loads(reply.body)
    assert document["field"] == field
    assert document["remedy"]


acts = st.lists(
    st.tuples(st.sampled_from(KINDS), st.sampled_from([*KITCHEN, *GARDEN, "rare"]), st.floats(0, 60)), max_size=25
)
standings = st.dictionaries(st.sampled_from([*KITCHEN, *GARDEN]), st.sampled_from(["sold_out", "hidden"]), max_size=4)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(acts, standings)
def test_whatever_was_done_a_page_shows_nothing_twice_and_nothing_that_is_closed(rows, closed):
    shop = two_worlds()
    shop.sell(*(Product(p, stock=0 if why == "sold_out" else 1, hidden=why == "hidden") for p, why in closed.items()))
    cart, hidden = set(), set()
    for kind, product, days in sorted(rows, key=lambda row: -row[2]):
        shop.act("anna", kind, product, timestamp=at(days))
        if kind == "hide":
            hidden.add(product)
        if kind == "cart_add" and days < 29:
            cart.add(product)
        if kind in ("cart_remove", "purchase"):
            cart.discard(product)
    page = shop.page("anna", shelves=10, n=20)
    shown = [row["product_id"] for shelf in page["shelves"] for row in shelf["products"]]
    assert len(shown) == len(set(shown))
    assert all(shelf["products"] for shelf in page["shelves"])
    assert not set(shown) & (set(closed) | hidden | cart)


def test_recently_viewed_products_are_the_newest_first(shop):
    for day, product in ((3, "k1"), (2, "g1"), (1, "k1"), (0.5, "k2")):
        shop.act("anna", "view", product, timestamp=at(day))
    answer = shop.shelves.recently_viewed("anna", 2, Channel.WEB)
    assert [shop.store.catalog.product_id(row.product) for row in answer.recommendations()] == ["k2", "k1"]
    assert shop.shelves.recently_viewed("nobody", 2, Channel.WEB).size == 0
