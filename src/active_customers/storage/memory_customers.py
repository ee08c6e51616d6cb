"""Customers in memory: ids, states, and the tables of `storage.customer_tables`."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from active_customers.core.consent import PROFILE
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.session import MAX_WORDS, State, empty_state, renamed_session
from active_customers.kernels.session_state import fold, merge
from active_customers.storage.customer_book import CustomerBook
from active_customers.storage.customer_tables import Login, Robot, Tables


class MemoryNumbers:
    """Ids in the order of their numbers, and back."""

    def __init__(self) -> None:
        self.ids: list[str | None] = []
        self._numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        """Return the number that an id leads to, giving a new one where it has none."""
        return self._numbers[text] if text in self._numbers else self.add(text)

    def add(self, text: str) -> int:
        """Give a new number for an id, which leads to it from now on."""
        self._numbers[text] = len(self.ids)
        self.ids.append(text)
        return self._numbers[text]

    def find(self, text: str) -> int:
        """Return the number that an id leads to, or `NO_NUMBER`."""
        return self._numbers.get(text, NO_NUMBER)

    def text(self, number: int) -> str | None:
        """Return the id that a number was given for, or None."""
        return self.ids[number] if number < len(self.ids) else None

    def point(self, text: str, number: int) -> None:
        """Let an id lead to a number, or to none."""
        if number == NO_NUMBER:
            self._numbers.pop(text, None)
        else:
            self._numbers[text] = number

    def rename(self, number: int, text: str) -> None:
        """Let a number stand for another id, which leads to it from now on."""
        self.point(self.text(number) or "", NO_NUMBER)
        self.point(text, number)
        self.ids[number] = text

    def blank(self, number: int) -> None:
        """Forget the id that a number was given for."""
        self.ids[number] = None


class MemorySessions:
    """`SessionStore` in a dictionary."""

    def __init__(self) -> None:
        self.customers = MemoryNumbers()
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

    def n_customers(self) -> int:
        """Return how many customer numbers have been given."""
        return len(self.customers.ids)

    def fold(self, customer: int, act: State) -> None:
        """Fold acts int64[n, 6] of one customer into their state."""
        length = fold(self._states.get(customer, empty_state()), act, self._out)
        self._states[customer] = self._out[:length].copy()

    def merge(self, login: Login, session_id: str | None) -> bool:
        """Let a customer's state take in that of another number (see `EmbeddedSessions.merge`)."""
        theirs = self._states.pop(login.moved, None)
        if theirs is None:
            return False
        renamed = renamed_session(login.moved, login.customer, session_id)
        length = merge(self._states.get(login.customer, empty_state()), theirs, renamed, self._out)
        self._states[login.customer] = self._out[:length].copy()
        return True

    def drop(self, customer: int) -> bool:
        """Forget a customer's state; return whether there was one."""
        return self._states.pop(customer, None) is not None


class _Table:
    """Records in a dictionary."""

    def __init__(self) -> None:
        self._rows: dict[bytes, bytes] = {}
        self._keys: list[bytes] = []

    def get(self, key: bytes) -> bytes | None:
        return self._rows.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        if key not in self._rows:
            insort(self._keys, key)
        self._rows[key] = value

    def delete(self, key: bytes) -> bool:
        if key not in self._rows:
            return False
        self._keys.remove(key)
        del self._rows[key]
        return True

    def items(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        for key in self._keys[bisect_left(self._keys, prefix) :]:
            if not key.startswith(prefix):
                return
            yield key, self._rows[key]

    def __len__(self) -> int:
        return len(self._rows)


class _Ids:
    """Ids, numbers and states as `storage.customer_tables.Ids`."""

    def __init__(self, sessions: MemorySessions) -> None:
        numbers = sessions.customers
        self.find, self.number, self.text, self.add = numbers.find, numbers.number, numbers.text, numbers.add
        self.point, self.rename, self.blank = numbers.point, numbers.rename, numbers.blank
        self.drop_state = sessions.drop


class MemoryCustomers:
    """`Customers` in dictionaries."""

    def __init__(self, sessions: MemorySessions, default_consent: str = PROFILE) -> None:
        self.sessions = sessions
        self.tables = Tables(*(_Table() for _ in Tables._fields))
        self._default = default_consent
        self._changes = 1

    def book(self) -> CustomerBook:
        """Return the rules."""
        return CustomerBook(_Ids(self.sessions), self.tables, self._default)

    def note_change(self) -> None:
        """Note that other customers are to be passed over than before."""
        self._changes += 1

    def number(self, customer_ids: Sequence[str]) -> list[int]:
        """Return the numbers of customers but for visits under way, giving new ones where needed."""
        book = self.book()
        return [book.lasting(customer_id) for customer_id in customer_ids]

    def known_as(self, customer_id: str) -> str | None:
        """Return the id of the known customer that an id leads to, or None (see `Customers`)."""
        return self.book().known_as(customer_id)

    def names(self, customer_id: str) -> dict[int, str]:
        """Return all numbers of a customer with their ids (see `Customers`)."""
        return self.book().names(customer_id)

    def root(self, customer_id: str) -> str:
        """Return the id of a customer that was known first (see `Customers`)."""
        return self.book().root(customer_id)

    def ids(self, customer_id: str) -> list[str]:
        """Return all ids of a customer (see `Customers`)."""
        return self.book().ids(customer_id)

    def consent(self, customer_id: str) -> str | None:
        """Return what a customer agreed to last, or None."""
        return self.book().consent(customer_id)

    def robots(self) -> list[Robot]:
        """Return who is taken for a robot, by number."""
        return self.book().robots()

    def joined(self) -> NDArray[np.uint32]:
        """Return number and owner of everybody whose history became another's: uint32[n, 2]."""
        return self.book().joined()

    def refused(self) -> NDArray[np.uint32]:
        """Return the numbers of who agreed to less than a profile, ascending."""
        return self.book().refused()

    def passed_over(self) -> NDArray[np.uint32]:
        """Return the numbers of whom nothing is learned, but for erased ones, ascending."""
        return self.book().passed_over()

    def changes(self) -> int:
        """Return a number that grows when `passed_over` changes."""
        return self._changes

    def acquit(self, customer_id: str) -> bool:
        """Take a customer for a person, for good; False when they are not taken for a robot."""
        book = self.book()
        self.note_change()
        acquitted = [book.unflag(number) for number in book.numbers(customer_id)]
        return any(acquitted)

    def end_visits(self, now: int, most: int) -> int:
        """End visits that are over (see `Customers`)."""
        return self.book().end_visits(now, most)
