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


def test_of_many_rows_each_field_keeps_its_last_value(shop, write):
    rows = [
        {"product_id": "a", "name": "Old", "price": 1, "brand": "B"},
        {"product_id": "b", "name": "Other", "price": 5, "brand": None},
        {"product_id": "a", "name": "New", "price": 0, "brand": None},
    ]
    report, products = bring_in(shop, write("1.csv", rows[:1]), write("2.csv", rows[1:]))
    assert products["a"] == Product("a", name="New", price=0.0, brand="B")
    assert (report.accepted, report.products) == (3, 2)


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
        {"product_id": "b", "price": 1, "released": "soon", "replenishable": None},
        {"product_id": "c", "price": 1, "released": None, "replenishable": "perhaps"},
        {"product_id": None, "price": 1, "released": None, "replenishable": "yes"},
    ]
    report, products = bring_in(shop, write("p.csv", rows))
    assert list(products) == ["ok"]
    fields = [reject.field for _, reject in report.examples]
    assert fields == ["price", "released", "replenishable", "product_id"]
    assert len(report.rejects_path.read_bytes().splitlines()) == 4


def test_a_dry_run_changes_nothing(shop, write):
    report = check_products(shop.request(write("p.csv", [FULL, FULL | {"price": "x"}])))
    assert (report.products, report.rejected.total(), report.dry_run) == (1, 1, True)
    assert not shop.data_dir.exists()
    assert shop.store.catalog.n_products() == 0


def test_more_products_than_are_put_together_at_a_time_keep_order_and_last_values(shop, write_raw):
    """Each has two rows, the second far from the first."""
    n = 20_001
    lines = [f'{{"product_id":{i},"name":"Pan {i}","price":{row + 1}}}' for row in range(2) for i in range(n)]
    report, products = bring_in(shop, write_raw("many.jsonl", "\n".join(lines).encode()))
    assert report.products == n
    assert list(products) == [str(i) for i in range(n)]
    assert {product.price for product in products.values()} == {2.0}
