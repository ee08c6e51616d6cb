"""The event log in LMDB: append, duplicates, sessions and state in one transaction."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import lmdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from active_customers.core.consent import PROFILE, said_in
from active_customers.core.erasure import NAMES_ANOTHER
from active_customers.core.event import Event, EventType, LogEntry, Receipt
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.session import given_session
from active_customers.storage.admission import NOT_KEPT, forgotten_entry, joined_entry, stretches, turns
from active_customers.storage.customer_book import CustomerBook
from active_customers.storage.customer_tables import Robot
from active_customers.storage.embedded.catalog import EmbeddedCatalog
from active_customers.storage.embedded.customers import EmbeddedCustomers
from active_customers.storage.embedded.environment import Environment
from active_customers.storage.embedded.records import decode, encode, heads_of_records, table_of_records
from active_customers.storage.embedded.seen import SeenKeys
from active_customers.storage.embedded.sessions import ActsOfMany
from active_customers.storage.robots import RobotConfig, RobotWatch
from active_customers.storage.staged import StagedTurn

_NEXT_POSITION = b"next-position"
_IMPORT = b"import:"
_TRIM_BATCH = 10_000
_REPEAT = Receipt(None)


class _Batch:
    """Entries of one append as they come about."""

    def __init__(self, book: CustomerBook, first: int, arrival: int) -> None:
        self.book = book
        self.arrival = arrival
        self.entries: list[LogEntry] = []
        self.receipts: list[Receipt] = []
        self._first = first

    @property
    def next_position(self) -> int:
        """The position of the next entry."""
        return self._first + len(self.entries)


class EmbeddedLog:
    """`EventLog` on LMDB, and the bookkeeping of imports that are being adopted."""

    def __init__(
        self, env: Environment, customers: EmbeddedCustomers, catalog: EmbeddedCatalog, robots: RobotConfig
    ) -> None:
        self._env = env
        self._customers = customers
        self._sessions = customers.sessions
        self._catalog = catalog
        self._watch = RobotWatch(robots)
        self._entries = env.database(b"log")
        self._imports = env.database(b"imports")
        if env.writer:
            self._appending = threading.Lock()
            self._seen = SeenKeys(env, env.config.recent_keys)

    def append(self, events: Sequence[Event], arrival: int) -> list[Receipt]:
        """Store and fold events in one transaction (see `EventLog`)."""
        receipts = [_REPEAT] * len(events)
        with self._appending:
            self._seen.turn_to(arrival)
            with self._env.writing() as txn:
                new = self._unknown(txn, events, arrival)
                if not new:
                    return receipts
                position = self._env.counter(txn, _NEXT_POSITION)
                batch = _Batch(self._customers.book(txn), position, arrival)
                for stretch in stretches([events[place] for place in new.values()]):
                    self._add(txn, batch, stretch)
                if not batch.entries:
                    return _put(receipts, new.values(), batch.receipts)
                self._write(txn, batch.entries)
                kept = [key for key, receipt in zip(new, batch.receipts, strict=True) if receipt is not NOT_KEPT]
                stored = self._seen.store(txn, kept, arrival, position)
            stored()
        return _put(receipts, new.values(), batch.receipts)

    def _write(self, txn: lmdb.Transaction, entries: Sequence[LogEntry]) -> None:
        """Write entries at the end of the log."""
        if entries:
            keys = [entry.position.to_bytes(8, "big") for entry in entries]
            txn.cursor(db=self._entries).putmulti(zip(keys, map(encode, entries), strict=True), append=True)
            self._env.set_counter(txn, _NEXT_POSITION, entries[-1].position + 1)

    def _unknown(self, txn: lmdb.Transaction, events: Sequence[Event], arrival: int) -> dict[bytes, int]:
        """Return the places of the events that the log does not have, by key; of equal keys in one batch the first."""
        new: dict[bytes, int] = {}
        for place, event in enumerate(events):
            key = event.dedup_key
            if key not in new and not self._seen.is_known(txn, key, arrival, event.retry_window):
                new[key] = place
        return new

    def _add(self, txn: lmdb.Transaction, batch: _Batch, events: Sequence[Event]) -> None:
        """Add a stretch of new events to a batch, and what follows from the last of them."""
        admitted = [batch.book.admit(event, batch.arrival) for event in events]
        kept = [pair for pair in admitted if pair is not None]
        entries = self._placed(txn, kept, batch.next_position, batch.arrival) if kept else []
        batch.book.drop_ended()
        batch.entries += entries
        in_turn = iter(entries)
        stored = entries if len(kept) == len(admitted) else [pair and next(in_turn) for pair in admitted]
        batch.receipts += [NOT_KEPT if entry is None else Receipt(entry.position, entry.session) for entry in stored]
        if stored[-1] is not None and turns(stored[-1].event):
            self._turn(txn, batch, stored[-1])
        for event, entry in zip(events, stored, strict=True):
            if entry is not None and (rule := self._watch.rule_for(entry.customer, event)) is not None:
                self._flag(txn, batch, entry, rule)

    def _turn(self, txn: lmdb.Transaction, batch: _Batch, entry: LogEntry) -> None:
        """Join customers, or note a consent, as an event says that was just added."""
        is_login = entry.event.event_type == EventType.LOGIN
        consent = self._log_in(txn, batch, entry) if is_login else said_in(entry.event.details)
        if consent is not None and batch.book.agree((entry.event.customer_id, entry.customer), consent):
            self._customers.note_change(txn)
            if consent != PROFILE:
                batch.entries.append(forgotten_entry(entry, batch.next_position, {"consent": consent}))

    def _log_in(self, txn: lmdb.Transaction, batch: _Batch, entry: LogEntry) -> str | None:
        """Note that a customer logged in, and join whom that joins; return the consent that passes to them, if any."""
        if NAMES_ANOTHER not in entry.event.details:
            batch.book.know(entry.customer)
            return None
        login = batch.book.log_in(entry.event.customer_id, entry.event.details[NAMES_ANOTHER])
        if login is None:
            return None
        if self._sessions.merge(txn, login, entry.event.session_id):
            batch.entries.append(joined_entry(entry, batch.next_position, login.moved))
        if login.passes_over:
            self._customers.note_change(txn)
        if login.robot is not None:
            batch.entries.append(forgotten_entry(entry, batch.next_position, {"robot": login.robot}))
        return login.consent

    def _flag(self, txn: lmdb.Transaction, batch: _Batch, entry: LogEntry, rule: str) -> None:
        """Note that the customer of an entry is a robot, unless that is known."""
        if batch.book.flag(Robot(entry.customer, rule, batch.arrival)):
            self._customers.note_change(txn)
            batch.entries.append(forgotten_entry(entry, batch.next_position, {"robot": rule}))

    def _placed(
        self, txn: lmdb.Transaction, admitted: Sequence[tuple[Event, int]], first: int, arrival: int
    ) -> list[LogEntry]:
        """Return the entries of new events from position `first` on, their products numbered and their acts folded."""
        events, customers = zip(*admitted, strict=True)
        products = [
            NO_NUMBER if (product := event.product_id) is None else self._catalog.numbers.number(txn, product)
            for event in events
        ]
        numbered = enumerate(zip(events, customers, products, strict=True), first)
        acts = [_act(event, customer, product, position) for position, (event, customer, product) in numbered]
        sessions = self._folded(txn, events, customers, np.array(acts, np.int64))
        placed = enumerate(zip(customers, products, sessions, events, strict=True), first)
        return [LogEntry(position, arrival, *decided) for position, decided in placed]

    def _folded(
        self, txn: lmdb.Transaction, events: Sequence[Event], customers: Sequence[int], acts: NDArray[np.int64]
    ) -> list[int]:
        """Fold the acts of events into states; return their sessions, 0 for what the service notes itself: no act."""
        public = [place for place, event in enumerate(events) if event.event_type.is_public]
        if len(public) == len(events):
            return self._sessions.fold_mixed(txn, customers, acts)
        sessions = [0] * len(events)
        if public:
            folded = self._sessions.fold_mixed(txn, [customers[place] for place in public], acts[public])
            for place, session in zip(public, folded, strict=True):
                sessions[place] = session
        return sessions

    def append_internal(self, txn: lmdb.Transaction, kind: EventType, customer: int, now: int) -> int:
        """Store an event of the service's own about a customer; return its position. It changes no state."""
        position = self._env.counter(txn, _NEXT_POSITION)
        entry = LogEntry(position, now, customer, NO_NUMBER, 0, Event("", kind, now, dedup_key=bytes(16)))
        txn.put(position.to_bytes(8, "big"), encode(entry), db=self._entries, append=True)
        self._env.set_counter(txn, _NEXT_POSITION, position + 1)
        return position

    def records(self, start: int, limit: int) -> list[tuple[bytes, bytes]]:
        """Return up to `limit` entries from position `start` on as they are stored: key and record."""
        with self._env.reading() as txn:
            cursor = txn.cursor(db=self._entries)
            found = islice(cursor, limit) if cursor.set_range(start.to_bytes(8, "big")) else ()
            return [(bytes(key), bytes(record)) for key, record in found]

    def overwrite(self, txn: lmdb.Transaction, key: bytes, record: bytes) -> bool:
        """Put another record in an entry's place; return False when it has been trimmed."""
        if txn.get(key, db=self._entries) is None:
            return False
        txn.put(key, record, db=self._entries)
        return True

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

    def read_heads(self, start: int, limit: int) -> tuple[dict[str, NDArray[Any]], int]:
        """Return the fixed fields of what `read` returns as arrays by name, and `next_position`, of one moment."""
        with self._env.reading() as txn:
            cursor = txn.cursor(db=self._entries)
            found = list(islice(cursor, limit)) if cursor.set_range(start.to_bytes(8, "big")) else []
            end = self._env.counter(txn, _NEXT_POSITION)
        keys, records = zip(*found, strict=True) if found else ((), ())
        return heads_of_records(keys, records), end

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
        """Fold a chunk of a staged import and note that `done` of its customers have been folded.

        Who was erased, forgotten or joined with another since they were numbered stays so.
        """
        with self._env.writing() as txn:
            for part in self._customers.to_fold(txn, run):
                self._sessions.fold_many(txn, part)
            txn.put(name.encode(), done.to_bytes(8, "little"), db=self._imports)

    def note_turns(self, name: str, turns: Sequence[StagedTurn], arrival: int, done: int) -> None:
        """Apply what an import says of logins, consents and robots, and note how much of it is done.

        What is said of who was erased or forgotten since they were numbered is passed over.
        """
        with self._appending, self._env.writing() as txn:
            batch = _Batch(self._customers.book(txn), self._env.counter(txn, _NEXT_POSITION), arrival)
            for staged in turns:
                turn = staged.without(lambda number: self._sessions.customers.text(txn, number) is None)
                if turn is None:
                    continue
                if turn.kind == EventType.FORGOTTEN:
                    self._flag(txn, batch, turn.entry(arrival), turn.said)
                else:
                    self._turn(txn, batch, turn.entry(arrival))
            self._write(txn, batch.entries)
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


def _put(receipts: list[Receipt], places: Iterable[int], new: Sequence[Receipt]) -> list[Receipt]:
    for place, receipt in zip(places, new, strict=True):
        receipts[place] = receipt
    return receipts


def _act(event: Event, customer: int, product: int, position: int) -> tuple[int, ...]:
    """Return the columns ACT_* of an event."""
    given = 0 if event.session_id is None else given_session(customer, event.session_id)
    return event.event_type, product, event.time, event.quantity, given, position
