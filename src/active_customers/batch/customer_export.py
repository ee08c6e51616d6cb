"""Everything held about one customer, for the customer."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

import duckdb
import numpy as np
import orjson
from pydantic import BaseModel

from active_customers.core.clock import DAY, format_time
from active_customers.core.errors import StorageError, UnknownCustomerError
from active_customers.core.event import Channel, Context, EventType, LogEntry
from active_customers.core.identifiers import NO_NUMBER, json_id
from active_customers.core.session import SHOWN_BITS, SHOWN_DAY_AT, SHOWN_DAYS, CustomerState, State
from active_customers.storage.archive import PART_REMEDY, Archive, table_of
from active_customers.storage.embedded import EmbeddedStore

Row = dict[str, Any]

_ENTRIES_PER_READ = 5_000
_ROWS_PER_READ = 5_000
_ROWS = """
SELECT * FROM read_parquet(?, hive_partitioning = false) WHERE customer IN (SELECT unnest(?)) ORDER BY position
"""


class CustomerDocument(BaseModel):
    """Everything held about a customer."""

    customer_id: int | str
    ids: list[int | str]
    """All that lead to the customer, or did, the one that was known first in front."""
    consent: str | None
    """What they agreed to last; null when they never said."""
    robot: dict[str, str] | None
    """By which rule they are taken for a robot, and since when."""
    states: list[Row]
    """What answers are made from; a visit under way has its own."""
    events: list[Row]
    """Of archive and log, in the order of the log."""


class CustomerExport:
    """Reads, beside whoever writes."""

    def __init__(self, store: EmbeddedStore, archive: Archive) -> None:
        self._store = store
        self._archive = archive

    def rows(self, customer_id: str) -> Iterator[Row]:
        """Yield what is held as objects for JSON.

        First who that is (`customer`), then what the state holds, if there is one (a visit under way has its own), then
        each event in the order of the log, those of joined ids among them. Raises `UnknownCustomerError` when nothing
        is known under this id, `StorageError` for an unreadable archive.
        """
        names = self._store.customers.names(customer_id)
        if not names:
            raise UnknownCustomerError(f"nothing is held about customer {customer_id!r}")
        yield {"kind": "customer", "customer_id": json_id(customer_id), **self._who(customer_id, names)}
        for number in names:
            state = self._store.sessions.state_of_number(number)
            if state is not None:
                yield {"kind": "state", "customer_id": json_id(customer_id), **self._state(state)}
        logged = list(self._logged(names))  # before the archive is listed: what is trimmed meanwhile is in both
        positions = {entry.position for entry in logged}
        for row in self._archived(list(names)):
            if row["position"] not in positions:
                yield self._event(names[row["customer"]], row)
        for row in table_of(logged).to_pylist():
            yield self._event(names[row["customer"]], row)

    def document(self, customer_id: str) -> Iterator[bytes]:
        """Yield the same as one JSON object, piece by piece; raises as `rows` does, before the first piece."""
        rows = self.rows(customer_id)
        states = []
        who, row = _without_kind(next(rows)), next(rows, None)
        while row is not None and row["kind"] == "state":
            states.append(_without_kind(row))
            row = next(rows, None)
        yield orjson.dumps(who | {"states": states})[:-1] + b',"events":['
        separator = b""
        while row is not None:
            yield separator + orjson.dumps(_without_kind(row))
            separator, row = b",", next(rows, None)
        yield b"]}"

    def _who(self, customer_id: str, names: Mapping[int, str]) -> Row:
        robots = {robot.customer: robot for robot in self._store.customers.robots()}
        robot = next((robots[number] for number in names if number in robots), None)
        return {
            "ids": [json_id(text) for text in self._store.customers.ids(customer_id)],
            "consent": self._store.customers.consent(customer_id),
            "robot": None if robot is None else {"rule": robot.rule, "since": format_time(robot.since)},
        }

    def _logged(self, customers: Container[int]) -> Iterator[LogEntry]:
        position = 1
        while entries := self._store.events.read(position, _ENTRIES_PER_READ):
            yield from (entry for entry in entries if entry.customer in customers)
            position = entries[-1].position + 1

    def _archived(self, customers: Sequence[int]) -> Iterator[Row]:
        files = [str(part.path) for part in self._archive.parts()]
        if not files:
            return
        try:
            with duckdb.connect() as connection:
                numbers = np.array(customers, np.uint32)
                for batch in connection.sql(_ROWS, params=[files, numbers]).to_arrow_reader(_ROWS_PER_READ):
                    yield from batch.to_pylist()
        except duckdb.Error as error:
            raise StorageError(f"the archive cannot be read ({error}): {PART_REMEDY}") from error

    def _event(self, customer_id: str, row: Row) -> Row:
        """Return a row of the archive as it was posted; what was not given is left out."""
        event = {
            "kind": "event",
            "customer_id": json_id(customer_id),
            "event_type": EventType(row["event_type"]).word,
            "product_id": self._product(row["product"]),
            "timestamp": format_time(row["time"]),
            "arrival": format_time(row["arrival"]),
            "session_id": row["session_id"],
            "quantity": row["quantity"],
            "price": row["price"],
            "context": None if row["context"] is None else Context(row["context"]).word,
            "channel": None if row["channel"] is None else Channel(row["channel"]).word,
            **orjson.loads(row["details"] or b"{}"),
        }
        return {name: value for name, value in event.items() if value is not None}

    def _state(self, state: State) -> Row:
        view = CustomerState.of(state)
        return {
            "newest": format_time(view.newest),
            "looked_at": [
                {
                    "product_id": self._product(word & NO_NUMBER),
                    "event_type": EventType(word >> 32).word,
                    "timestamp": format_time(time),
                }
                for time, _, word in view.events.tolist()
            ],
            "cart": self._lines(view.cart),
            "bought": self._lines(view.bought),
            "hidden": [self._product(product) for product in view.hidden.tolist()],
            "shown": [
                {
                    "product_id": self._product(word & NO_NUMBER),
                    "times": _times(counts),
                    "day": format_time((word >> SHOWN_DAY_AT) * DAY)[:10],
                }
                for word, counts in view.shown.tolist()
            ],
        }

    def _lines(self, rows: State) -> list[Row]:
        return [
            {"product_id": self._product(product), "quantity": quantity, "timestamp": format_time(time)}
            for product, quantity, time in rows.tolist()
        ]

    def _product(self, number: int | None) -> int | str | None:
        found = None if number is None or number == NO_NUMBER else self._store.catalog.product_id(number)
        return None if found is None else json_id(found)


def _times(counts: int) -> int:
    """Return how many impressions a word of counts by day holds."""
    return sum(counts >> bit & (1 << SHOWN_BITS) - 1 for bit in range(0, SHOWN_BITS * SHOWN_DAYS, SHOWN_BITS))


def _without_kind(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "kind"}
