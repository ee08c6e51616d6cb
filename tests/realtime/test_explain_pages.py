"""Accounts of every kind of page are true, in a shop with categories, prices and free delivery."""

from __future__ import annotations

import pytest
from tests.realtime.conftest import GARDEN, KITCHEN, Shop, two_worlds

from active_customers.core.event import Context
from active_customers.core.product import Product
from active_customers.realtime.context_engine import ShopConfig
from active_customers.realtime.explain import _why_not
from active_customers.realtime.explain_page import Page
from active_customers.realtime.free_delivery import FreeDelivery
from active_customers.realtime.schemas import SERVED_CONTEXTS, Query

EVERYTHING = [*KITCHEN, *GARDEN, "rare"]
ABOUT = {"category": {"category": "Kitchen"}, "search": {"query": "rake"}, "out_of_stock": {"page_product_id": "k2"}}


def codes(account):
    return [because.code for because in account.not_shown]


def asked_alike(about: dict[str, object]) -> dict[str, object]:
    """Return the parameters of an answer that those of an account stand for."""
    return {"product_id" if name == "page_product_id" else name: value for name, value in about.items()}


@pytest.fixture
def priced() -> Shop:
    """Delivery is free from 50; pans but k0 and k4, which are dearer, serve one need; anna has k1 in the cart."""
    shop = two_worlds()
    prices = dict.fromkeys(KITCHEN, 20.0) | {"k0": 90.0, "k4": 31.0} | dict.fromkeys(GARDEN, 32.0)
    for product, price in prices.items():
        kind, path = ("pan", "Kitchen > Pans") if product in KITCHEN else ("rake", "Garden")
        shop.sell(Product(product, name=f"Steel {kind}", category=path, price=price, currency="EUR"))
    config = ShopConfig(free_delivery_from=50, gap_factor=10, gap_reach=1.5)
    shop.engine.delivery = FreeDelivery(config, shop.cards.prices_of)
    for kind, product in (("view", "k0"), ("view", "g0"), ("cart_add", "k1")):
        shop.act("anna", kind, product)
    return shop


@pytest.mark.parametrize("context", [context.word for context in SERVED_CONTEXTS])
@pytest.mark.parametrize("customer", ["anna", "nobody"])
@pytest.mark.parametrize("n", [1, 3, 10])
def test_an_account_says_what_the_answer_says_on_every_page(priced, context, customer, n):
    about = ABOUT.get(context, {})
    rows = priced.ask(customer, context=context, n=n, **asked_alike(about))["recommendations"]
    shown = [row["product_id"] for row in rows]
    for product in EVERYTHING:
        account = priced.explain(customer, product, context=context, n=n, **about)
        assert account.rank == (shown.index(product) + 1 if product in shown else None)
        assert bool(codes(account)) == (product not in shown)
        assert "excluded" not in codes(account)


@pytest.mark.parametrize("context", ["cart", "checkout"])
def test_what_would_only_replace_a_product_of_the_cart_is_a_substitute_and_not_excluded(priced, context):
    assert codes(priced.explain("anna", "k2", context=context)) == ["substitute"]
    assert codes(priced.explain("anna", "k2", context=context, exclude="k2")) == ["excluded", "substitute"]


def test_what_a_category_does_not_hold_is_said(priced):
    assert codes(priced.explain("anna", "g1", context="category", category="Kitchen")) == ["not_in_category"]


def test_what_a_search_does_not_find_is_said(priced):
    assert codes(priced.explain("anna", "k4", context="search", query="rake")) == ["not_found"]


def test_what_an_empty_category_falls_back_to_is_explained_as_the_home_page_is(priced):
    account = priced.explain("anna", "k4", context="category", category="Nothing", n=1)
    assert codes(account) == codes(priced.explain("anna", "k4", n=1))


def test_the_places_in_a_category_are_those_among_its_products(priced):
    shown = priced.products("anna", context="category", category="Kitchen", n=5)
    below = priced.explain("anna", shown[2], context="category", category="Kitchen", n=1)
    assert codes(below) == ["ranked_below"]
    assert below.not_shown[0].text.startswith("it is at place 3 of")


def test_what_stands_in_is_explained_by_its_place_and_no_ranking(priced):
    about = {"context": "out_of_stock", "page_product_id": "k2"}
    order = priced.products("anna", context="out_of_stock", product_id="k2", n=10)
    account = priced.explain("anna", order[1], n=1, **about)
    assert (codes(account), account.ranking, account.acts) == (["stand_in"], None, [])
    assert "at place 2" in account.not_shown[0].text
    assert [word.source for word in account.sources] == ["stand_in"]
    assert "does not stand in" in priced.explain("anna", "rare", n=1, **about).not_shown[0].text


def test_the_factor_of_free_delivery_is_told_and_named_where_it_moves_others_out(priced):
    preferred = priced.explain("anna", "g1", context="cart", n=3)
    assert [(each.kind, each.name, each.factor) for each in preferred.applied] == [("delivery", "free_delivery", 10.0)]
    assert "30.00" in preferred.applied[0].text
    accounts = [priced.explain("anna", product, context="cart", n=1) for product in EVERYTHING]
    moved = [each.not_shown[0].text for each in accounts if codes(each) == ["moved_out"]]
    assert moved
    assert all("free delivery" in text for text in moved)
    assert all(each.kind != "delivery" for each in priced.explain("anna", "g1").applied)


def test_what_goes_with_the_cart_and_nothing_else_proposes_is_explained_by_its_place_there(priced):
    """Neither ranked nor popular."""
    priced.act("ben", "cart_add", "k0")
    query = Query("ben", Context.CART, 1)
    state, asked = priced.engine.question(query)
    number = priced.store.catalog.product_number("k4")
    page = Page.of(priced.engine, query, (state, asked), priced.engine.recommend(query))
    popular = page.sources.popular
    without = page._replace(sources=page.sources._replace(popular=popular._replace(products=popular.products[:0])))
    findings = priced.engine.recommender.look_into(state, asked, number)
    findings = findings._replace(ranked=findings.ranked[:0], logits=findings.logits[:0])
    [because] = _why_not(number, asked._replace(n=0), findings, without, [])
    assert (because.code, because.text) == (
        "ranked_below",
        "it is at place 1 of 1 that go with the cart, and the answer ends at 0",
    )
