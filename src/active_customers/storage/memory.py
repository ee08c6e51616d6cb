"""The in-memory adapter: every promise of the ports but durability; for tests and for looking around."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from secrets import token_bytes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from active_customers.core.clock import DAY, day_of
from active_customers.core.consent import PROFILE, said_in
from active_customers.core.erasure import NAMES_ANOTHER, Erasure, blank_entry, summed
from active_customers.core.event import Event, EventType, LogEntry, Receipt
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.product import Changed, Product, ProductChange, ProductSearch, changed
from active_customers.core.session import ACT_SESSION, given_session
from active_customers.storage.admission import (
    DEFAULT_RULES,
    NOT_KEPT,
    CustomerRules,
    forgotten_entry,
    joined_entry,
    stretches,
    turns,
)
from active_customers.storage.base import DAYS_REMEMBERED, FACETS, MOST_LOOKED_AT, RECORDS, Change
from active_customers.storage.customer_tables import Robot
from active_customers.storage.memory_customers import MemoryCustomers, MemoryNumbers, MemorySessions
from active_customers.storage.robots import RobotConfig, RobotWatch
from active_customers.storage.staged import StagedTurn

_REPEAT = Receipt(None)


class MemoryCatalog:
    """`CatalogStore` in dictionaries."""

    def __init__(self) -> None:
        self.numbers = MemoryNumbers()
        self._products: dict[int, Product | None] = {}
        self._facets = {facet: MemoryNumbers() for facet in FACETS}
        self._version = 1

    def number_products(self, product_ids: Sequence[str]) -> list[int]:
        """Return the numbers of products, giving new ones where needed."""
        return [self.numbers.number(product_id) for product_id in product_ids]

    def product_number(self, product_id: str) -> int:
        """Return a product's number, or `NO_NUMBER`."""
        return self.numbers.find(product_id)

    def product_id(self, number: int) -> str | None:
        """Return the id behind a product number, or None."""
        return self.numbers.ids[number] if number < len(self.numbers.ids) else None

    def put_products(self, products: Iterable[Product]) -> int:
        """Store catalogue entries, replacing those with the same id; return how many were given."""
        count = 0
        for product in products:
            self._products[self.numbers.number(product.product_id)] = product
            count += 1
        self._version += 1
        return count

    def change_products(self, changes: Sequence[ProductChange]) -> list[Changed]:
        """Change catalogue entries; return what became of each."""
        outcomes = []
        for change in changes:
            before = self._products.get(self.numbers.find(change.product_id))
            after, outcome = changed(before, change)
            if after is not before:
                self._products[self.numbers.number(change.product_id)] = after
            outcomes.append(outcome)
        self._version += 1
        return outcomes

    def product(self, number: int) -> Product | None:
        """Return a catalogue entry, or None."""
        return self._products.get(number)

    def deleted_products(self) -> list[int]:
        """Return the numbers whose entries were deleted, ascending."""
        return sorted(number for number, product in self._products.items() if product is None)

    def products(self) -> Iterator[tuple[int, Product]]:
        """Iterate over the catalogue by number."""
        yield from ((number, product) for number, product in sorted(self._products.items()) if product is not None)

    def find_products(self, search: ProductSearch, start: int, limit: int) -> tuple[list[Product], int | None]:
        """Return up to `limit` entries that are looked for, from a number on, and where to go on."""
        found: list[Product] = []
        rows = [(number, product) for number, product in self.products() if number >= start]
        for looked_at, (number, product) in enumerate(rows):
            if len(found) == limit or looked_at == MOST_LOOKED_AT:
                return found, number
            if search.finds(product):
                found.append(product)
        return found, None

    def facet_number(self, facet: str, value: str) -> int:
        """Return the number of a value of a facet, or `NO_NUMBER`."""
        return self._facets[facet].find(value)

    def number_facets(self, facet: str, values: Sequence[str]) -> list[int]:
        """Return the numbers of values of a facet, giving new ones where needed."""
        return [self._facets[facet].number(value) for value in values]

    def n_entries(self) -> int:
        """Return how many products the catalogue has."""
        return sum(product is not None for product in self._products.values())

    def catalog_version(self) -> int:
        """Return a number that grows with every change of the catalogue."""
        return self._version

    def n_products(self) -> int:
        """Return how many product numbers have been given."""
        return len(self.numbers.ids)


class MemoryLog:
    """`EventLog` in a list."""

    def __init__(self, customers: MemoryCustomers, catalog: MemoryCatalog, robots: RobotConfig) -> None:
        self._customers = customers
        self._sessions = customers.sessions
        self._catalog = catalog
        self._watch = RobotWatch(robots)
        self._entries: list[LogEntry] = []
        self._seen: dict[bytes, int] = {}
        self._next = 1

    def append(self, events: Sequence[Event], arrival: int) -> list[Receipt]:
        """Store events and fold them (see `EventLog`)."""
        customers = self._customers
        changed = (self, customers, *customers.tables, self._sessions, self._sessions.customers, self._catalog.numbers)
        before = [_contents(part) for part in changed]
        try:
            receipts = [_REPEAT] * len(events)
            new = self._unknown(events, arrival)
            placed: list[Receipt] = []
            for stretch in stretches([events[place] for place in new.values()]):
                placed += self._add(stretch, arrival)
            for (key, place), receipt in zip(new.items(), placed, strict=True):
                receipts[place] = receipt
                if receipt is not NOT_KEPT:
                    self._seen[key] = arrival
        except BaseException:
            for part, contents in zip(changed, before, strict=True):
                vars(part).update(contents)
            raise
        return receipts

    def _unknown(self, events: Sequence[Event], arrival: int) -> dict[bytes, int]:
        """Return the places of the events that the log does not have, by key; of equal keys the first."""
        new: dict[bytes, int] = {}
        for place, event in enumerate(events):
            if event.dedup_key not in new and not self._is_repeat(event, arrival):
                new[event.dedup_key] = place
        return new

    def _is_repeat(self, event: Event, arrival: int) -> bool:
        seen = self._seen.get(event.dedup_key)
        if seen is None or day_of(seen) < day_of(max(arrival - DAYS_REMEMBERED * DAY, 0)):
            return False
        return event.retry_window is None or abs(arrival - seen) <= event.retry_window

    def _add(self, events: Sequence[Event], arrival: int) -> list[Receipt]:
        """Store a stretch of new events, and what follows from the last of them."""
        book = self._customers.book()
        stored = []
        for event in events:
            stored.append(self._placed(book.admit(event, arrival), arrival))
            book.drop_ended()
        if stored[-1] is not None and turns(stored[-1].event):
            self._turn(stored[-1])
        for event, entry in zip(events, stored, strict=True):
            rule = None if entry is None else self._watch.rule_for(entry.customer, event)
            if entry is not None and rule is not None:
                self._flag(entry, rule)
        return [NOT_KEPT if entry is None else Receipt(entry.position, entry.session) for entry in stored]

    def _placed(self, admitted: tuple[Event, int] | None, arrival: int) -> LogEntry | None:
        """Store and fold an event under its number."""
        if admitted is None:
            return None
        event, customer = admitted
        product = NO_NUMBER if event.product_id is None else self._catalog.numbers.number(event.product_id)
        given = 0 if event.session_id is None else given_session(customer, event.session_id)
        act = np.array([[event.event_type, product, event.time, event.quantity, given, self._next]], np.int64)
        if event.event_type.is_public:  # what the service notes itself is no act
            self._sessions.fold(customer, act)
        return self._store(LogEntry(self._next, arrival, customer, product, int(act[0, ACT_SESSION]), event))

    def _store(self, entry: LogEntry) -> LogEntry:
        self._entries.append(entry)
        self._next += 1
        return entry

    def note_turns(self, turns: Iterable[StagedTurn], arrival: int) -> None:
        """Apply what an import says of logins, consents and robots (see `EmbeddedLog.note_turns`)."""
        for staged in turns:
            turn = staged.without(lambda number: self._sessions.customers.text(number) is None)
            if turn is None:
                continue
            if turn.kind == EventType.FORGOTTEN:
                self._flag(turn.entry(arrival), turn.said)
            else:
                self._turn(turn.entry(arrival))

    def _flag(self, entry: LogEntry, rule: str) -> None:
        """Note that the customer of an entry is a robot, unless that is known."""
        if self._customers.book().flag(Robot(entry.customer, rule, entry.arrival)):
            self._customers.note_change()
            self._store(forgotten_entry(entry, self._next, {"robot": rule}))

    def _turn(self, entry: LogEntry) -> None:
        """Join customers, or note a consent, as an event says that was just stored."""
        is_login = entry.event.event_type == EventType.LOGIN
        consent = self._log_in(entry) if is_login else said_in(entry.event.details)
        who = entry.event.customer_id, entry.customer
        if consent is not None and self._customers.book().agree(who, consent):
            self._customers.note_change()
            if consent != PROFILE:
                self._store(forgotten_entry(entry, self._next, {"consent": consent}))

    def _log_in(self, entry: LogEntry) -> str | None:
        """Note that a customer logged in, and join whom that joins; return the consent that passes to them, if any."""
        book, details = self._customers.book(), entry.event.details
        if NAMES_ANOTHER not in details:
            book.know(entry.customer)
            return None
        login = book.log_in(entry.event.customer_id, details[NAMES_ANOTHER])
        if login is None:
            return None
        if self._sessions.merge(login, entry.event.session_id):
            self._store(joined_entry(entry, self._next, login.moved))
        if login.passes_over:
            self._customers.note_change()
        if login.robot is not None:
            self._store(forgotten_entry(entry, self._next, {"robot": login.robot}))
        return login.consent

    def erase(
        self, customers: Sequence[int], now: int, unnamed: Callable[[Event], Event]
    ) -> tuple[int, dict[int, int]]:
        """Append an `erase` entry for each of these and blank theirs; return the first's position and how many."""
        first = self._next
        for customer in customers:
            event = Event("", EventType.ERASE, now, dedup_key=bytes(16))
            self._store(LogEntry(self._next, now, customer, NO_NUMBER, 0, event))
        is_own = [entry.customer in customers and entry.event.event_type != EventType.ERASE for entry in self._entries]
        counts = Counter(entry.customer for entry, own in zip(self._entries, is_own, strict=True) if own)
        self._entries = [
            blank_entry(entry.position, entry.arrival) if own else replace(entry, event=unnamed(entry.event))
            for entry, own in zip(self._entries, is_own, strict=True)
        ]
        return first, counts

    def read(self, start: int, limit: int) -> list[LogEntry]:
        """Return up to `limit` entries from position `start` on."""
        first = bisect_left(self._entries, start, key=lambda entry: entry.position)
        return [self._named(entry) for entry in self._entries[first : first + limit]]

    def _named(self, entry: LogEntry) -> LogEntry:
        """Return an entry with the id that its customer's number was given for."""
        customer_id = self._sessions.customers.text(entry.customer) or ""
        return replace(entry, event=replace(entry.event, customer_id=customer_id))

    def next_position(self) -> int:
        """Return the position that the next event will get."""
        return self._next

    def reserve(self, count: int) -> int:
        """Give away `count` positions; return the first."""
        first, self._next = self._next, self._next + count
        return first

    def trim(self, below: int) -> int:
        """Forget the entries below a position; return how many there were."""
        count = bisect_left(self._entries, below, key=lambda entry: entry.position)
        del self._entries[:count]
        return count


def _contents(part: object) -> dict[str, object]:
    """Return what an append may change of a part, to put it back."""
    return {name: copy(value) for name, value in vars(part).items() if isinstance(value, list | dict | int)}


class MemoryNamed:
    """`NamedRecords` in a dictionary."""

    def __init__(self) -> None:
        self._records: dict[str, Mapping[str, Any]] = {}
        self._version = 1

    def all(self) -> dict[str, dict[str, Any]]:
        """Return all records in the order of their names."""
        return {name: dict(self._records[name]) for name in sorted(self._records)}

    def version(self) -> int:
        """Return a number that grows with every change of them."""
        return self._version

    def change(self, records: Change, *, whole: bool = False) -> None:
        """Store records, and delete those given as None; with `whole`, all others, too."""
        kept = {} if whole else self._records
        self._records = {name: record for name, record in {**kept, **records}.items() if record is not None}
        self._version += 1


class MemoryErasures:
    """`Erasures` in a list."""

    def __init__(self, log: MemoryLog, customers: MemoryCustomers) -> None:
        self._log = log
        self._customers = customers
        self._receipts: list[Erasure] = []
        self._secret = token_bytes(32)

    def erase(self, customer_id: str, now: int) -> Erasure | None:
        """Take a customer out of log, state and numbers (see `Erasures`)."""
        forgotten = self._customers.book().forget(customer_id)
        if forgotten is None:
            return None
        texts = set(forgotten.ids.values())
        first, counts = self._log.erase(list(forgotten.ids), now, partial(_unnamed, texts))
        for place, (customer, text) in enumerate(forgotten.ids.items()):
            digest, of = self._digest(text), first if place else 0
            rows = counts[customer]
            self._receipts.append(Erasure(first + place, now, customer, digest, forgotten.had_state, rows, of=of))
        return self.of(customer_id)

    def numbers(self, erasure: Erasure) -> list[int]:
        """Return all numbers that went with an erasure, the customer's first."""
        return [part.customer for part in self._receipts if erasure.position in (part.position, part.of)]

    def resume(self) -> None:
        """Do nothing: nothing here outlives a crash."""

    def of(self, customer_id: str) -> Erasure | None:
        """Return the receipt of the latest erasure of this id, or None."""
        digest = self._digest(customer_id)
        latest = next((erasure for erasure in reversed(self._receipts) if erasure.digest == digest), None)
        if latest is None:
            return None
        position = latest.of or latest.position
        return summed([part for part in self._receipts if position in (part.position, part.of)])

    def customers(self) -> NDArray[np.uint32]:
        """Return the numbers of all erased customers, ascending."""
        return np.sort(np.array([erasure.customer for erasure in self._receipts], np.uint32))

    def count(self) -> int:
        """Return how many erasures there have been."""
        return len(self._receipts)

    def _digest(self, customer_id: str) -> str:
        return blake2b(customer_id.encode(), digest_size=16, key=self._secret).hexdigest()


def _unnamed(customer_ids: Container[str], event: Event) -> Event:
    """Return an event that names none of these customers."""
    if event.details.get(NAMES_ANOTHER) not in customer_ids:
        return event
    return replace(event, details={name: value for name, value in event.details.items() if name != NAMES_ANOTHER})


class MemoryStore:
    """`Store` in memory."""

    events: MemoryLog
    sessions: MemorySessions
    catalog: MemoryCatalog
    customers: MemoryCustomers
    erasures: MemoryErasures
    records: dict[str, MemoryNamed]
    rules: MemoryNamed

    def __init__(self, rules: CustomerRules = DEFAULT_RULES) -> None:
        self.sessions = MemorySessions()
        self.catalog = MemoryCatalog()
        self.customers = MemoryCustomers(self.sessions, rules.consent.default)
        self.events = MemoryLog(self.customers, self.catalog, rules.robots)
        self.erasures = MemoryErasures(self.events, self.customers)
        self.records = {kind: MemoryNamed() for kind in RECORDS}
        self.rules = self.records["rules"]
