"""How events and receipts travel between a worker and the committer's process: JSON, its length (4 bytes) before it.

One way a list of posts, each a list of events, each the list of its fields; the other way the list of receipts, as
`[position, session]`, or an object `{"error": [class, message]}`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import orjson

from active_customers.core import errors
from active_customers.core.errors import ActiveCustomersError, OverloadedError, StorageError
from active_customers.core.event import Channel, Context, Event, EventType, Receipt

LENGTH_BYTES = 4
_LONGEST = 1 << 31
"""Bytes of a message: what may wait in a worker is far less."""

_KINDS = {int(kind): kind for kind in EventType}
_CONTEXTS: dict[int | None, Context | None] = {None: None, **{int(context): context for context in Context}}
_CHANNELS: dict[int | None, Channel | None] = {None: None, **{int(channel): channel for channel in Channel}}


def frame(body: bytes) -> bytes:
    """Return a message with its length before it."""
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


class Incoming:
    """Cuts the bytes of one connection into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def messages(self, data: bytes) -> Iterator[bytes]:
        """Yield the messages that are complete with `data`; raises `ValueError` when one would be too long."""
        self._buffer += data
        while len(self._buffer) >= LENGTH_BYTES:
            end = LENGTH_BYTES + int.from_bytes(self._buffer[:LENGTH_BYTES], "big")
            if end > _LONGEST:
                raise ValueError("message too long")
            if len(self._buffer) < end:
                return
            message = bytes(self._buffer[LENGTH_BYTES:end])
            del self._buffer[:end]
            yield message


def packed_post(events: Sequence[Event]) -> bytes:
    """Return the events of one post as JSON."""
    return orjson.dumps([_fields_of(event) for event in events])


def packed_posts(posts: Iterable[bytes]) -> bytes:
    """Return packed posts as one message."""
    return b"[" + b",".join(posts) + b"]"


def unpacked_posts(message: bytes) -> list[Event]:
    """Return the events of a message of posts; raises `ValueError`, `TypeError` or `KeyError` when it is none."""
    return [_event_of(*fields) for post in orjson.loads(message) for fields in post]


def packed_outcome(outcome: Sequence[Receipt] | ActiveCustomersError) -> bytes:
    """Return receipts, or why there are none, as a message."""
    if isinstance(outcome, ActiveCustomersError):
        return orjson.dumps({"error": [type(outcome).__name__, str(outcome)]})
    return orjson.dumps([(receipt.position, receipt.session) for receipt in outcome])


def unpacked_outcome(message: bytes) -> list[Receipt] | ActiveCustomersError:
    """Return what `packed_outcome` packed."""
    answer = orjson.loads(message)
    if isinstance(answer, dict):
        return error_named(*answer["error"])
    return [Receipt(position, session) for position, session in answer]


def error_named(kind: str, message: str) -> ActiveCustomersError:
    """Return the error that another process raised, as far as it is one of storage."""
    found = getattr(errors, kind, StorageError)
    if found is OverloadedError:
        return OverloadedError("the queue of events is full")
    return found(message) if issubclass(found, StorageError) else StorageError(message)


def _fields_of(event: Event) -> tuple[object, ...]:
    return (
        event.customer_id,
        event.event_type,
        event.time,
        event.product_id,
        event.quantity,
        event.price,
        event.context,
        event.channel,
        event.session_id,
        event.details,
        event.dedup_key.hex(),
        event.retry_window,
    )


def _event_of(*fields: Any) -> Event:
    customer, kind, time, product, quantity, price, context, channel, session, details, key, window = fields
    return Event(
        customer,
        _KINDS[kind],
        time,
        product,
        quantity,
        price,
        _CONTEXTS[context],
        _CHANNELS[channel],
        session,
        details,
        bytes.fromhex(key),
        window,
    )
