from __future__ import annotations

import pyarrow as pa
import pytest
from pydantic import ValidationError

from active_customers.core.clock import parse_time
from active_customers.core.errors import InvalidValueError
from active_customers.core.event import EventType
from active_customers.core.product import FIELDS
from active_customers.importing.event_files import read_events
from active_customers.importing.preset import (
    EVENT_FIELDS,
    Preset,
    check_columns,
    known_presets,
    preset_named,
)
from active_customers.importing.report import ImportReport

T = parse_time("2020-06-01T10:00:00Z")
SECONDS = T // 1_000_000


def rows_of(*files, preset: str) -> list[tuple[object, ...]]:
    """Read (customer, session, product, type, time) of files."""
    table = pa.Table.from_batches(read_events(files, preset))
    return [
        (row["customer_id"], row["session_id"], row["product_id"], EventType(row["event_type"]).word, row["time"])
        for row in table.to_pylist()
    ]


@pytest.mark.parametrize("name", known_presets())
def test_every_preset_says_what_it_is_of(name):
    preset = preset_named(name)
    assert preset.about
    assert preset.events or preset.products


@pytest.mark.parametrize(
    ("kind", "field", "meant"), [("events", "customer", "customer_id"), ("products", "stok", "stock")]
)
def test_a_preset_with_a_field_that_does_not_exist_is_refused_with_what_was_meant(kind, field, meant):
    with pytest.raises(ValidationError, match=f"there is no field {field}; did you mean {meant}"):
        Preset.model_validate({"name": "own", "about": "own", kind: {"fields": {field: "column"}}})


def test_native_has_every_field():
    native = preset_named("native")
    assert set(native.event_maps().fields) == set(EVENT_FIELDS)
    assert set(native.product_maps().fields) == set(FIELDS)


def test_an_unknown_preset_lists_the_known_ones():
    with pytest.raises(InvalidValueError, match="ga4, google-merchant, native, rees46, retailrocket"):
        preset_named("magento")


@pytest.mark.parametrize(
    ("columns", "fitting"),
    [
        (["SessionId", "ItemId", "Time"], "session-tsv"),
        (["timestamp", "visitorid", "event", "itemid", "transactionid"], "retailrocket"),
        (["ts", "user_id", "session_id", "event", "item_id"], "retailrocket"),
        (["event_time", "event_type", "product_id", "price", "user_id", "user_session"], "rees46"),
        (["InvoiceNo", "StockCode", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID"], "uci-online-retail"),
        (["event_name", "event_timestamp", "user_pseudo_id", "items", "event_params"], "ga4"),
    ],
)
def test_columns_of_another_preset_are_recognised(columns, fitting):
    with pytest.raises(InvalidValueError, match=f"--preset {fitting}, which fits") as caught:
        check_columns("shop.csv", columns, "events", preset_named("native"))
    assert "columns of shop.csv" in str(caught.value)
    check_columns("shop.csv", columns, "events", preset_named(fitting))


def test_columns_of_no_preset_are_told_what_is_missing():
    with pytest.raises(InvalidValueError) as caught:
        check_columns("shop.csv", ["who", "customer_id"], "events", preset_named("native"))
    assert str(caught.value) == (
        "columns of shop.csv: 'who, customer_id' is not valid: "
        "the preset native needs event_type, timestamp as well: rename the file's columns"
    )


def test_a_preset_without_products_says_so():
    with pytest.raises(InvalidValueError, match="says nothing of products"):
        check_columns("a.tsv", ["ItemId"], "products", preset_named("session-tsv"))


@pytest.mark.parametrize("ending", ["tsv", "tsv.gz", "parquet"])
def test_session_tsv_takes_each_session_as_a_customer(write, ending):
    path = write(f"s.{ending}", [{"SessionId": 7, "ItemId": 9, "Time": SECONDS + 0.5}])
    assert rows_of(path, preset="session-tsv") == [("7", "7", "9", "view", T + 500_000)]


def test_retailrocket_as_published_counts_milliseconds(write):
    rows = [
        {"timestamp": SECONDS * 1000, "visitorid": 1, "event": "view", "itemid": 5, "transactionid": None},
        {"timestamp": SECONDS * 1000 + 1, "visitorid": 1, "event": "addtocart", "itemid": 5, "transactionid": None},
        {"timestamp": SECONDS * 1000 + 2, "visitorid": 1, "event": "transaction", "itemid": 5, "transactionid": 8},
    ]
    expected = [
        ("1", None, "5", "view", T),
        ("1", None, "5", "cart_add", T + 1000),
        ("1", None, "5", "purchase", T + 2000),
    ]
    assert rows_of(write("events.csv", rows), preset="retailrocket") == expected
    assert rows_of(write("events.parquet", rows), preset="retailrocket") == expected


def test_retailrocket_with_sessions_has_typed_times(tmp_path, write):
    time = pa.scalar(T, pa.timestamp("us", "UTC")).as_py()
    row = {"ts": time, "user_id": 1, "session_id": 2, "event": "view", "item_id": 3, "category_id": 4}
    assert rows_of(write("slice.parquet", [row]), preset="retailrocket") == [("1", "2", "3", "view", T)]


@pytest.mark.parametrize("ending", ["csv", "csv.zst", "jsonl"])
def test_rees46_reads_its_own_way_of_writing_times(write, ending):
    row = {
        "event_time": "2020-06-01 10:00:00 UTC",
        "event_type": "remove_from_cart",
        "product_id": 44600062,
        "category_id": 2103807459595387724,
        "category_code": "",
        "brand": "shiseido",
        "price": 35.79,
        "user_id": 541312140,
        "user_session": "72d76fde",
    }
    assert rows_of(write(f"r.{ending}", [row]), preset="rees46") == [
        ("541312140", "72d76fde", "44600062", "cart_remove", T)
    ]


def uci(invoice: str, quantity: int, customer: object = 17850, price: float = 2.55) -> dict[str, object]:
    return {
        "InvoiceNo": invoice,
        "StockCode": "85123A",
        "Description": "HOLDER",
        "Quantity": quantity,
        "InvoiceDate": "6/1/2020 10:00",
        "UnitPrice": price,
        "CustomerID": customer,
        "Country": "France",
    }


def test_uci_lines_are_purchases_refunds_and_anonymous_baskets(shop, write):
    rows = [
        uci("536365", 6),
        uci("C536379", -1, "17850.0"),
        uci("536370", 2, None),
        uci("536371", 0),
        uci("A1", 1, 5, -9),
    ]
    report = shop.bring_in(write("uci.csv", rows), preset="uci-online-retail")
    seen = [
        (
            row["customer"],
            EventType(row["event_type"]),
            row["quantity"],
            row["price"],
            row["order_id"],
            row["time"],
        )
        for row in shop.events()
    ]
    assert seen == [
        ("17850", EventType.PURCHASE, 6, 2.55, "536365", T),
        ("17850", EventType.REFUND, 1, 2.55, "C536379", T),
        ("anonymous-536370", EventType.PURCHASE, 2, 2.55, "536370", T),
    ]
    assert {row["currency"] for row in shop.events()} == {"GBP"}
    assert report.rejected == {
        "quantity (column Quantity): give an integer in 1..1000000": 1,
        "price (column UnitPrice): give a number such as 9.99, zero or above": 1,
    }


def ga4(name: str, items: list[dict[str, object]], **fields: object) -> dict[str, object]:
    session = {"key": "ga_session_id", "value": {"string_value": None, "int_value": "1591005600"}}
    return {
        "event_name": name,
        "event_timestamp": str(T),
        "user_pseudo_id": "11.22",
        "event_params": [session, {"key": "currency", "value": {"string_value": "USD"}}],
        "items": items,
        **fields,
    }


GA4 = [
    ga4("page_view", []),
    ga4("session_start", []),
    ga4("view_item", [{"item_id": "A", "price": 9.5}]),
    ga4("purchase", [{"item_id": "A", "quantity": "2"}, {"item_id": "B"}], ecommerce={"transaction_id": "T1"}),
    ga4("search", [], user_id="u7"),
    ga4("add_to_cart", []),
    ga4("page_view", []),
]


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "parquet"])
def test_ga4_unfolds_items_and_ignores_what_is_no_act(write, ending):
    report = ImportReport("events", "ga4")
    table = pa.Table.from_batches(read_events([write(f"events_20200601.{ending}", GA4)], "ga4", report))
    assert table.select(["customer_id", "session_id", "product_id"]).to_pylist() == [
        {"customer_id": "11.22", "session_id": "1591005600", "product_id": "A"},
        {"customer_id": "11.22", "session_id": "1591005600", "product_id": "A"},
        {"customer_id": "11.22", "session_id": "1591005600", "product_id": "B"},
        {"customer_id": "u7", "session_id": "1591005600", "product_id": None},
    ]
    assert [EventType(kind).word for kind in table["event_type"].to_pylist()] == [
        "view",
        "purchase",
        "purchase",
        "search",
    ]
    assert report.ignored == {"page_view": 2, "session_start": 1}
    assert report.rejected == {"product_id (column items[].item_id): this event needs one": 1}


def test_ga4_orders_keep_their_id_currency_and_quantities(shop, write):
    shop.bring_in(write("events.jsonl", GA4), preset="ga4")
    bought = [row for row in shop.events() if row["event_type"] == EventType.PURCHASE]
    assert [(row["order_id"], row["currency"], row["quantity"]) for row in bought] == [
        ("T1", "USD", 2),
        ("T1", "USD", 1),
    ]


def test_native_rows_keep_every_field(shop, write):
    row = {
        "customer_id": 5,
        "event_type": "add_to_cart",
        "product_id": "SKU-9",
        "timestamp": "2020-06-01T12:00:00+02:00",
        "session_id": "s",
        "quantity": 3,
        "price": 9.5,
        "context": "cart",
        "channel": "mobile",
        "event_id": "e1",
        "currency": "EUR",
        "order_id": "o1",
        "recommendation_id": "token",
        "query": 'a "quoted" \\ query',
        "category": "Shoes > Boots",
        "consent": "profile",
        "other_customer_id": 6,
        "metadata": {"page": ["x", {"y": None}]},
    }
    shop.bring_in(write("native.jsonl", [row]))
    (event,) = shop.events()
    assert (event["customer"], event["product"], event["time"], event["price"]) == ("5", "SKU-9", T, 9.5)
    assert (event["context"], event["channel"], event["quantity"], event["session_id"]) == (3, 1, 3, "s")
    assert event["details"] == {
        "event_id": "e1",
        "currency": "EUR",
        "order_id": "o1",
        "recommendation_id": "token",
        "query": 'a "quoted" \\ query',
        "category": "Shoes > Boots",
        "consent": "profile",
        "other_customer_id": "6",
        "metadata": {"page": ["x", {"y": None}]},
    }
