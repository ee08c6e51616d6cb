"""A list that goes on shows no product twice, and ends."""

from __future__ import annotations

import orjson
import pytest

from active_customers.core.cursor import CURSOR_AGE
from active_customers.core.product import Product


def pages(shop, n=4, **parameters):
    """Return all pages of a list as lists of products."""
    found, cursor = [], "start"
    while cursor is not None:
        answer = shop.ask("ann", n=n, cursor=cursor, **parameters)
        found.append([row["product_id"] for row in answer["recommendations"]])
        cursor = answer["metadata"]["next_cursor"]
    return found


def problem(shop, query):
    reply = shop.reply_to_get(query)
    return reply.status, orjson.loads(reply.body)


def test_a_list_goes_on_to_its_end_without_repeats(shop):
    shop.act("ann", "view", "k1")
    found = [product for page in pages(shop) for product in page]
    assert len(found) == len(set(found))
    assert set(found) == set(shop.products("ann", n=100))


def test_the_first_page_is_the_list_that_has_no_pages(shop):
    shop.act("ann", "view", "k1")
    assert pages(shop)[0] == shop.products("ann", n=4)


def test_what_the_customer_does_meanwhile_counts_on_the_next_page(shop):
    first = shop.ask("ann", n=2, cursor="start")
    shop.act("ann", "hide", "g3")
    shown = {row["product_id"] for row in first["recommendations"]}
    rest = shop.products("ann", n=20, cursor=first["metadata"]["next_cursor"])
    assert not {"g3", *shown} & set(rest)


def test_a_cursor_is_not_sent_where_none_was_asked_for(shop):
    assert "next_cursor" not in shop.ask("ann")["metadata"]


def test_a_list_ends_where_the_shop_has_no_more(shop):
    assert shop.ask("ann", n=100, cursor="start")["metadata"]["next_cursor"] is None


def test_a_list_ends_after_500_products(empty_shop):
    empty_shop.sell(*(Product(f"p{number}", name="Pan") for number in range(700)))
    found = [product for page in pages(empty_shop, n=90) for product in page]
    assert (len(found), len(set(found))) == (540, 540)


def test_another_variant_of_what_was_shown_does_not_come_later(empty_shop):
    empty_shop.sell(*(Product(f"{name}-{size}", variant_group=name) for size in (1, 2) for name in ("boot", "sock")))
    assert pages(empty_shop, n=2) == [["sock-2", "boot-2"], []]


def test_a_cursor_of_another_customer_or_context_is_refused_by_name(shop):
    cursor = shop.ask("ann", n=2, cursor="start")["metadata"]["next_cursor"]
    for query in (f"customer_id=bob&cursor={cursor}", f"customer_id=ann&context=cart&cursor={cursor}"):
        status, document = problem(shop, query)
        assert (status, document["field"]) == (400, "cursor")
        assert "cursor=start" in document["remedy"]


def test_a_cursor_of_two_days_ago_is_refused(shop):
    cursor = shop.ask("ann", n=2, cursor="start")["metadata"]["next_cursor"]
    shop.clock.advance(2 * CURSOR_AGE)
    status, document = problem(shop, f"customer_id=ann&cursor={cursor}")
    assert (status, document["field"]) == (400, "cursor")
    assert "24 hours" in document["remedy"]


@pytest.mark.parametrize("cursor", ["", "first", "x" * 5_000])
def test_what_is_no_cursor_is_refused(shop, cursor):
    status, document = problem(shop, f"customer_id=ann&cursor={cursor}")
    assert (status, document["field"]) == (400, "cursor")
