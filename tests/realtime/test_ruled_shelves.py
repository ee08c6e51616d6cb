"""Shelves with rules: what a rule of the channel or the catalogue closes stands on none of them."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.realtime.conftest import GARDEN, KITCHEN, Shop, two_worlds

from active_customers.core.event import Channel
from active_customers.core.product import Product

ROWS = ["similar", "bought-together", "trending", "recently-viewed"]
EVERYTHING = [*KITCHEN, *GARDEN, "rare"]


def rule(shop: Shop, name: str, **fields: object) -> None:
    shop.store.rules.change({name: {"name": name, **fields}})
    shop.engine.rules.follow()


def row(shop: Shop, name: str, channel: Channel) -> list[object]:
    """Return the ids of one row, 100 at most: about k0, or for anna."""
    shelves = shop.shelves
    answer = {
        "similar": lambda: shelves.similar("k0", 100, channel),
        "bought-together": lambda: shelves.bought_together("k0", 100, channel),
        "trending": lambda: shelves.trending(None, 100, channel),
        "recently-viewed": lambda: shelves.recently_viewed("anna", 100, channel),
    }[name]()
    return [shop.store.catalog.product_id(number) for number in answer.products()]


def on_page(shop: Shop, channel: Channel) -> set[object]:
    shelves = shop.page("anna", shelves=10, n=20, channel=channel.word)["shelves"]
    return {product["product_id"] for shelf in shelves for product in shelf["products"]}


@pytest.fixture
def busy() -> Shop:
    """A shop in which everything is in the catalogue, and anna looked at k0, k4 and g0."""
    shop = two_worlds()
    shop.sell(*(Product(product, name=product.upper()) for product in EVERYTHING))
    for product in ("g0", "k0", "k4"):
        shop.act("anna", "view", product)
    return shop


@pytest.mark.parametrize("name", ROWS)
def test_a_rule_of_a_channel_counts_for_rows_of_that_channel_alone(busy, name):
    assert "k4" in row(busy, name, Channel.EMAIL)
    rule(busy, "no-k4", kind="exclude", product_ids=["k4"], channels=["email"])
    assert "k4" not in row(busy, name, Channel.EMAIL)
    assert "k4" in row(busy, name, Channel.WEB)


def test_where_only_some_are_shown_what_nobody_knew_at_the_last_look_at_rules_is_not(busy):
    rule(busy, "only", kind="include", product_ids=["k0"])
    busy.store.catalog.number_products([f"new-{number}" for number in range(10_000)])
    busy.act("anna", "view", "new-9999")
    assert row(busy, "recently-viewed", Channel.WEB) == ["k0"]


@pytest.mark.parametrize("change", [{"hidden": True}, {"stock": 0}])
@pytest.mark.parametrize("name", ROWS)
def test_what_the_catalogue_closes_is_in_no_row_at_once_though_rules_have_not_looked_yet(busy, name, change):
    rule(busy, "no-g1", kind="exclude", product_ids=["g1"])
    assert "k4" in row(busy, name, Channel.WEB)
    busy.sell(Product("k4", name="K4", **change))
    assert "k4" not in row(busy, name, Channel.WEB)
    assert "k4" not in on_page(busy, Channel.WEB)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(["include", "exclude"]),
    ruled=st.sets(st.sampled_from(EVERYTHING), min_size=1),
    channels=st.sets(st.sampled_from([Channel.WEB, Channel.EMAIL]), min_size=1),
    hidden=st.sets(st.sampled_from(["k1", "k2", "g2", "rare"])),
    asked=st.sampled_from([Channel.WEB, Channel.EMAIL]),
)
def test_no_shelf_shows_what_is_closed_by_a_rule_of_its_channel_or_by_the_catalogue(
    busy, kind, ruled, channels, hidden, asked
):
    busy.sell(*(Product(product, name=product.upper()) for product in EVERYTHING))
    rule(busy, "one", kind=kind, product_ids=sorted(ruled), channels=[channel.word for channel in channels])
    busy.sell(*(Product(product, hidden=True) for product in hidden))  # rules have not looked since
    closed = set(hidden)
    if asked in channels:
        closed |= ruled if kind == "exclude" else set(EVERYTHING) - ruled
    shown = on_page(busy, asked).union(*(row(busy, name, asked) for name in ROWS))
    assert not shown & closed
