"""The event log in LMDB: append, duplicates, sessions and state in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import lmdb
import numpy as np
import pyarrow as pa

from active_customers.core.event import Event, LogEntry, Receipt
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.session import ACT_SESSION, State, given_session
from active_customers.storage.embedded.catalog import EmbeddedCatalog
from active_customers.storage.embedded.environment import Environment
from active_customers.storage.embedded.records import decode, encode, table_of_records
from active_customers.storage.embedded.seen import SeenKeys
from active_customers.storage.embedded.sessions import ActsOfMany, EmbeddedSessions

_NEXT_POSITION = b"next-position"
_IMPORT = b"import:"
_TRIM_BATCH = 10_000


class EmbeddedLog:
    """`EventLog` on LMDB, and the bookkeeping of imports that are being adopted."""

    def __init__(self, env: Environment, sessions: EmbeddedSessions, catalog: EmbeddedCatalog) -> None:
        self._env = env
        self._sessions = sessions
        self._catalog = catalog
        self._entries = env.database(b"log")
        self._imports = env.database(b"imports")
        if env.writer:
            self._seen = SeenKeys(env)

    def append(self, events: Sequence[Event], arrival: int) -> list[Receipt]:
        """Store and fold events in one transaction (see `EventLog`)."""
        self._seen.turn_to(arrival)
        receipts: list[Receipt] = []
        states: dict[int, State] = {}
        with self._env.writing() as txn:
            position = self._env.counter(txn, _NEXT_POSITION)
            for event in events:
                if self._seen.is_repeat(txn, event.dedup_key, arrival, event.retry_window):
                    receipts.append(Receipt(None))
                    continue
                entry = self._placed(txn, event, (position, arrival), states)
                txn.put(position.to_bytes(8, "big"), encode(entry), db=self._entries, append=True)
                receipts.append(Receipt(position, entry.session))
                position += 1
            for customer, state in states.items():
                self._sessions.put(txn, customer, state)
            self._env.set_counter(txn, _NEXT_POSITION, position)
        return receipts

    def _placed(
        self, txn: lmdb.Transaction, event: Event, place: tuple[int, int], states: dict[int, State]
    ) -> LogEntry:
        """Return the event's entry at place (position, arrival), its ids numbered and its act folded into `states`."""
        position, arrival = place
        customer = self._sessions.customers.number(txn, event.customer_id)
        product = NO_NUMBER if event.product_id is None else self._catalog.numbers.number(txn, event.product_id)
        given = 0 if event.session_id is None else given_session(customer, event.session_id)
        act = np.array([[event.event_type, product, event.time, event.quantity, given, position]], np.int64)
        state = states[customer] if customer in states else self._sessions.stored(txn, customer)
        states[customer] = self._sessions.folded(state, act)
        return LogEntry(position, arrival, customer, product, int(act[0, ACT_SESSION]), event)

    def read(self, start: int, limit: int) -> list[LogEntry]:
        """Return up to `limit` entries from position `start` on."""
        entries: list[LogEntry] = []
        with self._env.reading() as txn:
            cursor = txn.cursor(db=self._entries)
            if not cursor.set_range(start.to_bytes(8, "big")):
                return entries
            for key, record in cursor:
                if len(entries) == limit:
                    break
                entries.append(
                    decode(
                        int.from_bytes(key, "big"),
                        bytes(record),
                        lambda number: self._sessions.customers.text(txn, number) or "",
                        lambda number: self._catalog.numbers.text(txn, number),
                    )
                )
        return entries

    def read_table(self, start: int, limit: int) -> pa.Table:
        """Return what `read` returns as a table of `archive.SCHEMA`, at a fraction of the cost."""
        positions, records = [], []
        with self._env.reading() as txn:
            cursor = txn.cursor(db=self._entries)
            if cursor.set_range(start.to_bytes(8, "big")):
                for key, record in islice(cursor, limit):
                    positions.append(int.from_bytes(key, "big"))
                    records.append(bytes(record))
        return table_of_records(positions, records)

    def next_position(self) -> int:
        """Return the position that the next event will get."""
        with self._env.reading() as txn:
            return self._env.counter(txn, _NEXT_POSITION)

    def reserve(self, count: int) -> int:
        """Give away `count` positions; return the first."""
        with self._env.writing() as txn:
            first = self._env.counter(txn, _NEXT_POSITION)
            self._env.set_counter(txn, _NEXT_POSITION, first + count)
        return first

    def trim(self, below: int) -> int:
        """Forget the entries below a position, a bounded number to a transaction."""
        removed = 0
        while True:
            with self._env.writing() as txn:
                cursor = txn.cursor(db=self._entries)
                batch = 0
                while batch < _TRIM_BATCH and cursor.first() and int.from_bytes(cursor.key(), "big") < below:
                    cursor.delete()
                    batch += 1
            removed += batch
            if batch < _TRIM_BATCH:
                return removed

    # An import that is being adopted is noted before anything moves and forgotten when all is done; in between each
    # chunk of customers is folded in the same transaction that notes it, so that a crash repeats and skips none.

    def note_import(self, name: str) -> None:
        """Remember that a staged import is to be completed, whatever happens."""
        with self._env.writing() as txn:
            txn.put(name.encode(), (0).to_bytes(8, "little"), db=self._imports)

    def remember_keys(self, keys: Sequence[bytes], arrival: int) -> None:
        """Remember the retry keys of imported events, as if they had been posted; doing it again changes nothing."""
        self._seen.turn_to(arrival)
        with self._env.writing() as txn:
            self._seen.remember(txn, keys, arrival)

    def fold_import(self, name: str, run: ActsOfMany, done: int) -> None:
        """Fold a chunk of a staged import and note that `done` of its customers have been folded."""
        with self._env.writing() as txn:
            self._sessions.fold_many(txn, run)
            txn.put(name.encode(), done.to_bytes(8, "little"), db=self._imports)

    def forget_import(self, name: str) -> None:
        """Note that a staged import is complete."""
        with self._env.writing() as txn:
            txn.delete(name.encode(), db=self._imports)

    def imports_under_way(self) -> dict[str, int]:
        """Return the staged imports that are not complete: name -> customers done."""
        with self._env.reading() as txn:
            rows = txn.cursor(db=self._imports)
            return {bytes(name).decode(): int.from_bytes(done, "little") for name, done in rows}
