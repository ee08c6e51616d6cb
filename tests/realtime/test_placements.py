"""All lists of a page in one call: no product twice, a bad placement costs only itself, one deadline."""

from __future__ import annotations

import asyncio
from itertools import count

import orjson
import pytest
from tests.realtime.conftest import Shop

from active_customers.core.product import Product
from active_customers.realtime.access import Access, AccessConfig
from active_customers.realtime.placements import MOST_PLACEMENTS, Placements

HOME = {"context": "home", "n": 3}


def reply(shop: Shop, body: object, access: AccessConfig | None = None, timer=None):
    raw = body if isinstance(body, bytes) else orjson.dumps(body)

    async def receive():
        return {"type": "http.request", "body": raw}

    options = {} if timer is None else {"timer": timer}
    placements = Placements(Access(access or AccessConfig()), (shop.engine, shop.hot._encoder), **options)
    found = asyncio.run(placements.answer({"headers": ()}, receive))
    return found.status, orjson.loads(found.body)


def ask(shop: Shop, customer: object = "ann", **placements: object):
    status, document = reply(shop, {"customer_id": customer, "placements": placements})
    assert status == 200, document
    return document["placements"]


def ids(answer):
    return [row["product_id"] for row in answer["recommendations"]]


def test_each_placement_is_answered_in_the_shape_of_a_list(shop):
    shop.act("ann", "view", "k1")
    found = ask(shop, first=HOME)
    alone = shop.ask("ann", n=3)
    assert found["first"] == alone


def test_no_product_is_in_two_placements_and_the_first_have_the_first_choice(shop):
    shop.act("ann", "view", "k1")
    found = ask(shop, hero=HOME, below=HOME, last={"n": 3, "context": "browse"})
    assert list(found) == ["hero", "below", "last"]
    assert ids(found["hero"]) == shop.products("ann", n=3)
    everything = [product for answer in found.values() for product in ids(answer)]
    assert len(everything) == len(set(everything)) == 9


def test_no_variant_of_what_stands_above_is_below(empty_shop):
    empty_shop.sell(*(Product(f"{name}-{size}", variant_group=name) for size in (1, 2) for name in ("boot", "sock")))
    found = ask(empty_shop, above={"n": 1}, below={"n": 4})
    assert ids(found["above"]) == ["sock-2"]
    assert ids(found["below"]) == ["boot-2"]  # and of those below one of each, too


def test_products_without_a_catalogue_entry_are_no_variants_of_each_other(shop):
    shop.sell(Product("k2", variant_group="pans"), Product("k3", variant_group="pans"))
    found = ask(shop, above={"n": 1}, below={"n": 100})
    assert len(ids(found["below"])) >= 8


def test_placements_of_other_customers_share_nothing(shop):
    found = ask(shop, ann=HOME, bob=HOME | {"customer_id": "bob"})
    assert ids(found["ann"]) == ids(found["bob"])
    assert [answer["customer_id"] for answer in found.values()] == ["ann", "bob"]


def test_a_bad_placement_is_answered_by_its_problem_and_the_others_by_their_lists(shop):
    status, document = reply(shop, {"customer_id": 1, "placements": {"good": HOME, "bad": {"n": 0}, "worse": {"N": 1}}})
    assert (status, document["status"]) == (200, "partial")
    good, bad, worse = document["placements"].values()
    assert len(good["recommendations"]) == 3
    assert (bad["status"], bad["field"]) == (400, "placements.bad.n")
    assert worse["field"] == "placements.worse.N"


def test_where_every_placement_is_bad_the_call_is_refused(shop):
    status, document = reply(shop, {"customer_id": 1, "placements": {"bad": {"n": 0}, "mad": {"context": "moon"}}})
    assert (status, document["title"]) == (400, "All placements rejected")
    assert [(each["placement"], each["field"]) for each in document["results"]] == [
        ("bad", "placements.bad.n"),
        ("mad", "placements.mad.context"),
    ]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", "body"),
        (b"[]", "body"),
        ({"customer_id": 1}, "placements"),
        ({"customer_id": 1, "placements": {}}, "placements"),
        ({"customer_id": 1, "placements": {str(i): {} for i in range(MOST_PLACEMENTS + 1)}}, "placements"),
        ({"customer_id": 1, "placements": {"a": 5}}, "placements.a"),
        ({"customer_id": 1, "placements": {"a": {}}, "n": 4}, "n"),
        ({"customer_id": 1, "placements": {"a": {}}, "deadline_ms": 0}, "deadline_ms"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_page_is_refused_by_name(shop, body, field):
    status, document = reply(shop, body)
    assert (status, document["field"]) == (400, field)


def test_a_placement_without_a_customer_says_so(shop):
    _, document = reply(shop, {"placements": {"a": HOME, "b": HOME | {"customer_id": 4}}})
    assert document["placements"]["a"]["field"] == "placements.a.customer_id"


def test_a_deadline_is_for_all_of_them(shop):
    _, document = reply(shop, {"customer_id": 1, "placements": {"a": HOME, "b": HOME | {"deadline_ms": 5}}})
    assert document["placements"]["b"]["field"] == "placements.b.deadline_ms"
    assert "beside" in document["placements"]["b"]["remedy"]


def test_what_the_deadline_left_out_is_said_for_each_placement(shop):
    """By a timer that goes on 40 ms with each look: the first placement is in time, those after 100 ms are not."""
    shop.act("ann", "view", "k1")
    ticks = count(0, 40_000_000)
    body = {"customer_id": "ann", "deadline_ms": 100, "placements": {name: {"n": 2} for name in "abcd"}}
    status, document = reply(shop, body, timer=lambda: next(ticks))
    assert (status, document["status"]) == (200, "partial")
    answers = document["placements"].values()
    assert [answer["metadata"]["degraded"] for answer in answers] == [[], [], ["deadline"], ["deadline"]]
    assert [len(answer["recommendations"]) for answer in answers] == [2] * 4


def test_a_page_in_time_is_complete(shop):
    _, document = reply(shop, {"customer_id": 1, "deadline_ms": 10_000, "placements": {"a": HOME}})
    assert document["status"] == "complete"


def test_a_placement_goes_on_by_its_cursor(shop):
    first = ask(shop, more=HOME | {"cursor": "start"})["more"]
    second = ask(shop, more=HOME | {"cursor": first["metadata"]["next_cursor"]})["more"]
    assert not set(ids(first)) & set(ids(second))


def test_one_product_id_needs_no_list(shop):
    found = ask(shop, page={"context": "browse", "product_id": "k1", "exclude": ["k2"], "n": 9})
    assert not {"k1", "k2"} & set(ids(found["page"]))


def test_a_key_is_needed_where_there_are_keys(shop):
    access = AccessConfig(public_keys=("pub-0123456789abcdef",))
    status, document = reply(shop, {"customer_id": 1, "placements": {"a": HOME}}, access)
    assert (status, document["title"]) == (401, "API key needed")


@pytest.mark.parametrize(
    ("placements", "language", "varies"),
    [
        ({"a": HOME, "b": HOME}, b"de", True),
        ({"a": {"lang": "en"}, "b": {"lang": "en"}}, b"en", False),
        ({"a": {"lang": "en"}, "b": HOME}, b"en, de", True),
    ],
)
def test_the_reply_says_its_languages_and_whether_the_request_s_header_chose_one(shop, placements, language, varies):
    body = orjson.dumps({"customer_id": "ann", "placements": placements})

    async def receive():
        return {"type": "http.request", "body": body}

    asked = Placements(Access(AccessConfig()), (shop.engine, shop.hot._encoder))
    found = dict(asyncio.run(asked.answer({"headers": [(b"accept-language", b"de")]}, receive)).headers)
    assert found[b"content-language"] == language
    assert (found.get(b"vary") == b"accept-language") == varies
