"""What may be asked, parameter by parameter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from active_customers.core.errors import InvalidValueError
from active_customers.core.event import Channel, Context
from active_customers.realtime.hot_routes import parse_query


def test_only_the_customer_is_required():
    query = parse_query(b"customer_id=12345")
    assert (query.customer_id, query.context, query.n, query.channel) == ("12345", Context.HOME, 10, Channel.WEB)
    assert (query.product_id, query.exclude, query.deadline_ms) == ((), (), 50)


def test_every_parameter_is_read():
    query = parse_query(
        b"customer_id=k%C3%BCrbis+1&context=cart&n=7&channel=mobile&product_id=a&product_id=b%26c"
        b"&exclude=1&exclude=1&deadline_ms=3"
    )
    assert (query.customer_id, query.context, query.n, query.channel) == ("kürbis 1", Context.CART, 7, Channel.MOBILE)
    assert (query.product_id, query.exclude, query.deadline_ms) == (("a", "b&c"), ("1", "1"), 3)


@pytest.mark.parametrize("context", ["home", "browse", "cart", "checkout", "discover"])
def test_the_four_contexts_are_served(context):
    assert parse_query(f"customer_id=1&context={context}".encode()).context.name.lower() == context


@pytest.mark.parametrize(
    ("query", "field", "remedy"),
    [
        ("", "customer_id", "required"),
        ("customer_id=", "customer_id", "1 to 128"),
        (f"customer_id={'x' * 129}", "customer_id", "1 to 128"),
        ("customer_id=a%0Ab", "customer_id", "printable"),
        ("customer_id=1&customer_id=1", "customer_id", "send it once"),
        ("customer_id=1&n=0", "n", "greater than or equal to 1"),
        ("customer_id=1&n=101", "n", "less than or equal to 100"),
        ("customer_id=1&n=-1", "n", "greater than or equal to 1"),
        ("customer_id=1&n=ten", "n", "integer"),
        ("customer_id=1&n=1.5", "n", "integer"),
        ("customer_id=1&n=", "n", "integer"),
        ("customer_id=1&n=NaN", "n", "integer"),
        ("customer_id=1&n=1&n=2", "n", "send it once"),
        ("customer_id=1&context=email", "context", "home, browse, cart, checkout, discover"),
        ("customer_id=1&context=Home", "context", "home, browse, cart, checkout, discover"),
        ("customer_id=1&context=home&context=cart", "context", "send it once"),
        ("customer_id=1&channel=fax", "channel", "web, mobile, email, push"),
        ("customer_id=1&channel=web&channel=web", "channel", "send it once"),
        ("customer_id=1&product_id=", "product_id[0]", "1 to 128"),
        ("customer_id=1&product_id=1" + "&product_id=1" * 20, "product_id", "at most 20"),
        ("customer_id=1&exclude=" + "x" * 129, "exclude[0]", "1 to 128"),
        ("customer_id=1" + "&exclude=1" * 201, "exclude", "at most 200"),
        ("customer_id=1&deadline_ms=0", "deadline_ms", "greater than or equal to 1"),
        ("customer_id=1&deadline_ms=10001", "deadline_ms", "less than or equal to 10000"),
        ("customer_id=1&deadline_ms=1&deadline_ms=1", "deadline_ms", "send it once"),
        ("customer_id=1&limit=5", "limit", "no such field; known are customer_id, context, n"),
        ("customer_id=%FF", "query", "UTF-8"),
        ("customer_id=%ED%A0%80", "query", "UTF-8"),
        ("customer_id=1" + "&exclude=1" * 600, "exclude", "200"),
    ],
)
def test_a_wrong_parameter_is_refused_with_its_name_and_what_to_send_instead(query, field, remedy):
    with pytest.raises(InvalidValueError) as refused:
        parse_query(query.encode())
    assert refused.value.field == field
    assert remedy in refused.value.remedy


def test_raw_bytes_in_the_url_are_refused():
    with pytest.raises(InvalidValueError, match="percent-encode"):
        parse_query("customer_id=kürbis".encode())


def test_a_refused_query_is_answered_with_a_problem_document(shop):
    reply = shop.reply_to_get("customer_id=1&n=101")
    assert reply.status == 400
    assert dict(reply.headers)[b"content-type"] == b"application/problem+json"
    assert b'"field":"n"' in reply.body
    assert b'"value":"101"' in reply.body


names = st.sampled_from(["customer_id", "context", "n", "product_id", "exclude", "other_customer_id", "deadline_ms"])
texts = st.sampled_from(["c-1_a.b~", "7", "cart", "a%20b", "k%C3%BCrbis", "x" * 129, "", "a+b", "a=b", "%FF", "home"])


@given(st.lists(st.tuples(names, texts), max_size=4), st.booleans())
def test_what_is_kept_of_earlier_queries_changes_no_answer(pairs, customer_first):
    """A query reads the same, or is refused with the same words, by the short way and by the long one."""
    rest = "&".join(f"{name}={value}" for name, value in pairs)
    short = (f"customer_id=c1&{rest}" if customer_first else rest).encode()
    long = short.replace(b"customer_id=c1", b"customer_id=%63%31", 1)
    assert outcome(short) == outcome(long)
    assert outcome(short) == outcome(long)  # and again, from what was kept


def outcome(query):
    try:
        return parse_query(query)
    except InvalidValueError as error:
        return error.field, error.remedy
