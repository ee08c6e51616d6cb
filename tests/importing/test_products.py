from __future__ import annotations

import pytest
from tests.importing.conftest import MemoryShop

from active_customers.core.clock import parse_time
from active_customers.core.product import Product
from active_customers.importing.products import check_products, import_products
from active_customers.importing.report import ImportReport


def bring_in(shop: MemoryShop, *files, preset: str | None = None) -> tuple[ImportReport, dict[str, Product]]:
    report = import_products(shop.request(*files, preset=preset), shop, shop.clock)
    return report, {product.product_id: product for _, product in shop.store.catalog.products()}


FULL = {
    "product_id": 9,
    "name": "Boot",
    "description": "A boot",
    "category": "Shoes > Boots",
    "brand": "B",
    "price": 9.5,
    "currency": "eur",
    "url": "https://shop.example/9",
    "image": "https://shop.example/9.png",
    "variant_group": "boot",
    "replenishable": True,
    "released": "2020-06-01",
}


@pytest.mark.parametrize("ending", ["csv", "jsonl.gz", "parquet"])
def test_native_products_keep_every_field(shop, write, ending):
    report, products = bring_in(shop, write(f"products.{ending}", [FULL]))
    assert products == {
        "9": Product(
            product_id="9",
            name="Boot",
            description="A boot",
            category="Shoes > Boots",
            brand="B",
            price=9.5,
            currency="EUR",
            url="https://shop.example/9",
            image="https://shop.example/9.png",
            variant_group="boot",
            replenishable=True,
            released=parse_time("2020-06-01T00:00:00Z"),
        )
    }
    assert (report.accepted, report.products) == (1, 1)


def test_the_last_row_of_a_product_is_its_entry(shop, write):
    rows = [
        {"product_id": "a", "name": "Old", "price": 1, "brand": "B"},
        {"product_id": "b", "name": "Other", "price": 5, "brand": None},
        {"product_id": "a", "name": "New", "price": 0, "brand": None},
    ]
    report, products = bring_in(shop, write("1.csv", rows[:1]), write("2.csv", rows[1:]))
    assert products["a"] == Product("a", name="New", price=0.0)
    assert (report.accepted, report.repeated, report.products) == (2, 1, 2)
    assert "1 repeated by a later row of the same product, which counts: for example 1.csv, row 1: 'a'" in str(report)


TWICE = [{"price": "8", "sale": "5"}, {"price": "9", "sale": None}]


@pytest.mark.parametrize("name", ["p.csv", "p.tsv.gz", "p.jsonl", "p.parquet"])
def test_a_product_twice_in_a_file_is_its_last_row_in_every_format(shop, write, name):
    rows = [{"product_id": "a", "price": row["price"], "sale_price": row["sale"]} for row in TWICE]
    report, products = bring_in(shop, write(name, rows))
    assert (list(products.values()), report.repeated) == ([Product("a", price=9.0)], 1)


@pytest.mark.parametrize(("name", "preset"), [("p.tsv", "google-merchant"), ("p.csv", "shopify")])
def test_a_product_twice_in_a_file_is_its_last_row_in_every_preset_of_a_catalogue(shop, write, name, preset):
    names = ("id", "price", "sale_price") if preset != "shopify" else ("Handle", "Variant Price", "no column")
    rows = [dict(zip(names, ("a", row["price"], row["sale"]), strict=True)) for row in TWICE]
    common = {"title": "A", "availability": "in stock", "Title": "A", "Variant SKU": "a"}
    report, products = bring_in(shop, write(name, [common | row for row in rows]), preset=preset)
    assert (products["a"].price, products["a"].sale_price, report.repeated) == (9.0, None, 1)


def test_a_row_that_cannot_be_read_does_not_take_the_place_of_one_before_it(shop, write):
    report, products = bring_in(
        shop, write("p.csv", [{"product_id": "a", "price": 8}, {"product_id": "a", "price": "x"}])
    )
    assert (products["a"].price, report.repeated, report.rejected.total()) == (8.0, 0, 1)


def test_of_a_log_each_field_of_a_product_keeps_its_last_value(shop, write):
    rows = [{"product_id": 1, "brand": "aqua", "price": 33.2}, {"product_id": 1, "brand": None, "price": 30}]
    report, products = bring_in(shop, write("r.csv", rows), preset="rees46")
    assert (products["1"], report.accepted, report.repeated) == (Product("1", brand="aqua", price=30.0), 2, 0)


def uci(code: str, name: str | None, price: float) -> dict[str, object]:
    return {"InvoiceNo": 1, "StockCode": code, "Description": name, "UnitPrice": price}


def test_uci_products_are_called_what_most_lines_call_them(shop, write):
    rows = [
        uci("A", "HOLDER ", 2.5),
        uci("A", "HOLDER", 2.5),
        uci("A", "damaged", 0),
        uci("A", "?", 0),
        uci("A", "?", 3),
    ]
    _, products = bring_in(shop, write("uci.csv", [*rows, uci("B", None, -5)]), preset="uci-online-retail")
    # "HOLDER" and "?" are equally frequent: the one that came last counts.
    assert products["A"] == Product("A", name="?", price=2.5, currency="GBP", replenishable=True)
    assert products["B"] == Product("B", currency="GBP", replenishable=True)


def test_rees46_categories_are_paths(shop, write):
    row = {"product_id": 1, "category_code": "appliances.environment.water_heater", "brand": "aqua", "price": 33.2}
    _, products = bring_in(shop, write("r.csv", [row]), preset="rees46")
    assert products["1"].category == "appliances > environment > water_heater"


def test_retailrocket_and_ga4_describe_products_too(shop, write):
    bring_in(shop, write("r.parquet", [{"item_id": 3, "category_id": 4}]), preset="retailrocket")
    items = [{"item_id": "A", "item_name": "Apron", "item_brand": "B", "item_category": "C", "price": 1.5}]
    _, products = bring_in(shop, write("g.jsonl", [{"event_name": "view_item", "items": items}]), preset="ga4")
    assert products["3"] == Product("3", category="4")
    assert products["A"] == Product("A", name="Apron", brand="B", category="C", price=1.5)


def test_bad_rows_are_rejected_by_name(shop, write):
    rows = [
        {"product_id": "ok", "price": 1, "released": None, "replenishable": None},
        {"product_id": "a", "price": -1, "released": None, "replenishable": None},
        {"product_id": "b", "price": "dear", "released": None, "replenishable": None},
        {"product_id": None, "price": 1, "released": None, "replenishable": "yes"},
    ]
    report, products = bring_in(shop, write("p.csv", rows))
    assert list(products) == ["ok"]
    fields = [reject.field for _, reject in report.examples]
    assert fields == ["price", "price", "product_id"]
    assert len(report.rejects_path.read_bytes().splitlines()) == 3


def test_a_dry_run_changes_nothing(shop, write):
    report = check_products(shop.request(write("p.csv", [FULL, FULL | {"price": "x"}])))
    assert (report.products, report.rejected.total(), report.dry_run) == (1, 1, True)
    assert not shop.data_dir.exists()
    assert shop.store.catalog.n_products() == 0


@pytest.mark.parametrize(("preset", "repeated"), [("rees46", 0), (None, 20_001)])
def test_more_products_than_are_put_together_at_a_time_keep_order_and_last_values(shop, write_raw, preset, repeated):
    """Each has two rows, the second far from the first, once in a log and once in a catalogue."""
    n = 20_001
    lines = [f'{{"product_id":{i},"name":"Pan {i}","price":{row + 1}}}' for row in range(2) for i in range(n)]
    report, products = bring_in(shop, write_raw("many.jsonl", "\n".join(lines).encode()), preset=preset)
    assert (report.products, report.repeated) == (n, repeated)
    assert list(products) == [str(i) for i in range(n)]
    assert {product.price for product in products.values()} == {2.0}
