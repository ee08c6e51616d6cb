"""How the embedded log stores an entry: a fixed head of 64 bytes, then the rarer fields as JSON, if there are any.

Head (little-endian): type, context + 1, channel + 1 and flags (a byte each), quantity i32, time i64, arrival i64,
customer u32, product u32, session u64, price f64, retry key (16 bytes). Ids of customers and products are not in it:
their numbers stand for them, so that erasing a customer's name is one record.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import orjson

from active_customers.core.event import Channel, Context, Event, EventType, LogEntry
from active_customers.core.identifiers import NO_NUMBER

_HEAD = struct.Struct("<BBBBiqqIIQd16s")
_HAS_PRICE = 1


def encode(entry: LogEntry) -> bytes:
    """Return the stored form of an entry (its position is the key)."""
    event = entry.event
    head = _HEAD.pack(
        event.event_type,
        0 if event.context is None else event.context + 1,
        0 if event.channel is None else event.channel + 1,
        0 if event.price is None else _HAS_PRICE,
        event.quantity,
        event.time,
        entry.arrival,
        entry.customer,
        entry.product,
        entry.session,
        event.price or 0.0,
        event.dedup_key,
    )
    if event.session_id is None and not event.details:
        return head
    return head + orjson.dumps({"session_id": event.session_id, **event.details})


def decode(
    position: int, record: bytes, customer_id: Callable[[int], str], product_id: Callable[[int], str | None]
) -> LogEntry:
    """Return the entry that `encode` stored at a position; the callables name customers and products by number."""
    kind, context, channel, flags, quantity, time, arrival, customer, product, session, price, key = _HEAD.unpack_from(
        record
    )
    details = orjson.loads(record[_HEAD.size :]) if len(record) > _HEAD.size else {}
    event = Event(
        customer_id=customer_id(customer),
        event_type=EventType(kind),
        time=time,
        product_id=None if product == NO_NUMBER else product_id(product),
        quantity=quantity,
        price=price if flags & _HAS_PRICE else None,
        context=Context(context - 1) if context else None,
        channel=Channel(channel - 1) if channel else None,
        session_id=details.pop("session_id", None),
        details=details,
        dedup_key=key,
    )
    return LogEntry(position, arrival, customer, product, session, event)
