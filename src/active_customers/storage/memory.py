"""The in-memory adapter: every promise of the ports but durability; for tests and for looking around."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from secrets import token_bytes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from active_customers.core.clock import DAY, day_of
from active_customers.core.erasure import NAMES_ANOTHER, Erasure, blank_entry
from active_customers.core.event import Event, EventType, LogEntry, Receipt
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.product import Changed, Product, ProductChange, ProductSearch, changed
from active_customers.core.session import ACT_SESSION, MAX_WORDS, State, empty_state, given_session
from active_customers.kernels.session_state import fold
from active_customers.storage.base import DAYS_REMEMBERED, FACETS, MOST_LOOKED_AT


class _Numbers:
    """Ids in the order of their numbers, and back."""

    def __init__(self) -> None:
        self.ids: list[str | None] = []
        self._numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        if text not in self._numbers:
            self._numbers[text] = len(self.ids)
            self.ids.append(text)
        return self._numbers[text]

    def find(self, text: str) -> int:
        return self._numbers.get(text, NO_NUMBER)

    def forget(self, text: str) -> int:
        number = self._numbers.pop(text)
        self.ids[number] = None
        return number


class MemorySessions:
    """`SessionStore` in a dictionary."""

    def __init__(self) -> None:
        self.customers = _Numbers()
        self._states: dict[int, State] = {}
        self._out = np.empty(MAX_WORDS, np.int64)

    def find(self, customer_id: str) -> tuple[int, State | None]:
        """Return the customer's number and state, which nobody may change."""
        customer = self.customers.find(customer_id)
        return customer, self._states.get(customer)

    def state(self, customer_id: str) -> State | None:
        """Return the customer's state, or None when they are unknown."""
        return self.find(customer_id)[1]

    def state_of_number(self, customer: int) -> State | None:
        """Return the state of a customer by number, or None."""
        return self._states.get(customer)

    def number_customers(self, customer_ids: Sequence[str]) -> list[int]:
        """Return the numbers of customers, giving new ones where needed."""
        return [self.customers.number(customer_id) for customer_id in customer_ids]

    def n_customers(self) -> int:
        """Return how many customer numbers have been given."""
        return len(self.customers.ids)

    def fold(self, customer: int, act: State) -> None:
        """Fold acts int64[n, 6] of one customer into their state."""
        length = fold(self._states.get(customer, empty_state()), act, self._out)
        self._states[customer] = self._out[:length].copy()

    def forget(self, customer_id: str) -> bool:
        """Forget a customer's state and id; return whether there was a state."""
        return self._states.pop(self.customers.forget(customer_id), None) is not None


class MemoryCatalog:
    """`CatalogStore` in dictionaries."""

    def __init__(self) -> None:
        self.numbers = _Numbers()
        self._products: dict[int, Product | None] = {}
        self._facets = {facet: _Numbers() for facet in FACETS}
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

    def __init__(self, sessions: MemorySessions, catalog: MemoryCatalog) -> None:
        self._sessions = sessions
        self._catalog = catalog
        self._entries: list[LogEntry] = []
        self._seen: dict[bytes, int] = {}
        self._next = 1

    def append(self, events: Sequence[Event], arrival: int) -> list[Receipt]:
        """Store events and fold them (see `EventLog`)."""
        changed = (self, self._sessions, self._sessions.customers, self._catalog.numbers)
        before = [_contents(part) for part in changed]
        try:
            return [self._append_one(event, arrival) for event in events]
        except BaseException:
            for part, contents in zip(changed, before, strict=True):
                vars(part).update(contents)
            raise

    def _is_repeat(self, event: Event, arrival: int) -> bool:
        seen = self._seen.get(event.dedup_key)
        if seen is None or day_of(seen) < day_of(max(arrival - DAYS_REMEMBERED * DAY, 0)):
            return False
        return event.retry_window is None or abs(arrival - seen) <= event.retry_window

    def _append_one(self, event: Event, arrival: int) -> Receipt:
        if self._is_repeat(event, arrival):
            return Receipt(None)
        self._seen[event.dedup_key] = arrival
        position, self._next = self._next, self._next + 1
        customer = self._sessions.customers.number(event.customer_id)
        product = NO_NUMBER if event.product_id is None else self._catalog.numbers.number(event.product_id)
        given = 0 if event.session_id is None else given_session(customer, event.session_id)
        act = np.array([[event.event_type, product, event.time, event.quantity, given, position]], np.int64)
        self._sessions.fold(customer, act)
        session = int(act[0, ACT_SESSION])
        self._entries.append(LogEntry(position, arrival, customer, product, session, event))
        return Receipt(position, session)

    def erase(self, customer: int, now: int, unnamed: Callable[[Event], Event]) -> tuple[int, int]:
        """Append an `erase` entry and blank the customer's; return its position and how many those were."""
        position, self._next = self._next, self._next + 1
        own = [entry.customer == customer and entry.event.event_type != EventType.ERASE for entry in self._entries]
        self._entries = [
            blank_entry(entry.position, entry.arrival) if blank else replace(entry, event=unnamed(entry.event))
            for entry, blank in zip(self._entries, own, strict=True)
        ]
        event = Event("", EventType.ERASE, now, dedup_key=bytes(16))
        self._entries.append(LogEntry(position, now, customer, NO_NUMBER, 0, event))
        return position, sum(own)

    def read(self, start: int, limit: int) -> list[LogEntry]:
        """Return up to `limit` entries from position `start` on."""
        first = bisect_left(self._entries, start, key=lambda entry: entry.position)
        return self._entries[first : first + limit]

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


class MemoryRules:
    """`RuleStore` in a dictionary."""

    def __init__(self) -> None:
        self._records: dict[str, Mapping[str, Any]] = {}
        self._version = 1

    def rules(self) -> dict[str, dict[str, Any]]:
        """Return all rules in the order of their names."""
        return {name: dict(self._records[name]) for name in sorted(self._records)}

    def rules_version(self) -> int:
        """Return a number that grows with every change of the rules."""
        return self._version

    def change_rules(self, records: Mapping[str, Mapping[str, Any] | None], *, whole: bool = False) -> None:
        """Store rules, and delete those given as None; with `whole`, all others, too."""
        kept = {} if whole else self._records
        self._records = {name: record for name, record in {**kept, **records}.items() if record is not None}
        self._version += 1


class MemoryErasures:
    """`Erasures` in a list."""

    def __init__(self, log: MemoryLog, sessions: MemorySessions) -> None:
        self._log = log
        self._sessions = sessions
        self._receipts: list[Erasure] = []
        self._secret = token_bytes(32)

    def erase(self, customer_id: str, now: int) -> Erasure | None:
        """Take a customer out of log, state and numbers (see `Erasures`)."""
        customer = self._sessions.customers.find(customer_id)
        if customer == NO_NUMBER:
            return None
        had_state = self._sessions.forget(customer_id)
        position, overwritten = self._log.erase(customer, now, partial(_unnamed, customer_id))
        erasure = Erasure(position, now, customer, self._digest(customer_id), had_state, overwritten)
        self._receipts.append(erasure)
        return erasure

    def resume(self) -> None:
        """Do nothing: nothing here outlives a crash."""

    def of(self, customer_id: str) -> Erasure | None:
        """Return the receipt of the latest erasure of this id, or None."""
        digest = self._digest(customer_id)
        return next((erasure for erasure in reversed(self._receipts) if erasure.digest == digest), None)

    def customers(self) -> NDArray[np.uint32]:
        """Return the numbers of all erased customers, ascending."""
        return np.sort(np.array([erasure.customer for erasure in self._receipts], np.uint32))

    def count(self) -> int:
        """Return how many erasures there have been."""
        return len(self._receipts)

    def _digest(self, customer_id: str) -> str:
        return blake2b(customer_id.encode(), digest_size=16, key=self._secret).hexdigest()


def _unnamed(customer_id: str, event: Event) -> Event:
    """Return an event that does not name a customer."""
    if event.details.get(NAMES_ANOTHER) != customer_id:
        return event
    return replace(event, details={name: value for name, value in event.details.items() if name != NAMES_ANOTHER})


class MemoryStore:
    """`Store` in memory."""

    events: MemoryLog
    sessions: MemorySessions
    catalog: MemoryCatalog
    erasures: MemoryErasures
    rules: MemoryRules

    def __init__(self) -> None:
        self.sessions = MemorySessions()
        self.catalog = MemoryCatalog()
        self.events = MemoryLog(self.sessions, self.catalog)
        self.erasures = MemoryErasures(self.events, self.sessions)
        self.rules = MemoryRules()
