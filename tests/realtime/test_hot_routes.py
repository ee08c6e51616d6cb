"""Bodies as they come over the wire: in parts, too long, far too long."""

from __future__ import annotations

import asyncio

import orjson
import pytest
from tests.realtime.conftest import Shop

from active_customers.core.errors import DiskFullError, OverloadedError, PayloadTooLargeError, StorageError
from active_customers.realtime.hot_routes import MAX_BODY, MAX_READ, HotRoutes, read_body

EVENT = orjson.dumps({"customer_id": 1, "event_type": "view", "product_id": 2})


class Wire:
    """Hands out a body in parts, and counts how many were taken."""

    def __init__(self, *parts: bytes) -> None:
        self._parts = list(parts)
        self.taken = 0

    async def receive(self) -> dict[str, object]:
        part = self._parts[self.taken]
        self.taken += 1
        return {"type": "http.request", "body": part, "more_body": self.taken < len(self._parts)}


def read(*parts: bytes) -> bytes | None:
    return asyncio.run(read_body(Wire(*parts).receive))


def test_a_body_in_parts_is_one_body():
    assert read(b"a", b"", b"bc", b"") == b"abc"
    assert read(b"abc") == b"abc"
    assert read(b"") == b""


def test_a_body_may_be_one_mebibyte_long_and_no_longer():
    for parts in ([b"x" * MAX_BODY], [b"x" * (MAX_BODY - 1), b"x"]):
        assert read(*parts) == b"x" * MAX_BODY
    for parts in ([b"x" * (MAX_BODY + 1)], [b"x" * MAX_BODY, b"x"]):
        with pytest.raises(PayloadTooLargeError, match="1 MiB"):
            read(*parts)


def test_a_body_is_read_to_its_end_up_to_eight_mebibytes():
    wire = Wire(*[b"x" * MAX_BODY] * 8)
    with pytest.raises(PayloadTooLargeError):
        asyncio.run(read_body(wire.receive))
    assert wire.taken == 8
    wire = Wire(*[b"x" * MAX_BODY] * 20)
    assert asyncio.run(read_body(wire.receive)) is None
    assert wire.taken == MAX_READ // MAX_BODY + 1


def post(shop: Shop, *parts: bytes):
    return asyncio.run(shop.hot.events({"headers": ()}, Wire(*parts).receive))


def test_a_body_too_long_is_answered_413_and_closes_only_when_it_never_ends(empty_shop):
    for sizes, closes in (([MAX_BODY, 1], False), ([MAX_BODY] * 10, True)):
        reply = post(empty_shop, *(b"x" * size for size in sizes))
        problem = orjson.loads(reply.body)
        assert (reply.status, problem["title"], problem["status"]) == (413, "Too large", 413)
        assert (problem["field"], problem["remedy"]) == ("body", "split it into several requests")
        assert ((b"connection", b"close") in reply.headers) == closes
    assert empty_shop.store.events.next_position() == 1


@pytest.mark.parametrize(
    ("error", "status", "title"),
    [
        (OverloadedError("the queue of events", retry_after=3), 503, "Overloaded"),
        (DiskFullError("the disk is full"), 507, "Storage full"),
        (StorageError("the disk is gone"), 503, "Storage unavailable"),
    ],
)
def test_what_keeps_an_event_from_being_stored_is_said(shop, error, status, title):
    class Failing:
        async def append(self, events):
            raise error

    hot = HotRoutes(shop.hot._access, shop.clock, (shop.engine, shop.hot._encoder), Failing())
    reply = asyncio.run(hot.events({"headers": ()}, Wire(EVENT).receive))
    assert (reply.status, orjson.loads(reply.body)["title"]) == (status, title)
    assert ((b"retry-after", b"3") in reply.headers) == isinstance(error, OverloadedError)
