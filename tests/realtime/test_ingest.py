"""What may be posted, what is refused and how it is said, and what counts as a retry."""

from __future__ import annotations

import orjson
import pytest
from tests.conftest import NOW

from active_customers.core.clock import DAY, HOUR, MINUTE, format_time
from active_customers.core.errors import InvalidValueError
from active_customers.core.event import PUBLIC_WORDS, Channel, Context, EventType
from active_customers.core.session import CustomerState
from active_customers.realtime.ingest import parse_body

VIEW = {"customer_id": 12345, "event_type": "view", "product_id": 67890}
MISSING = object()


def body(**changes):
    """Return the JSON of a good event with some fields changed, added or (MISSING) left out."""
    return orjson.dumps({name: value for name, value in (VIEW | changes).items() if value is not MISSING})


def refusal(raw):
    posted = parse_body(raw, NOW)
    [outcome] = posted.outcomes
    assert isinstance(outcome, InvalidValueError)
    return outcome


@pytest.mark.parametrize("kind", PUBLIC_WORDS)
def test_every_public_event_type_is_taken(kind):
    assert parse_body(body(event_type=kind), NOW).events()[0].event_type is PUBLIC_WORDS[kind]


@pytest.mark.parametrize("name", ["view_item", "add_to_cart", "AddToCart", "Placed Order", "detail-page-view"])
def test_names_of_other_systems_are_taken(name):
    assert len(parse_body(body(event_type=name), NOW).events()) == 1


def test_everything_that_was_said_is_in_the_event():
    [event] = parse_body(
        body(
            event_type="purchase",
            timestamp="2025-01-01T13:00:00+01:00",
            quantity=2,
            price=9.5,
            currency="EUR",
            order_id=7,
            session_id="s",
            context="cart",
            channel="mobile",
            metadata={"a": [1, None]},
        ),
        NOW,
    ).events()
    assert (event.customer_id, event.product_id, event.event_type) == ("12345", "67890", EventType.PURCHASE)
    assert format_time(event.time) == "2025-01-01T12:00:00Z"
    assert (event.quantity, event.price, event.session_id) == (2, 9.5, "s")
    assert (event.context, event.channel) == (Context.CART, Channel.MOBILE)
    assert event.details == {"order_id": "7", "currency": "EUR", "metadata": {"a": [1, None]}}


def test_an_event_without_a_timestamp_happened_now():
    assert parse_body(body(), NOW).events()[0].time == NOW


@pytest.mark.parametrize(
    ("changes", "field", "remedy"),
    [
        ({"customer_id": MISSING}, "customer_id", "required"),
        ({"customer_id": ""}, "customer_id", "1 to 128"),
        ({"customer_id": "x" * 129}, "customer_id", "1 to 128"),
        ({"customer_id": None}, "customer_id", "integer or a string"),
        ({"customer_id": 1.5}, "customer_id", "integer or a string"),
        ({"customer_id": True}, "customer_id", "integer or a string"),
        ({"customer_id": -1}, "customer_id", "strings"),
        ({"customer_id": 2**53}, "customer_id", "strings"),
        ({"customer_id": "a\nb"}, "customer_id", "printable"),
        ({"customer_id": ["a"]}, "customer_id", "integer or a string"),
        ({"product_id": ""}, "product_id", "1 to 128"),
        ({"product_id": "x" * 129}, "product_id", "1 to 128"),
        ({"product_id": MISSING}, "product_id", "needs the product"),
        ({"event_id": ""}, "event_id", "1 to 128"),
        ({"session_id": {}}, "session_id", "integer or a string"),
        ({"event_type": MISSING}, "event_type", "required"),
        ({"event_type": "viewed"}, "event_type", "send one of view, click"),
        ({"event_type": "decision"}, "event_type", "send one of view, click"),
        ({"event_type": 1}, "event_type", "send one of view, click"),
        ({"timestamp": "yesterday"}, "timestamp", "RFC 3339"),
        ({"timestamp": "2025-01-01T12:00:00"}, "timestamp", "zone"),
        ({"timestamp": 1735732800}, "timestamp", "RFC 3339"),
        ({"timestamp": "1969-12-31T23:59:59Z"}, "timestamp", "1970"),
        ({"timestamp": "2025-01-15T12:05:01Z"}, "timestamp", "5 minutes ahead"),
        ({"timestamp": "9999-12-31T23:59:59-12:00"}, "timestamp", "5 minutes ahead"),
        ({"metadata": [1]}, "metadata", "send a JSON object"),
        ({"metadata": "x"}, "metadata", "send a JSON object"),
        ({"metadata": None}, "metadata", "send a JSON object"),
        ({"quantity": 0}, "quantity", "greater than or equal to 1"),
        ({"quantity": 1.5}, "quantity", "integer"),
        ({"quantity": "2"}, "quantity", "integer"),
        ({"quantity": True}, "quantity", "integer"),
        ({"price": -1}, "price", "greater than or equal to 0"),
        ({"price": "9.50"}, "price", "number"),
        ({"currency": "euro"}, "currency", "match"),
        ({"context": "garden"}, "context", "send one of home"),
        ({"channel": "pigeon"}, "channel", "send one of web"),
        ({"consent": "yes"}, "consent", "none"),
        ({"query": ""}, "query", "at least 1 character"),
        ({"colour": "red"}, "colour", "no such field; known are customer_id"),
    ],
)
def test_a_wrong_value_is_refused_with_its_field_and_what_to_send_instead(changes, field, remedy):
    outcome = refusal(body(**changes))
    assert outcome.field == field
    assert remedy in outcome.remedy


@pytest.mark.parametrize("kind", ["search", "login", "consent", "unsubscribe", "checkout", "email_open", "push_open"])
def test_some_events_need_no_product(kind):
    assert len(parse_body(body(event_type=kind, product_id=MISSING), NOW).events()) == 1


def test_a_clock_may_run_ahead_by_five_minutes():
    assert len(parse_body(body(timestamp=format_time(NOW + 5 * MINUTE)), NOW).events()) == 1


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"nonsense",
        b"[1]",
        b'"view"',
        b"null",
        b"\xff\xfe",
        b'{"customer_id": "\xe4", "event_type": "view"}',
        b'{"customer_id": 1, "event_type": "view", "product_id": 1, "price": NaN}',
        b'{"customer_id": 1, "event_type": "view", "product_id": 1, "metadata": {"a": [NaN]}}',
        b'{"customer_id": 1, "event_type": "view", "product_id": 1, "metadata": {"a": -Infinity}}',
        b'{"customer_id": 1, "event_type": "view", "product_id": 1, "metadata": {"a": 1e999}}',
        b"[" * 100_000,
        b"[" * 1000 + b"]" * 1000,
    ],
)
def test_what_is_no_json_object_in_utf8_is_refused(raw):
    with pytest.raises(InvalidValueError, match=r"send (JSON in UTF-8|one event)") as refused:
        parse_body(raw, NOW)
    assert refused.value.field == "body"


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"events": []}, "events"),
        ({"events": None}, "events"),
        ({"events": {}}, "events"),
        ({"events": [VIEW] * 1001}, "events"),
        ({"events": [VIEW], "customer_id": 1}, "customer_id"),
    ],
)
def test_what_is_no_batch_is_refused_whole(document, field):
    with pytest.raises(InvalidValueError) as refused:
        parse_body(orjson.dumps(document), NOW)
    assert refused.value.field == field


def test_a_thousand_events_are_a_batch():
    assert len(parse_body(orjson.dumps({"events": [VIEW] * 1000}), NOW).events()) == 1000


@pytest.mark.parametrize("depth", [51, 300, 1000])
def test_metadata_nested_deeper_than_can_be_stored_is_refused(shop, depth):
    raw = b'{"customer_id":1,"event_type":"login","metadata":{"a":' + b"[" * depth + b"]" * depth + b"}}"
    status, problem = shop.post(raw)
    assert (status, problem["field"]) == (400, "metadata")
    assert "levels deep" in problem["remedy"]
    status, answer = shop.post(
        b'{"events":[{"customer_id":' + b"[" * depth + b"]" * depth + b'},{"customer_id":1,"event_type":"login"}]}'
    )
    assert [result["status"] for result in answer["results"]] == ["rejected", "accepted"]


def test_the_last_of_duplicate_keys_wins():
    [event] = parse_body(b'{"customer_id":1,"event_type":"view","product_id":"a","product_id":"b"}', NOW).events()
    assert event.product_id == "b"


# Through the route: what is stored, what is answered, what is a retry.


def test_a_refused_event_stores_nothing_and_says_what_to_do(empty_shop):
    status, problem = empty_shop.post(VIEW | {"quantity": 0})
    assert status == 400
    assert (problem["field"], problem["value"], problem["status"]) == ("quantity", "0", 400)
    assert problem["remedy"] in problem["detail"]
    assert empty_shop.store.events.next_position() == 1
    assert empty_shop.store.catalog.n_products() == 0


def test_a_number_and_its_digits_are_one_customer_and_come_back_as_a_number(empty_shop):
    empty_shop.act(12345, "cart_add", 67890)
    empty_shop.act("12345", "cart_add", "67890")
    assert CustomerState.of(empty_shop.store.sessions.state("12345")).cart[:, :2].tolist() == [[0, 2]]
    assert empty_shop.ask("12345")["customer_id"] == 12345
    assert empty_shop.products("someone") == [67890]


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        (7, 7),
        ("7", 7),
        ("0", 0),
        ("007", "007"),
        (str(2**53 - 1), 2**53 - 1),
        (str(2**53), str(2**53)),
        ("-7", "-7"),
        ("7.0", "7.0"),
        ("SKU-9", "SKU-9"),
    ],
)
def test_ids_come_back_as_numbers_only_where_every_parser_reads_them_right(empty_shop, sent, answered):
    status, document = empty_shop.post(VIEW | {"product_id": sent, "event_id": sent})
    assert (status, document) == (202, {"event_id": answered, "status": "accepted"})
    assert empty_shop.products(sent) == [answered]
    assert empty_shop.ask(sent)["customer_id"] == answered


def test_one_event_is_answered_on_its_own(empty_shop):
    assert empty_shop.post(VIEW) == (202, {"event_id": None, "status": "accepted"})
    assert empty_shop.post(VIEW) == (202, {"event_id": None, "status": "duplicate"})


def test_a_batch_is_answered_event_by_event_and_a_bad_one_costs_none_of_the_others(empty_shop):
    events = [
        VIEW | {"event_id": "e1"},
        VIEW | {"event_id": "e2", "event_type": "nonsense"},
        "no object",
        VIEW | {"event_id": "e1"},
        VIEW | {"event_id": 4},
    ]
    status, document = empty_shop.post({"events": events})
    assert status == 202
    results = document["results"]
    assert [result["status"] for result in results] == ["accepted", "rejected", "rejected", "duplicate", "accepted"]
    assert [result["event_id"] for result in results] == ["e1", "e2", None, "e1", 4]
    assert results[1]["error"].startswith("events[1].event_type: 'nonsense' is not valid: send one of")
    assert results[2]["error"].startswith("events[2]: 'no object' is not valid")
    assert "error" not in results[0]
    assert empty_shop.store.events.next_position() == 3


def test_a_batch_without_a_single_good_event_is_refused_with_all_reasons(empty_shop):
    status, problem = empty_shop.post({"events": [VIEW | {"quantity": 0}, {}]})
    assert (status, problem["title"]) == (400, "All events rejected")
    assert [result["status"] for result in problem["results"]] == ["rejected", "rejected"]


def test_a_batch_of_duplicates_only_is_accepted(empty_shop):
    batch = {"events": [VIEW | {"event_id": "e1"}, VIEW | {"event_id": "e2"}]}
    empty_shop.post(batch)
    status, document = empty_shop.post(batch)
    assert status == 202
    assert [result["status"] for result in document["results"]] == ["duplicate", "duplicate"]


def test_an_event_id_seen_within_a_week_is_a_duplicate_whatever_else_is_said(empty_shop):
    empty_shop.post(VIEW | {"event_id": 7})
    empty_shop.clock.advance(6 * DAY)
    for other in ({"event_id": "7"}, {"event_id": 7, "product_id": "other"}, {"event_id": 7, "customer_id": "other"}):
        assert empty_shop.post(VIEW | other)[1]["status"] == "duplicate"


def test_an_identical_body_is_a_retry_for_ten_minutes(empty_shop):
    statuses = []
    for wait in (0, 10 * MINUTE, 1, HOUR):
        empty_shop.clock.advance(wait)
        statuses.append(empty_shop.post(VIEW)[1]["status"])
    assert statuses == ["accepted", "duplicate", "accepted", "accepted"]


def test_equal_events_within_one_batch_all_count_and_its_retry_none(empty_shop):
    batch = {"events": [VIEW, VIEW, VIEW]}
    for expected in ("accepted", "duplicate"):
        assert [result["status"] for result in empty_shop.post(batch)[1]["results"]] == [expected] * 3
    assert empty_shop.post({"events": [VIEW, VIEW]})[1]["results"][0]["status"] == "accepted"


def test_a_body_that_differs_by_a_space_is_an_event_of_its_own(empty_shop):
    assert empty_shop.post(orjson.dumps(VIEW))[1]["status"] == "accepted"
    assert empty_shop.post(orjson.dumps(VIEW) + b" ")[1]["status"] == "accepted"


def test_a_request_shows_at_most_ten_thousand_products():
    seen = [{"customer_id": 1, "event_type": "impression", "product_ids": list(range(100))}] * 100
    assert len(parse_body(orjson.dumps({"events": seen}), NOW).events()) == 10_000
    with pytest.raises(InvalidValueError, match=r"events: .*101 events.*more than 10000 products.*further requests"):
        parse_body(orjson.dumps({"events": [*seen, VIEW]}), NOW)
