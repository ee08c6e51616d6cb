"""Filters of many products at once say what they say of each, whatever was done to the catalogue before."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.catalog.test_table import Kept
from tests.conftest import NOW

from active_customers.catalog.columns import ProductColumns
from active_customers.catalog.filter_masks import Masks
from active_customers.catalog.filter_parser import parse_filter
from active_customers.catalog.filters import holds
from active_customers.core.clock import DAY, ManualClock
from active_customers.core.product import Product

IDS = ["a", "b", "c", "d"]


class Followed(Kept):
    """A catalogue, its table, and the columns that follow both."""

    def __init__(self, folder, clock=None) -> None:
        super().__init__(folder, clock)
        self.columns = ProductColumns(self.catalog, self.reader, self.clock)

    def found(self, text: str) -> list[str]:
        """Return the ids of the products that a filter holds for."""
        self.columns.follow()
        rows = np.arange(self.columns.columns.n)
        mask = Masks(self.columns, rows, self.clock.now()).of(parse_filter(text))
        return [self.catalog.product_id(int(row)) for row in rows[mask]]

    def entries(self) -> list[Product]:
        """Return all products in the order of their numbers; those without an entry have their id only."""
        numbers = range(self.catalog.n_products())
        return [self.catalog.product(number) or Product(self.catalog.product_id(number)) for number in numbers]


@pytest.fixture
def kept(tmp_path) -> Followed:
    return Followed(tmp_path / "catalog")


def test_a_change_is_in_the_columns_the_next_time_they_follow(kept):
    kept.put(Product("a", stock=3, tags=("gift",)), Product("b", stock=5))
    assert kept.found("stock > 2") == ["a", "b"]
    kept.change("a", {"stock": 1, "tags": ["gift", "new"]})
    assert (kept.found("stock > 2"), kept.found("tags has new")) == (["b"], ["a"])
    kept.change("a", None)
    assert kept.found("tags has gift") == []


def test_a_product_that_only_events_name_has_its_id_and_nothing_else(kept):
    kept.put(Product("a", brand="Mare"))
    kept.catalog.number_products(["seen"])
    assert kept.found("product_id = seen") == ["seen"]
    assert kept.found("brand != Mare and not on_sale and availability = in_stock") == ["seen"]


def test_a_price_that_changes_by_its_date_changes_what_is_found(kept):
    kept.put(Product("a", price=10.0, sale_price=5.0, sale_from=NOW + DAY))
    assert (kept.found("on_sale"), kept.found("price < 6")) == ([], [])
    kept.clock.advance(2 * DAY)
    kept.table.follow()
    assert (kept.found("on_sale"), kept.found("price < 6")) == (["a"], ["a"])


def test_the_columns_say_which_rows_changed_since_they_were_looked_at(kept):
    kept.put(*map(Product, IDS))
    kept.columns.follow()
    state = kept.columns.state
    kept.change("c", {"stock": 1})
    kept.columns.follow()
    assert kept.columns.since(state).tolist() == [2]
    assert kept.columns.since(kept.columns.state).tolist() == []
    assert kept.columns.since(-1).tolist() == [0, 1, 2, 3]


def test_who_looks_too_rarely_is_told_to_look_at_all(kept):
    kept.put(*map(Product, IDS))
    kept.columns.follow()
    state = kept.columns.state
    for stock in range(100):
        kept.change("a", {"stock": stock})
        kept.columns.follow()
    assert kept.columns.since(state).tolist() == [0, 1, 2, 3]


words = st.sampled_from(["x", "Y", "3", "2.5", "gift", "true"])
products = st.builds(
    Product,
    product_id=st.sampled_from(IDS),
    brand=st.none() | st.sampled_from(["Mare", "mare", "Oak"]),
    category=st.none() | st.sampled_from(["A", "A > B", "a > b > C", "AB"]),
    price=st.none() | st.sampled_from([2.0, 3.0, 4.5]),
    sale_price=st.none() | st.sampled_from([1.0, 2.0]),
    sale_until=st.none() | st.just(NOW + DAY),
    currency=st.none() | st.just("EUR"),
    stock=st.none() | st.integers(0, 3),
    availability=st.none() | st.sampled_from(["in_stock", "out_of_stock", "backorder"]),
    variant_group=st.none() | st.sampled_from(["g", "7"]),
    released=st.none() | st.sampled_from([NOW - 3 * DAY, NOW - 1, NOW + DAY]),
    replenishable=st.booleans(),
    tags=st.lists(words, max_size=3).map(tuple),
    attributes=st.dictionaries(
        st.sampled_from(["size", "k"]),
        words | st.booleans() | st.integers(1, 3) | st.floats(0, 3) | st.lists(words, max_size=2),
    ),
)
QUESTIONS = [
    "brand = mare", "brand in (oak, mare)", "brand != Oak", "category under A", "category = 'A > B'", "category = AB",
    "price = 2", "price < 3", "price >= 3", "price in (2, 4.5, 1)", "currency = EUR", "stock = 0", "stock > 1",
    "availability = in_stock", "availability != in_stock", "variant_group = 7", "variant_group in (g, x)",
    "tags has gift", "tags in (x, y)", "tags > 2.4", "attributes.size = 3", "attributes.size < 3", "attributes.k has x",
    "attributes.k = true", "attributes.none = 1", "on_sale", "replenishable", "age < 2", "age > 0",
    "released > 2025-01-14",    "product_id in (a, c)", "product_id != b", "product_id = nobody",
]  # fmt: skip
filters = st.recursive(
    st.sampled_from(QUESTIONS),
    lambda inner: st.one_of(
        inner.map("not ({})".format),
        st.tuples(inner, inner).map(" and ".join),
        st.tuples(inner, inner).map(lambda both: f"({both[0]}) or ({both[1]})"),
    ),
    max_leaves=6,
)
changes = st.lists(st.one_of(products, st.sampled_from(IDS)), min_size=1, max_size=8)


@settings(max_examples=200)
@given(changes=changes, more=changes, asked=filters, days=st.integers(0, 3))
def test_many_at_once_are_told_as_each_is(tmp_path_factory, changes, more, asked, days):
    """A product is stored, an id deleted; then time passes and there are more changes."""
    kept = Followed(tmp_path_factory.mktemp("catalog"), ManualClock(NOW))
    for batch in (changes, more):
        for change in batch:
            kept.change(change, None) if isinstance(change, str) else kept.put(change)
        kept.table.follow()
        found = kept.found(asked)
        now = kept.clock.now()
        told = [product for product in kept.entries() if holds(parse_filter(asked), product, now)]
        assert found == [product.product_id for product in told]
        kept.clock.advance(days * DAY)
