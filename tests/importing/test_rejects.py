"""What is wrong with a row, in every format the same."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import orjson
import pytest
from tests.importing.conftest import NOW

from active_customers.core.clock import MINUTE, format_time

GOOD = {"customer_id": "c", "event_type": "view", "product_id": "p", "timestamp": "2020-06-01T10:00:00Z"}

BAD = [
    ({"customer_id": None}, "customer_id: this event needs one"),
    (
        {"customer_id": "x" * 129},
        "customer_id: '" + "x" * 76 + "... is not valid: give an integer in 0..2^53-1, or text",
    ),
    ({"customer_id": "a\tb"}, "customer_id: 'a\\tb' is not valid: give an integer"),
    ({"customer_id": "ü\u200b"}, "customer_id: 'ü\\u200b' is not valid: give an integer"),
    ({"event_type": "teleport"}, "event_type: 'teleport' is not valid: use a name from the list of event types"),
    ({"event_type": None}, "event_type: say what happened"),
    ({"event_type": "decision"}, "event_type: 'decision' is not valid: use a name"),
    ({"product_id": None}, "product_id: this event needs one"),
    ({"timestamp": None}, "timestamp: an import needs the time of every event"),
    ({"timestamp": "yesterday"}, "timestamp: 'yesterday' is not valid: give an RFC 3339 time"),
    ({"timestamp": "1969-12-31T23:59:59Z"}, "timestamp: '1969-12-31T23:59:59Z' is not valid: give an RFC 3339 time"),
    (
        {"timestamp": format_time(NOW + 5 * MINUTE + 1_000_000)},
        "timestamp: '2025-01-01T12:05:01Z' is not valid: it is more than 5 minutes ahead of the clock",
    ),
    ({"quantity": 0}, "quantity: '0' is not valid: give an integer in 1..1000000"),
    ({"quantity": 1_000_001}, "quantity: '1000001' is not valid"),
    ({"quantity": 1.5}, "quantity: '1.5' is not valid"),
    ({"quantity": "two"}, "quantity: 'two' is not valid"),
    ({"price": -0.01}, "price: '-0.01' is not valid: give a number such as 9.99, zero or above"),
    ({"price": "nan"}, "price: 'nan' is not valid"),
    ({"price": "1e999"}, "price: '1e999' is not valid"),
    ({"price": "9,50"}, "price: '9,50' is not valid"),
    ({"context": "nowhere"}, "context: 'nowhere' is not valid: use one of home, browse"),
    ({"channel": "fax"}, "channel: 'fax' is not valid: use one of web, mobile, email, push"),
    ({"currency": "euro"}, "currency: 'EURO' is not valid: give a code of three letters"),
    ({"session_id": "a\nb"}, "session_id: 'a\\nb' is not valid"),
    ({"query": "q" * 501}, "query: '" + "q" * 76 + "... is not valid: give at most 500 characters"),
    ({"consent": "maybe"}, "consent: 'maybe' is not valid: use one of none, session, profile"),
    ({"metadata": "[1]"}, "metadata: '[1]' is not valid: give a JSON object"),
]


@pytest.mark.parametrize(("change", "reason"), BAD, ids=lambda value: value[:40] if isinstance(value, str) else None)
def test_a_bad_row_is_rejected_by_name_and_the_others_count(shop, write, change, reason):
    path = write("events.jsonl", [GOOD, GOOD | change, GOOD])
    report = shop.bring_in(path)
    assert (report.accepted, report.rejected.total(), report.read) == (2, 1, 3)
    (line,) = report.rejects_path.read_bytes().splitlines()
    found = orjson.loads(line)
    assert (found["file"], found["row"]) == (str(path), 2)
    assert found["reason"].startswith(reason)


@pytest.mark.parametrize("ending", ["csv", "tsv.gz", "parquet"])
def test_other_formats_say_the_same_of_the_same_rows(write, shop, ending):
    changes = [change for change, _ in BAD if not {"\n", "\t", ","} & set(str(next(iter(change.values()))))]
    changes = [{name: None if value is None else str(value) for name, value in change.items()} for change in changes]
    written, lines = (
        write(f"events.{ending}", [GOOD | c for c in changes]),
        write("e.jsonl", [GOOD | c for c in changes]),
    )
    found = [orjson.loads(line) for line in shop.bring_in(written).rejects_path.read_bytes().splitlines()]
    expected = [orjson.loads(line) for line in shop.bring_in(lines).rejects_path.read_bytes().splitlines()]
    assert len(found) == len(changes) > 20
    assert [(r["row"], r["reason"]) for r in found] == [(r["row"], r["reason"]) for r in expected]


def test_typed_columns_are_checked_as_text_is(shop, write):
    time = datetime(2020, 6, 1, tzinfo=UTC)
    rows = [
        {"customer_id": -1, "event_type": "view", "product_id": 1.0, "timestamp": time, "price": 1.0},
        {"customer_id": 2**53, "event_type": "view", "product_id": 1.0, "timestamp": time, "price": 1.0},
        {"customer_id": 1, "event_type": "view", "product_id": 1.5, "timestamp": time, "price": 1.0},
        {"customer_id": 1, "event_type": "view", "product_id": 1.0, "timestamp": time, "price": float("inf")},
        {"customer_id": 1, "event_type": "view", "product_id": 1.0, "timestamp": time, "price": float("nan")},
    ]
    reasons = [reject for _, reject in shop.check(write("typed.parquet", rows)).examples]
    assert [(reject.row, reject.field, reject.value) for reject in reasons] == [
        (1, "customer_id", -1),
        (2, "customer_id", 2**53),
        (3, "product_id", 1.5),
        (4, "price", float("inf")),
    ]


def test_events_that_need_no_product_come_without_one(shop, write):
    kinds = ["checkout", "search", "login", "consent", "unsubscribe", "email_open", "push_open"]
    report = shop.bring_in(write("events.csv", [GOOD | {"event_type": kind, "product_id": None} for kind in kinds]))
    assert (report.accepted, report.rejects_path) == (7, None)
    assert {row["product"] for row in shop.events()} == {None}


def test_a_clock_that_runs_a_little_ahead_is_no_reason(shop, write):
    assert shop.bring_in(write("e.csv", [GOOD | {"timestamp": format_time(NOW + 5 * MINUTE)}])).accepted == 1


def test_only_so_many_rejected_rows_are_written_but_all_are_counted(shop, write):
    config = shop.request().config.model_copy(update={"rejects_kept": 3})
    report = shop.bring_in(write("e.csv", [GOOD | {"quantity": 0}] * 10 + [GOOD]), config=config)
    assert report.rejected == {"quantity: give an integer in 1..1000000": 10}
    assert len(report.rejects_path.read_bytes().splitlines()) == 3


def test_the_report_reads_as_sentences(shop, write):
    text = str(shop.bring_in(write("e.csv", [GOOD, GOOD | {"quantity": 0}])))
    assert "imported 1 of 2 rows" in text
    assert "1 customers, 1 products, 2020-06-01T10:00:00Z to 2020-06-01T10:00:00Z" in text
    assert "for example e.csv, row 2: quantity: '0' is not valid: give an integer in 1..1000000" in text
    assert "rejects.jsonl" in text


def nested(levels):
    value: object = 1
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize("levels", [51, 300, 900])
@pytest.mark.parametrize("as_text", [False, True], ids=["object", "text"])
def test_metadata_that_the_api_would_not_take_is_rejected_as_a_row(shop, write_raw, levels, as_text):
    def line(levels):
        text = '{"a":' * levels + "1" + "}" * levels
        metadata = orjson.dumps(text).decode() if as_text else text
        return orjson.dumps(GOOD).decode()[:-1] + f',"metadata":{metadata}}}\n'

    path = write_raw("e.jsonl", (line(50) + line(levels) + line(1)).encode())
    report = shop.bring_in(path)
    assert (report.accepted, report.rejected.total()) == (2, 1)
    ((_, reject),) = report.examples
    assert (reject.row, reject.field) == (2, "metadata")
    assert "nested at most 50 levels deep" in reject.reason
    assert [event["details"]["metadata"] for event in shop.events()] == [nested(50), nested(1)]


@pytest.mark.parametrize("value", [datetime(2020, 6, 1, tzinfo=UTC), Decimal("1.50"), b"\xff"], ids=type)
def test_what_json_has_no_word_for_is_rejected_as_a_row(shop, write, value):
    rows = [GOOD | {"metadata": {"a": given}} for given in (value, None)]
    report = shop.bring_in(write("e.parquet", rows))
    assert (report.accepted, [(reject.row, reject.field) for _, reject in report.examples]) == (1, [(1, "metadata")])
    assert "JSON object of texts, numbers" in report.examples[0][1].reason
