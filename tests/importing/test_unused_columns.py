"""What a file has and no field is read from is said."""

from __future__ import annotations

import pytest
from tests.importing.test_feeds import GOOGLE, feed, item
from tests.importing.test_products import bring_in

ROW = {"product_id": "a", "salePrice": 4, "price": 5, "shelf": "x"}
SAID = "columns not used: salePrice (did you mean sale_price?), shelf"


@pytest.mark.parametrize("name", ["p.csv", "p.tsv", "p.csv.gz", "p.jsonl", "p.parquet"])
def test_columns_that_are_not_used_are_said_once_for_every_format(shop, write, name):
    report, _ = bring_in(shop, write(name, [ROW, ROW | {"product_id": "b"}]))
    assert report.notes == [SAID]
    assert str(report).count(SAID) == 1


def test_elements_of_a_feed_that_are_not_used_are_said(shop, write_raw):
    items = [item(f"{i}") for i in range(5)] + [item("last", colour="red", shelf_life="3 weeks")]
    report, _ = bring_in(shop, write_raw("feed.xml", feed(*items)), preset=GOOGLE)
    assert report.notes == ["columns not used: colour (did you mean color?), shelf_life"]


def test_columns_of_events_that_are_not_used_are_said(shop, write):
    row = {"customer_id": "c", "event_type": "view", "product_id": "p", "timestamp": "2020-06-01T10:00:00Z", "Qty": 2}
    assert shop.bring_in(write("e.csv", [row])).notes == ["columns not used: Qty"]


def test_a_name_is_not_proposed_that_the_file_has_already(shop, write):
    report, _ = bring_in(shop, write("p.csv", [{"product_id": "a", "price": 5, "prices": 6}]))
    assert report.notes == ["columns not used: prices"]


def test_parts_of_columns_are_used_columns(shop, write):
    items = [{"item_id": "A", "price": 1.5}]
    report, _ = bring_in(shop, write("g.jsonl", [{"event_name": "view_item", "items": items}]), preset="ga4")
    assert report.notes == []


def test_of_a_log_columns_of_events_are_not_told_where_products_are_imported_and_the_other_way_round(shop, write):
    row = {"InvoiceNo": 1, "StockCode": "A", "Description": "Pan", "Quantity": 1, "InvoiceDate": "12/1/2010 8:26"}
    path = write("uci.csv", [row | {"UnitPrice": 2, "CustomerID": 5, "Country": "France"}])
    report, _ = bring_in(shop, path, preset="uci-online-retail")
    assert report.notes == ["columns not used: Country"]
    assert shop.bring_in(path, preset="uci-online-retail").notes == ["columns not used: Country"]


def test_of_very_many_columns_some_are_named_and_the_rest_counted(shop, write):
    row = {"product_id": "a"} | {f"x{i}": 1 for i in range(30)} | {"Prices": 3}
    report, _ = bring_in(shop, write("p.csv", [row]))
    assert report.notes[0].startswith("columns not used: Prices (did you mean price?), x0, x1, ")
    assert report.notes[0].endswith(", x18, and 11 more")
