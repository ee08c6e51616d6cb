"""How the embedded log stores an entry: a fixed head of 64 bytes, then the rarer fields as JSON, if there are any.

Head (little-endian): type, context + 1, channel + 1 and flags (a byte each), quantity i32, time i64, arrival i64,
customer u32, product u32, session u64, price f64, retry key (16 bytes). Ids of customers and products are not in it:
their numbers stand for them, so that erasing a customer's name is one record.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from active_customers.core.erasure import NAMES_ANOTHER, ErasedCustomers, blank_entry
from active_customers.core.event import Channel, Context, Event, EventType, LogEntry
from active_customers.core.identifiers import NO_NUMBER
from active_customers.storage.archive import SCHEMA

_HEAD = struct.Struct("<BBBBiqqIIQd16s")
_HAS_PRICE = 1
_HEADS = np.dtype(
    [
        ("event_type", "u1"),
        ("context", "u1"),
        ("channel", "u1"),
        ("flags", "u1"),
        ("quantity", "<i4"),
        ("time", "<i8"),
        ("arrival", "<i8"),
        ("customer", "<u4"),
        ("product", "<u4"),
        ("session", "<u8"),
        ("price", "<f8"),
        ("dedup_key", "V16"),
    ]
)
"""`_HEAD` as a row of an array."""
_MENTION = f'"{NAMES_ANOTHER}"'.encode()
_TEXTS = ("session_id", "order_id", "currency", "details")


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


def customer_of(record: bytes) -> int:
    """Return the number of the customer whose act a stored entry is."""
    number: int = _HEAD.unpack_from(record)[7]
    return number


class Cleaner:
    """Takes erased customers out of stored entries."""

    def __init__(self, erased: ErasedCustomers) -> None:
        self._erased = erased
        self._numbers = set(erased.numbers.tolist())

    def cleaned(self, key: bytes, record: bytes) -> bytes | None:
        """Return what takes an entry's place (see `blank_entry`), or None when it holds nothing of them."""
        position = int.from_bytes(key, "big")
        head = _HEAD.unpack_from(record)
        kind, arrival, customer = head[0], head[6], head[7]
        if customer in self._numbers and kind != EventType.ERASE:
            return encode(blank_entry(position, arrival))
        return self._unnamed(position, record) if _MENTION in record else None

    def _unnamed(self, position: int, record: bytes) -> bytes | None:
        details = orjson.loads(record[_HEAD.size :])
        if not self._erased.names(details.get(NAMES_ANOTHER), position):
            return None
        del details[NAMES_ANOTHER]
        return record[: _HEAD.size] + orjson.dumps(details)


def heads_of_records(keys: Sequence[bytes], records: Sequence[bytes]) -> dict[str, NDArray[Any]]:
    """Return the fixed fields of stored entries as arrays by name, position (from their keys) among them."""
    heads = np.frombuffer(b"".join([record[: _HEAD.size] for record in records]), _HEADS)
    positions = np.frombuffer(b"".join(keys), ">u8").astype(np.int64)
    return {"position": positions, **{name: heads[name] for name in _HEADS.names or ()}}


def table_of_records(positions: Sequence[int], records: Sequence[bytes]) -> pa.Table:
    """Return stored entries as rows of `archive.SCHEMA`: the heads all at once, the rest row by row."""
    heads = np.frombuffer(b"".join([record[: _HEAD.size] for record in records]), _HEADS)
    columns: dict[str, object] = {
        name: np.ascontiguousarray(heads[name])
        for name in ("arrival", "time", "event_type", "customer", "session", "quantity")
    }
    columns["position"] = np.array(positions, np.uint64)
    columns["product"] = pa.array(heads["product"], mask=heads["product"] == NO_NUMBER)
    columns["price"] = pa.array(heads["price"], mask=heads["flags"] & _HAS_PRICE == 0)
    for name in ("context", "channel"):  # 0 stands for none
        columns[name] = pa.array(heads[name] - np.uint8(1), mask=heads[name] == 0)
    keys = pa.py_buffer(np.ascontiguousarray(heads["dedup_key"]))
    columns["dedup_key"] = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(heads), [None, keys])
    texts = [_texts(record) for record in records]
    columns |= dict(zip(_TEXTS, zip(*texts, strict=True) if texts else [()] * len(_TEXTS), strict=True))
    return pa.table([pa.array(columns[field.name], field.type) for field in SCHEMA], schema=SCHEMA)


def _texts(record: bytes) -> tuple[str | None, ...]:
    """Return `_TEXTS` of a record: what stands in its JSON, and the JSON without the session."""
    if len(record) == _HEAD.size:
        return (None,) * len(_TEXTS)
    details = orjson.loads(record[_HEAD.size :])
    session_id = details.pop("session_id", None)
    written = orjson.dumps(details).decode() if details else None
    return session_id, details.get("order_id"), details.get("currency"), written
