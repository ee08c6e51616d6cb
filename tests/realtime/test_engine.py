"""Answers over a shop whose sessions are known: kitchen and garden never meet."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import NOW
from tests.realtime.conftest import GARDEN, KITCHEN, Shop, two_worlds

from active_customers.core.clock import DAY, HOUR, SECOND, format_time
from active_customers.core.event import TASTE_TYPES
from active_customers.core.product import Product, ProductChange
from active_customers.realtime.schemas import MAX_N

EVERYTHING = {*KITCHEN, *GARDEN, "rare"}
SEEN = "Looked at by other customers of this shop"
POPULAR = "Popular with customers of this shop"
TASTES = {kind.word for kind in TASTE_TYPES}
NAMES_EVIDENCE = re.compile(
    "(?:Of interest in visits like yours that included|Bought together with|Of interest in the same visits as) (.+)"
)


def test_what_a_customer_did_is_in_their_very_next_answer(shop):
    shop.act("anna", "view", "g0")
    assert set(shop.products("anna", n=4)) == set(GARDEN) - {"g0"}
    shop.act("anna", "view", "k0", timestamp=format_time(NOW + SECOND))
    assert set(shop.products("anna", n=4)) & set(KITCHEN)


def test_another_customers_answer_is_not_changed_by_it(shop):
    before = shop.ask("ben")
    shop.act("anna", "view", "g0")
    assert shop.products("ben") == [shown["product_id"] for shown in before["recommendations"]]


def test_a_product_on_the_page_is_not_proposed_and_steers_the_answer(shop):
    for page, world in (("g0", GARDEN), ("k0", KITCHEN)):
        assert set(shop.products("new", context="browse", product_id=page, n=4)) == set(world) - {page}


def test_without_a_page_the_last_product_viewed_is_taken_for_it(shop):
    shop.act("anna", "view", "k2")
    assert set(shop.products("anna", context="browse", n=4)) == set(KITCHEN) - {"k2"}
    assert "k2" in shop.products("anna", context="home", n=11)


def test_a_page_that_the_shop_never_mentioned_leaves_the_last_product_in(shop):
    shop.act("anna", "view", "k2")
    assert "k2" in shop.products("anna", context="browse", product_id="unheard-of", n=11)


def test_a_product_in_the_cart_is_not_proposed_until_it_is_taken_out(shop):
    shop.act("anna", "cart_add", "k0", quantity=2)
    assert "k0" not in shop.products("anna", n=MAX_N)
    shop.act("anna", "cart_remove", "k0")
    assert "k0" not in shop.products("anna", n=MAX_N)
    shop.act("anna", "cart_remove", "k0")
    assert "k0" in shop.products("anna", n=MAX_N)


def test_a_bought_product_comes_back_only_when_it_is_refunded(shop):
    shop.act("anna", "purchase", "k0", order_id="o1")
    assert "k0" not in shop.products("anna", n=MAX_N)
    shop.act("anna", "refund", "k0", order_id="o1")
    assert "k0" in shop.products("anna", n=MAX_N)


def test_a_replenishable_product_may_be_proposed_again(shop):
    shop.act("anna", "purchase", "g1")
    assert "g1" in shop.products("anna", n=MAX_N)


def test_where_customers_discover_nothing_is_shown_that_they_looked_at_in_any_visit(shop):
    shop.act("anna", "view", "k2", timestamp=format_time(NOW - 3 * HOUR))
    shop.act("anna", "purchase", "g1")
    found = shop.products("anna", context="discover", n=MAX_N)
    assert set(found) == EVERYTHING - {"k2", "g1"}
    assert set(found[:4]) == set(GARDEN) - {"g1"}


def test_hidden_and_excluded_products_are_not_proposed(shop):
    shop.act("anna", "hide", "k1")
    products = shop.products("anna", n=MAX_N, exclude=["g2", "k3", "unheard-of"])
    assert set(products) == EVERYTHING - {"k1", "g2", "k3"}


def test_an_answer_has_as_many_products_as_were_asked_for_if_the_shop_has_them(shop):
    for n in range(1, len(EVERYTHING) + 1):
        assert len(shop.products("anna", n=n)) == n
    assert set(shop.products("anna", n=MAX_N)) == EVERYTHING


@pytest.mark.parametrize("query", [{}, {"product_id": "unheard-of"}, {"product_id": "unheard-of", "context": "browse"}])
def test_a_stranger_gets_what_is_popular(shop, query):
    answer = shop.ask("nobody-knows", n=5, **query)
    assert [shown["reason"] for shown in answer["recommendations"]] == [POPULAR] * 5
    assert answer["recommendations"][0]["product_id"] in ("k0", "k4")
    assert answer["metadata"]["degraded"] == []


def test_what_is_rarely_seen_is_not_called_popular(shop):
    reasons = {shown["product_id"]: shown["reason"] for shown in shop.ask("new", n=MAX_N)["recommendations"]}
    assert reasons.pop("rare") == SEEN
    assert set(reasons.values()) == {POPULAR}


def test_in_the_cart_what_is_bought_together_comes_first(shop):
    shop.act("anna", "cart_add", "k0")
    for context in ("cart", "checkout"):
        first = shop.ask("anna", context=context)["recommendations"][0]
        assert (first["product_id"], first["reason"]) == ("k4", "Bought together with k0")
    assert shop.ask("anna")["recommendations"][0]["reason"] == "Of interest in visits like yours that included k0"


def test_the_reasons_evidence_is_named_as_the_catalogue_names_it(shop):
    shop.act("anna", "view", "k1")
    assert shop.ask("anna", n=1, context="browse")["recommendations"][0]["reason"].endswith("that included Pan")


def test_scores_never_rise_and_begin_with_one(shop):
    shop.act("anna", "view", "k0")
    shop.act("anna", "cart_add", "g0")
    for context in ("home", "browse", "cart", "checkout", "discover"):
        scores = [shown["score"] for shown in shop.ask("anna", n=MAX_N, context=context)["recommendations"]]
        assert scores == sorted(scores, reverse=True)
        assert scores[0] == 1
        assert scores[-1] > 0


def test_where_there_is_a_catalogue_only_its_products_fill_an_answer_up(empty_shop):
    empty_shop.sell(Product("pan"), Product("pot"))
    empty_shop.act("someone", "view", "typed-by-a-stranger")
    answer = empty_shop.ask("anna")
    assert [shown["product_id"] for shown in answer["recommendations"]] == ["pot", "pan"]
    assert {shown["reason"] for shown in answer["recommendations"]} == {"From the catalogue of this shop"}


def test_without_a_model_the_newest_products_of_the_catalogue_are_shown(empty_shop):
    for product in ("a", "b", "c"):
        empty_shop.act("someone", "view", product)
    answer = empty_shop.ask("anna", n=2)
    assert [shown["product_id"] for shown in answer["recommendations"]] == ["c", "b"]
    assert {shown["reason"] for shown in answer["recommendations"]} == {SEEN}
    assert answer["metadata"]["degraded"] == ["no_model"]
    assert answer["metadata"]["model_version"] == "none"


def test_a_shop_without_products_answers_with_an_empty_list_and_says_so(empty_shop):
    answer = empty_shop.ask("anna")
    assert answer["recommendations"] == []
    assert answer["metadata"]["degraded"] == ["no_model", "no_products"]


def test_products_newer_than_the_model_are_still_found(shop):
    shop.act("anna", "cart_add", "brand-new")
    shop.sell(Product("brand-new"))
    assert "brand-new" in shop.products("ben", n=MAX_N)
    assert len(shop.products("anna", context="cart", n=5)) == 5


def test_the_shortest_deadline_is_answered_in_full(shop):
    shop.act("anna", "view", "k0")
    answer = shop.ask("anna", n=8, deadline_ms=1)
    assert len(answer["recommendations"]) == 8
    assert answer["metadata"]["degraded"] in ([], ["deadline"])


def test_the_newest_model_is_in_force(shop):
    for number in range(200, 210):
        shop.session(number, ["k0", "g0"])
    shop.learn("v2")
    answer = shop.ask("new", context="browse", product_id="k0", n=5)
    assert answer["metadata"]["model_version"] == "v2"
    assert "g0" in [shown["product_id"] for shown in answer["recommendations"]]


@pytest.fixture(scope="module")
def lasting_shop() -> Shop:
    """One shop for all examples; each is a customer of its own."""
    return two_worlds()


def _met(shop: Shop) -> set[tuple[str, str]]:
    """Return the pairs of products that share a training session."""
    sessions: dict[int, set[str]] = {}
    for entry in shop.store.events.read(1, 10**6):
        if entry.event.customer_id.startswith("shopper-") and entry.event.event_type in TASTE_TYPES:
            sessions.setdefault(entry.session, set()).add(entry.event.product_id)
    return {(a, b) for products in sessions.values() for a in products for b in products}


products = st.sampled_from([*sorted(EVERYTHING), "unheard-of"])
histories = st.lists(
    st.tuples(
        st.sampled_from(
            ["view", "cart_add", "cart_remove", "purchase", "refund", "hide", "wishlist_add", "impression"]
        ),
        st.sampled_from(sorted(EVERYTHING)),
    ),
    max_size=8,
)
queries = st.fixed_dictionaries(
    {"n": st.integers(1, 15), "context": st.sampled_from(["home", "browse", "cart", "checkout", "discover"])},
    optional={
        "product_id": st.lists(products, min_size=1, max_size=2),
        "exclude": st.lists(products, min_size=1, max_size=4),
        "deadline_ms": st.just(1),
    },
)


def _forbidden(history: list[tuple[str, str]], query: dict) -> set[str]:
    """Return, by the plainest rules there are, what an answer may not hold."""
    cart: dict[str, int] = {}
    bought: dict[str, int] = {}
    hidden = set()
    for kind, product in history:
        if kind == "cart_add":
            cart[product] = cart.get(product, 0) + 1
        elif kind == "cart_remove":
            cart[product] = max(cart.get(product, 0) - 1, 0)
        elif kind == "purchase":
            cart[product] = 0
            bought[product] = bought.get(product, 0) + 1
        elif kind == "refund":
            bought[product] = max(bought.get(product, 0) - 1, 0)
        elif kind == "hide":
            hidden.add(product)
    kept = {p for p, quantity in cart.items() if quantity} | {
        p for p, quantity in bought.items() if quantity and p != "g1"
    }
    known = {product for kind, product in history if kind in TASTES and query["context"] == "discover"}
    return kept | hidden | known | {*query.get("exclude", []), *query.get("product_id", [])}


@settings(max_examples=150)
@given(history=histories, query=queries)
def test_any_answer_is_full_free_of_what_is_excluded_and_true(lasting_shop, history, query):
    shop = lasting_shop
    customer = f"customer-{shop.store.events.next_position()}"
    for place, (kind, product) in enumerate(history):
        shop.act(customer, kind, product, timestamp=format_time(NOW + place))
    answer = shop.ask(customer, **query)
    shown = [row["product_id"] for row in answer["recommendations"]]
    forbidden = _forbidden(history, query)
    assert not forbidden & set(shown)
    assert len(set(shown)) == len(shown)
    if query["context"] == "browse" and "product_id" not in query:
        forbidden |= {product for kind, product in history if kind in TASTES and product in EVERYTHING}
    assert min(query["n"], len(EVERYTHING - forbidden)) <= len(shown) <= query["n"]
    scores = [row["score"] for row in answer["recommendations"]]
    assert scores == sorted(scores, reverse=True)
    own = {product for _, product in history} | set(query.get("product_id", []))
    met = _met(shop)
    for row in answer["recommendations"]:
        named = NAMES_EVIDENCE.fullmatch(row["reason"])
        if row["reason"] == "You looked at this before":
            assert row["product_id"] in own
        elif named is None:
            assert row["reason"] in (POPULAR, SEEN, "From the catalogue of this shop")
        else:
            evidence = {"Pan": "k1", "Rake": "g1"}.get(named[1], named[1])
            assert evidence in own
            assert (evidence, row["product_id"]) in met


def closings(shop: Shop) -> dict[str, Product]:
    """Return the ways in which a product may not be shown."""
    later = shop.clock.now() + DAY
    return {
        "sold out": Product("k0", stock=0),
        "unavailable": Product("k1", availability="out_of_stock"),
        "hidden": Product("k2", name="Secret", hidden=True),
        "not yet": Product("k3", released=later),
    }


@pytest.mark.parametrize("context", ["home", "browse", "cart", "checkout"])
@pytest.mark.parametrize("deadline", [50, 1])
def test_what_may_not_be_shown_is_on_no_page(shop, context, deadline):
    """Neither what the customer's own acts bring in, nor what is bought together, nor what is popular."""
    for product in ("k0", "k3"):
        shop.act("anna", "view", product)
    shop.act("anna", "cart_add", "k0")
    closed = closings(shop)
    shop.sell(*closed.values())
    for customer in ("anna", "a stranger"):
        shown = shop.products(customer, n=MAX_N, context=context, deadline_ms=deadline)
        assert {product.product_id for product in closed.values()}.isdisjoint(shown)
        assert "g1" in shown


def test_an_answer_is_full_although_many_are_sold_out(shop):
    shop.act("anna", "view", "k0")
    shop.sell(*(Product(product, stock=0) for product in KITCHEN[1:]), *map(Product, ("new1", "new2")))
    shown = shop.products("anna", n=7)
    assert len(shown) == 7
    assert set(shown).isdisjoint(KITCHEN[1:])


def test_what_is_back_is_shown_again_at_once(shop):
    shop.act("anna", "view", "k0")
    best = shop.products("anna", n=1, context="browse")[0]
    shop.sell(Product(str(best), stock=0))
    assert best not in shop.products("anna", n=MAX_N, context="browse")
    shop.sell(Product(str(best), stock=1))
    assert shop.products("anna", n=1, context="browse") == [best]


def test_an_empty_shelf_is_filled_up_with_what_can_be_had_only(empty_shop):
    empty_shop.sell(Product("pan"), Product("pot", stock=0), Product("lid", hidden=True), Product("jug"))
    assert empty_shop.products("anna") == ["jug", "pan"]


def test_where_all_was_deleted_nothing_of_it_comes_back(empty_shop):
    empty_shop.sell(Product("pan"))
    empty_shop.act("someone", "view", "seen")
    empty_shop.store.catalog.change_products([ProductChange("pan", None)])
    empty_shop.table.update(["pan"])
    assert empty_shop.products("anna") == ["seen"]


def test_the_answer_tells_todays_price_and_availability(shop):
    later = shop.clock.now() + HOUR
    shop.sell(Product("k1", price=9.0, sale_price=7.5, sale_until=later, currency="EUR", stock=2))
    shop.sell(Product("g1", name="Rake", availability="backorder"))

    def told(product: str) -> dict[str, object]:
        rows = {row["product_id"]: row for row in shop.ask("new", n=MAX_N)["recommendations"]}
        return {name: rows[product].get(name) for name in ("price", "currency", "availability")}

    assert told("k1") == {"price": 7.5, "currency": "EUR", "availability": "in_stock"}
    assert told("g1") == {"price": None, "currency": None, "availability": "backorder"}
    assert told("k0") == {"price": None, "currency": None, "availability": None}
    shop.clock.advance(2 * HOUR)
    shop.table.follow()
    assert told("k1")["price"] == 9.0


@pytest.mark.parametrize("closed", [Product("k0", name="Secret", hidden=True), None])
def test_a_reason_does_not_name_what_nobody_is_to_see(shop, closed):
    shop.act("anna", "view", "k0")
    shop.sell(closed or Product("k0", name="Secret"))
    if closed is None:
        shop.store.catalog.change_products([ProductChange("k0", None)])
        shop.table.update(["k0"])
    reasons = [row["reason"] for row in shop.ask("anna", n=MAX_N, context="browse")["recommendations"]]
    assert reasons[0] == "Of interest in visits like yours that included a product you chose"
    assert not any("Secret" in reason for reason in reasons)
