"""The table says what the catalogue says, after whatever was done to it; readers see it at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import NOW

from active_customers.catalog.table import CatalogTable, TableReader
from active_customers.core.clock import DAY, HOUR, ManualClock
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.product import Product, ProductChange, Standing
from active_customers.kernels.catalog_table import ENTRIES
from active_customers.storage.memory import MemoryCatalog


class Kept:
    """A catalogue and its table, changed together as the writer does."""

    def __init__(self, folder, clock=None) -> None:
        self.catalog = MemoryCatalog()
        self.clock = clock or ManualClock(NOW)
        self.folder = folder
        self.table = self.opened()
        self.reader = TableReader(folder)

    def opened(self) -> CatalogTable:
        table = CatalogTable(self.folder, self.catalog, self.clock)
        table.follow()
        return table

    def put(self, *products: Product) -> None:
        self.catalog.put_products(products)
        self.table.update([product.product_id for product in products])

    def change(self, product_id: str, fields: dict | None, merge: bool = True) -> None:
        self.catalog.change_products([ProductChange(product_id, fields, merge)])
        self.table.update([product_id])

    def row(self, product: str) -> tuple:
        """Return standing, price and the names behind the numbers of a product."""
        number, table = self.catalog.product_number(product), self.reader.columns()
        if number >= len(table.standing):
            return Standing.UNKNOWN, None, None, None, None
        facets = zip(
            ("category", "brand", "variant_group"), (table.categories, table.brands, table.groups), strict=True
        )
        price = table.prices[number]
        names = [self.named(facet, column[number]) for facet, column in facets]
        return Standing(table.standing[number]), None if np.isnan(price) else price, *names

    def named(self, facet: str, number: int) -> str | None:
        numbers = {self.catalog.facet_number(facet, name): name for name in ("A", "A > B", "Mare", "Oak", "g")}
        return None if number == NO_NUMBER else numbers[number]


@pytest.fixture
def kept(tmp_path) -> Kept:
    return Kept(tmp_path / "catalog")


def test_a_row_says_what_is_true_of_its_product(kept):
    kept.put(Product("p", category="A > B", brand="Mare", price=9.5, variant_group="g", stock=2), Product("q"))
    assert kept.row("p") == (Standing.OPEN, 9.5, "A > B", "Mare", "g")
    assert kept.row("q") == (Standing.OPEN, None, None, None, None)
    assert kept.reader.columns().header[ENTRIES] == 2


@pytest.mark.parametrize(
    ("fields", "standing"),
    [
        ({"stock": 0}, Standing.SOLD_OUT),
        ({"stock": 1, "availability": "out_of_stock"}, Standing.SOLD_OUT),
        ({"stock": 0, "availability": "in_stock"}, Standing.SOLD_OUT),
        ({"stock": 0, "availability": "backorder"}, Standing.OPEN),
        ({"stock": 0, "availability": "preorder", "released": NOW + DAY}, Standing.OPEN),
        ({"stock": 5, "released": NOW + DAY}, Standing.NOT_YET),
        ({"hidden": True, "stock": 5}, Standing.HIDDEN),
        ({"released": NOW}, Standing.OPEN),
        ({}, Standing.OPEN),
    ],
    ids=str,
)
def test_stock_release_and_hiding_decide_whether_it_may_be_shown(kept, fields, standing):
    kept.put(Product("p", **fields))
    assert kept.row("p")[0] == standing


def test_a_deleted_product_may_not_be_shown_until_it_is_back(kept):
    kept.put(Product("p", price=2.0))
    kept.change("p", None)
    assert kept.row("p")[:2] == (Standing.DELETED, None)
    assert kept.reader.columns().header[ENTRIES] == 0
    kept.change("p", {}, merge=False)
    assert kept.row("p")[0] == Standing.OPEN


def test_prices_and_releases_change_when_their_time_comes(kept):
    sale = {"price": 9.0, "sale_price": 5.0, "sale_from": NOW + HOUR, "sale_until": NOW + 3 * HOUR}
    kept.put(Product("p", **sale, released=NOW + 2 * HOUR))
    seen = []
    for _ in range(4):
        kept.table.follow()
        seen.append(kept.row("p")[:2])
        kept.clock.advance(HOUR)
    assert seen == [
        (Standing.NOT_YET, 9.0),
        (Standing.NOT_YET, 5.0),
        (Standing.OPEN, 5.0),
        (Standing.OPEN, 9.0),
    ]


def test_versions_grow_with_changes_and_with_nothing_else(kept):
    kept.put(Product("p", price=9.0, sale_price=5.0, sale_from=NOW + HOUR), Product("q"))
    versions = [kept.reader.columns().versions[:2].tolist()]
    for advance in (0, HOUR, HOUR):
        kept.clock.advance(advance)
        kept.table.follow()
        versions.append(kept.reader.columns().versions[:2].tolist())
    assert versions == [[1, 1], [1, 1], [2, 1], [2, 1]]


def test_a_table_that_grows_is_mapped_anew(kept):
    kept.put(Product("first", stock=0))
    before = len(kept.reader.columns().standing)
    kept.put(*(Product(str(number), stock=number % 2) for number in range(before + 1)))
    assert len(kept.reader.columns().standing) > before
    assert [kept.row(str(number))[0] for number in (0, 1, before - 1, before)] == [
        Standing.SOLD_OUT,
        Standing.OPEN,
        Standing.OPEN,
        Standing.SOLD_OUT,
    ]


def test_products_that_only_events_name_have_no_row(kept):
    kept.catalog.number_products(["seen"])
    kept.change("seen", {"price": 1.0, "sale_price": 2.0}, merge=False)  # rejected
    kept.change("seen", None)
    assert kept.row("seen")[0] == Standing.UNKNOWN


def test_a_table_that_missed_changes_is_made_again_when_the_writer_starts(kept):
    kept.put(Product("p", price=1.0), Product("q"), Product("gone"))
    kept.catalog.put_products([Product("p", price=2.0, stock=0), Product("new", brand="Oak")])
    kept.catalog.change_products([ProductChange("q", None)])
    del kept.catalog._products[kept.catalog.product_number("gone")]  # as where an older backup was restored
    kept.table = kept.opened()
    assert [kept.row(product)[0] for product in ("p", "q", "new", "gone")] == [
        Standing.SOLD_OUT,
        Standing.DELETED,
        Standing.OPEN,
        Standing.UNKNOWN,
    ]
    assert kept.row("p")[1] == 2.0
    assert kept.row("new")[3] == "Oak"
    assert kept.reader.columns().header[ENTRIES] == 2


def test_a_change_that_cannot_be_written_is_made_up_for(kept, caplog):
    kept.put(Product("p"))
    [prices] = kept.folder.glob("prices-*")
    aside = prices.rename(kept.folder / "aside")
    prices.mkdir()
    kept.put(*(Product(str(number), stock=0) for number in range(5_000)))
    assert "do not know the newest changes" in caplog.text
    prices.rmdir()
    aside.rename(prices)
    kept.table.follow()
    assert kept.row("4999")[0] == Standing.SOLD_OUT


def test_where_there_is_no_table_it_has_no_rows(tmp_path):
    for reader in (TableReader(), TableReader(tmp_path / "nowhere")):
        assert len(reader.columns().standing) == 0


names = st.sampled_from("abc")
changes = st.one_of(
    st.tuples(names, st.none()),
    st.tuples(names, st.fixed_dictionaries({}, optional={"stock": st.integers(0, 1), "hidden": st.booleans()})),
)


@given(st.lists(changes, max_size=12))
def test_after_any_changes_the_rows_are_those_of_a_table_made_from_the_catalogue(tmp_path_factory, made):
    kept = Kept(tmp_path_factory.mktemp("table") / "catalog")
    for product, fields in made:
        kept.change(product, fields, merge=False)
    rows = [kept.row(product) for product in "abc"]
    again = Kept(tmp_path_factory.mktemp("table") / "catalog")
    again.catalog = kept.catalog
    again.table = again.opened()
    assert [again.row(product) for product in "abc"] == rows


def test_a_price_that_fell_is_remembered_with_what_it_was_until_it_rises(kept):
    number = kept.catalog.number_products(["p"])[0]

    def noted() -> tuple[int, int, float]:
        table = kept.reader.columns()
        return int(table.raised[number]), int(table.dropped[number]), float(table.before[number])

    kept.put(Product("p", price=10.0))
    assert noted() == (NOW, 0, 0.0)
    for price in (8.0, 8.0, 7.0):
        kept.clock.advance(HOUR)
        kept.put(Product("p", price=price))
    assert noted() == (NOW, NOW + 3 * HOUR, 8.0)
    kept.clock.advance(HOUR)
    kept.put(Product("p", price=9.0))
    assert noted() == (NOW + 4 * HOUR, NOW + 3 * HOUR, 8.0)


def test_a_sale_that_begins_by_its_date_is_a_price_that_fell(kept):
    kept.put(Product("p", price=10.0, sale_price=6.0, sale_from=NOW + HOUR))
    kept.clock.advance(2 * HOUR)
    kept.table.follow()
    table, number = kept.reader.columns(), kept.catalog.product_number("p")
    assert (table.dropped[number], table.before[number], table.prices[number]) == (NOW + 2 * HOUR, 10.0, 6.0)


def test_a_table_that_is_made_anew_keeps_what_it_saw_of_prices(kept):
    kept.put(Product("p", price=10.0))
    kept.clock.advance(HOUR)
    kept.put(Product("p", price=8.0))
    kept.clock.advance(HOUR)
    kept.opened()
    table, number = kept.reader.columns(), kept.catalog.product_number("p")
    assert (table.raised[number], table.dropped[number], table.before[number]) == (NOW, NOW + HOUR, 10.0)


def test_a_row_says_when_a_product_was_released_and_whether_it_is_bought_again(kept):
    kept.put(Product("p", released=NOW - DAY, replenishable=True), Product("q"))
    table = kept.reader.columns()
    numbers = [kept.catalog.product_number(product) for product in "pq"]
    assert table.released[numbers].tolist() == [NOW - DAY, 0]
    assert table.replenishable[numbers].tolist() == [1, 0]
