"""What a merged file or a full feed changes in entries that are there, and what it leaves as it was."""

from __future__ import annotations

import pytest
from tests.importing.conftest import MemoryShop
from tests.importing.test_products import bring_in

from active_customers.catalog.product_schema import as_json
from active_customers.core.product import Product, ProductChange
from active_customers.importing.products import import_products
from active_customers.importing.report import ImportReport
from active_customers.importing.request import ImportConfig, ImportRequest

HEAD = "Handle,Title,Variant SKU,Variant Price,Status\n"


def run(shop: MemoryShop, path, preset: str | None = None, **more) -> ImportReport:
    request = ImportRequest([path], shop.data_dir, preset, ImportConfig(most_withdrawn_share=1.0), **more)
    return import_products(request, shop, shop.clock, catalog=shop.store.catalog)


def entries(shop: MemoryShop) -> dict[str, Product]:
    return {product.product_id: product for _, product in shop.store.catalog.products()}


def test_a_merge_sets_to_false_what_a_row_says_is_false(shop, write):
    yes = {"product_id": "a", "name": "Pan", "hidden": True, "replenishable": True}
    bring_in(shop, write("all.csv", [yes]))
    run(shop, write("more.csv", [{"product_id": "a", "hidden": "false", "replenishable": "no"}]), merge=True)
    assert entries(shop) == {"a": Product("a", name="Pan")}


def test_a_merge_keeps_flags_that_no_row_speaks_of(shop, write):
    bring_in(shop, write("all.csv", [{"product_id": "a", "hidden": True}]))
    run(shop, write("more.csv", [{"product_id": "a", "hidden": None, "stock": 1}]), merge=True)
    assert entries(shop) == {"a": Product("a", hidden=True, stock=1)}


def test_a_draft_that_became_active_is_shown_after_a_merge(shop, write_raw):
    for status in ("draft", "active"):
        run(shop, write_raw("p.csv", f"{HEAD}pan,Pan,P-1,5,{status}\n".encode()), "shopify", merge=True)
    assert not entries(shop)["P-1"].hidden


@pytest.mark.parametrize("is_full", [True, False])
def test_what_a_full_feed_lacked_is_back_as_it_was_with_the_next_merge_that_has_it(shop, write, is_full):
    before = [{"product_id": "a", "stock": 3}, {"product_id": "b", "stock": 4, "availability": "backorder"}]
    bring_in(shop, write("all.jsonl", before))
    assert run(shop, write("one.csv", [{"product_id": "a", "stock": 3}]), full=True, merge=True).withdrawn == 1
    assert entries(shop)["b"].told_availability == "out_of_stock"
    both = [{"product_id": "a", "stock": 3}, {"product_id": "b", "stock": 5}]
    run(shop, write("both.csv", both), full=is_full, merge=True)
    assert entries(shop)["b"] == Product("b", stock=5, availability="backorder")


def test_what_the_shop_itself_sold_out_stays_so_when_a_full_feed_has_it_again(shop, write):
    rows = [{"product_id": "a", "stock": 3}, {"product_id": "b", "availability": "out_of_stock"}]
    bring_in(shop, write("all.jsonl", rows))
    for last in (1, 2):
        run(shop, write("some.csv", [{"product_id": name, "price": 1} for name in "ab"[:last]]), full=True, merge=True)
    assert entries(shop)["b"] == Product("b", availability="out_of_stock", price=1.0)


@pytest.mark.parametrize(
    ("said", "is_back"), [({"stock": 2}, True), ({"availability": "preorder"}, True), ({"price": 2.0}, False)]
)
def test_what_a_full_feed_lacked_is_back_when_the_shop_tells_of_its_stock_or_availability(shop, write, said, is_back):
    bring_in(shop, write("all.csv", [{"product_id": "a", "stock": 3}, {"product_id": "b", "stock": 4}]))
    run(shop, write("one.csv", [{"product_id": "a", "stock": 3}]), full=True)
    shop.change_products([ProductChange("b", said, merge=True)])
    assert (entries(shop)["b"].told_availability != "out_of_stock") is is_back


def test_what_a_full_feed_lacked_is_shown_as_withdrawn_and_sold_out_beside_what_the_shop_said(shop, write):
    bring_in(shop, write("all.jsonl", [{"product_id": 1}, {"product_id": 2, "stock": 4, "availability": "preorder"}]))
    run(shop, write("one.csv", [{"product_id": 1, "stock": 3}]), full=True)
    assert as_json(entries(shop)["2"], shop.clock.now()) == {
        "product_id": 2,
        "stock": 4,
        "availability": "preorder",
        "current": {"availability": "out_of_stock", "withdrawn": True, "shown": False},
    }
