"""An import that rejects much of what it reads is believed in its good rows only."""

from __future__ import annotations

import pytest
from tests.importing.conftest import MemoryShop

from active_customers.importing.products import check_products, import_products
from active_customers.importing.report import ImportReport
from active_customers.importing.request import ImportConfig, ImportRequest

GOOD, BAD = {"product_id": "a", "price": 5}, {"product_id": "z", "price": "dear"}
EVENT = {"customer_id": "c", "event_type": "view", "product_id": "p", "timestamp": "2020-06-01T10:00:00Z"}


def full(shop: MemoryShop, path, most_rejected_share: float = 0.1) -> ImportReport:
    config = ImportConfig(most_rejected_share=most_rejected_share, most_withdrawn_share=1.0)
    request = ImportRequest([path], shop.data_dir, config=config, full=True)
    return import_products(request, shop, shop.clock, catalog=shop.store.catalog)


def available(shop: MemoryShop) -> dict[str, bool]:
    return {product.product_id: not product.withdrawn for _, product in shop.store.catalog.products()}


@pytest.mark.parametrize(("n_bad", "is_too_many"), [(0, False), (1, False), (2, True)])
def test_over_a_tenth_of_the_rows_is_too_many(shop, write, n_bad, is_too_many):
    rows = [GOOD | {"product_id": i} for i in range(10 - n_bad)] + [BAD] * n_bad
    report = check_products(shop.request(write("p.jsonl", rows)))
    assert report.has_too_many_rejects is is_too_many


def test_good_rows_are_imported_however_many_others_are_rejected(shop, write):
    report = import_products(shop.request(write("p.jsonl", [GOOD, BAD, BAD])), shop, shop.clock)
    assert report.has_too_many_rejects
    assert list(available(shop)) == ["a"]


def test_events_go_by_the_same_share(shop, write):
    path = write("e.jsonl", [EVENT, EVENT | {"event_type": "teleport"}])
    assert shop.bring_in(path).has_too_many_rejects
    assert not shop.bring_in(path, config=ImportConfig(most_rejected_share=0.5)).has_too_many_rejects


def test_a_full_feed_that_rejects_too_much_withdraws_nothing(shop, write):
    full(shop, write("all.jsonl", [GOOD, GOOD | {"product_id": "b"}]))
    bad = write("bad.jsonl", [GOOD | {"product_id": "c"}, BAD])
    report = full(shop, bad)
    assert (report.withdrawn, available(shop)) == (None, {"a": True, "b": True, "c": True})
    assert "nothing was made unavailable: too many rows were rejected" in str(report)
    assert full(shop, bad, most_rejected_share=0.5).withdrawn == 2
    assert available(shop) == {"a": False, "b": False, "c": True}


def test_the_complaint_names_the_commonest_reasons_the_share_and_the_setting(shop, write):
    rows = [GOOD, *[BAD] * 3, BAD | {"price": 1, "stock": -1}]
    complaint = check_products(shop.request(write("p.jsonl", rows))).complaint()
    assert complaint.startswith("4 of 5 rows were rejected (80 %), over 10 % (imports.most_rejected_share, ")
    assert "Most often: 3 x price: give a number" in complaint
    assert "; 1 x stock: give a whole number" in complaint
