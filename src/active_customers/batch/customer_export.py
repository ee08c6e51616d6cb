"""Everything held about one customer, for the customer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import orjson

from active_customers.core.clock import format_time
from active_customers.core.errors import StorageError, UnknownCustomerError
from active_customers.core.event import Channel, Context, EventType, LogEntry
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.session import CustomerState, State
from active_customers.storage.archive import PART_REMEDY, Archive, table_of
from active_customers.storage.embedded import EmbeddedStore

Row = dict[str, Any]

_ENTRIES_PER_READ = 5_000
_ROWS_PER_READ = 5_000
_ROWS = "SELECT * FROM read_parquet(?, hive_partitioning = false) WHERE customer = ? ORDER BY position"


class CustomerExport:
    """Reads, beside whoever writes."""

    def __init__(self, store: EmbeddedStore, archive: Archive) -> None:
        self._store = store
        self._archive = archive

    def rows(self, customer_id: str) -> Iterator[Row]:
        """Yield what is held as objects for JSON: the state, if there is one, then each event in the order of the log.

        Raises `UnknownCustomerError` when nothing is known under this id, `StorageError` for an unreadable archive.
        """
        customer, state = self._store.sessions.find(customer_id)
        if customer == NO_NUMBER:
            raise UnknownCustomerError(f"nothing is held about customer {customer_id!r}")
        if state is not None:
            yield {"kind": "state", "customer_id": customer_id, **self._state(state)}
        logged = list(self._logged(customer))  # before the archive is listed: what is trimmed meanwhile is in both
        positions = {entry.position for entry in logged}
        for row in self._archived(customer):
            if row["position"] not in positions:
                yield self._event(customer_id, row)
        for row in table_of(logged).to_pylist():
            yield self._event(customer_id, row)

    def _logged(self, customer: int) -> Iterator[LogEntry]:
        position = 1
        while entries := self._store.events.read(position, _ENTRIES_PER_READ):
            yield from (entry for entry in entries if entry.customer == customer)
            position = entries[-1].position + 1

    def _archived(self, customer: int) -> Iterator[Row]:
        files = [str(part.path) for part in self._archive.parts()]
        if not files:
            return
        try:
            with duckdb.connect() as connection:
                for batch in connection.sql(_ROWS, params=[files, customer]).to_arrow_reader(_ROWS_PER_READ):
                    yield from batch.to_pylist()
        except duckdb.Error as error:
            raise StorageError(f"the archive cannot be read ({error}): {PART_REMEDY}") from error

    def _event(self, customer_id: str, row: Row) -> Row:
        """Return a row of the archive as it was posted; what was not given is left out."""
        event = {
            "kind": "event",
            "customer_id": customer_id,
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
        }

    def _lines(self, rows: State) -> list[Row]:
        return [
            {"product_id": self._product(product), "quantity": quantity, "timestamp": format_time(time)}
            for product, quantity, time in rows.tolist()
        ]

    def _product(self, number: int | None) -> str | None:
        return None if number is None or number == NO_NUMBER else self._store.catalog.product_id(number)
