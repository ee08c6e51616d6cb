"""A bad value of a field that a product can do without costs the field; one that decides on its sale costs the row."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.importing.test_feeds import GOOGLE, feed, item
from tests.importing.test_products import bring_in

from active_customers.core.clock import parse_time
from active_customers.core.product import Product
from active_customers.importing.products import check_products, import_products
from active_customers.importing.request import ImportRequest

GOOD = Product("a", name="Pan", price=5.0)
BAD = [
    ("image", "javascript:alert(1)"),
    ("url", "ftp://shop.example/a"),
    ("released", "soon"),
    ("replenishable", "perhaps"),
    ("variant_group", "x" * 129),
    ("brand", "b" * 501),
    ("description", "d" * 20_001),
    ("tags", "t" * 101),
    ("attributes", "[1]"),
    ("sale_price", "cheap"),
    ("sale_price", "-1"),
    ("sale_price", "6"),
]


@pytest.mark.parametrize("name", ["p.csv", "p.tsv.gz", "p.jsonl", "p.parquet"])
@pytest.mark.parametrize(("field", "value"), BAD, ids=lambda text: text[:12])
def test_a_bad_value_of_an_optional_field_is_left_out_and_said(shop, write, name, field, value):
    row = {"product_id": "a", "name": "Pan", "price": "5"}
    report, products = bring_in(shop, write(name, [row | {field: None, "product_id": "b"}, row | {field: value}]))
    assert products["a"] == GOOD
    assert (report.accepted, report.rejected.total()) == (2, 0)
    [(_, warning)] = report.warnings
    assert (warning.row, warning.field) == (2, field)
    [line] = report.warnings_path.read_bytes().splitlines()
    written = orjson.loads(line)
    assert (written["row"], written["reason"]) == (2, warning.reason)
    assert f"{field}: " in str(report)
    assert str(report.warnings_path) in str(report)


@pytest.mark.parametrize("field", ["sale_from", "sale_until"])
def test_a_sale_whose_days_cannot_be_read_is_none(shop, write, field):
    """Without its end it would hold for ever."""
    row = {"product_id": "a", "name": "Pan", "price": 5, "sale_price": 4, "sale_from": "2025-01-01"}
    report, products = bring_in(shop, write("p.csv", [row | {"sale_until": "2025-02-01"} | {field: "soon"}]))
    assert (products["a"], report.left_out.total()) == (GOOD, 1)


def test_a_sale_that_ends_before_it_begins_is_none(shop, write):
    row = {"product_id": "a", "name": "Pan", "price": 5, "sale_price": 4, "sale_from": "2025-02-01"}
    report, products = bring_in(shop, write("p.csv", [row | {"sale_until": "2025-01-01"}]))
    assert products["a"] == GOOD
    assert report.warnings[0][1].reason.startswith(
        "sale_until: '2025-01-01' is not valid: the end of a sale lies after"
    )


def test_a_merged_row_with_a_bad_sale_is_rejected(shop, write):
    """The entry would keep the sale that it had, beside another price."""
    bring_in(shop, write("all.csv", [{"product_id": "a", "name": "Pan", "price": 5, "sale_price": 4}]))
    path = write("new.csv", [{"product_id": "a", "price": 4.5, "sale_price": "3,99"}])
    report = import_products(ImportRequest([path], shop.data_dir, merge=True), shop, shop.clock)
    assert (report.rejected.total(), report.left_out.total()) == (1, 0)
    assert shop.store.catalog.product(0).price == 5.0


def test_a_feed_keeps_items_with_a_bad_link_or_picture_but_none_without_a_name(shop, write_raw):
    items = [item("a", link="mailto:x"), item("b", image_link="data:x"), item("c", title="x" * 501)]
    report, products = bring_in(shop, write_raw("feed.xml", feed(*items)), preset=GOOGLE)
    assert [(entry.url, entry.image) for entry in products.values()] == [(None, None)] * 2
    assert [warning.field for _, warning in report.warnings] == ["url (column link)", "image (column image_link)"]
    assert [reject.field for _, reject in report.examples] == ["name (column title)"]


def test_a_structure_where_a_text_belongs_is_left_out_of_optional_fields_only(shop, write_raw):
    lines = [
        '{"product_id":"a","name":"Pan","price":5,"image":["1.png","2.png"]}',
        '{"product_id":"b","price":{"eur":5}}',
    ]
    report, products = bring_in(shop, write_raw("p.jsonl", "\n".join(lines).encode()))
    assert products == {"a": GOOD}
    assert report.warnings[0][1].value == ["1.png", "2.png"]
    assert [reject.field for _, reject in report.examples] == ["price"]


def test_bytes_that_are_no_text_are_left_out_of_optional_fields_only(shop, write_raw):
    content = b"product_id,name,price,brand\na,Pan,5,M\xe4r\nb,Pot,\xe4,Mar\n"
    report, products = bring_in(shop, write_raw("p.csv", content))
    assert products == {"a": GOOD}
    assert [(warning.row, warning.field) for _, warning in report.warnings] == [(1, "brand")]
    assert [(reject.row, reject.field) for _, reject in report.examples] == [(2, "price")]


def test_a_row_that_is_rejected_gives_no_warning(shop, write):
    report = check_products(shop.request(write("p.csv", [{"product_id": "a", "price": "x", "image": "data:x"}])))
    assert (report.rejected.total(), report.left_out.total()) == (1, 0)


def test_nested_files_leave_out_what_is_no_text_too(shop, tmp_path):
    rows = [{"event_name": "view_item", "items": [{"item_id": "A", "item_brand": {"de": "B"}, "price": 1.5}]}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "g.parquet")
    report, products = bring_in(shop, tmp_path / "g.parquet", preset="ga4")
    assert products == {"A": Product("A", price=1.5)}
    assert report.left_out == {"items[].item_brand: give a text or a number": 1}


@pytest.mark.parametrize(("field", "n_rejected"), [("image", 0), ("price", 1)])
def test_a_column_of_lists_in_parquet_costs_what_its_field_costs(shop, tmp_path, field, n_rejected):
    day = {"released": datetime(2025, 1, 1, tzinfo=UTC)}  # types of other columns are read as ever
    rows = [
        {"product_id": "a", "name": "Pan", field: ["1", "2"]} | day,
        {"product_id": "b", "name": "Pot", field: None} | day,
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "p.parquet")
    report, products = bring_in(shop, tmp_path / "p.parquet")
    assert (report.rejected.total(), report.left_out.total()) == (n_rejected, 1 - n_rejected)
    assert products["b"] == Product("b", name="Pot", released=parse_time("2025-01-01T00:00:00Z"))
