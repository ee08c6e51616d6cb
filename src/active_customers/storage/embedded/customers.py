"""Who is whom, consents and robots in LMDB: the tables of `storage.customer_tables`, and its readers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import lmdb
import numpy as np
from numpy.typing import NDArray

from active_customers.core.consent import PROFILE
from active_customers.core.identifiers import NO_NUMBER
from active_customers.storage.customer_book import CustomerBook
from active_customers.storage.customer_tables import Robot, Tables
from active_customers.storage.embedded.environment import Environment
from active_customers.storage.embedded.sessions import ActsOfMany, EmbeddedSessions

_CHANGES = b"passed-over-changes"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Table:
    """A sub-database within a transaction."""

    txn: lmdb.Transaction
    db: lmdb._Database

    def get(self, key: bytes) -> bytes | None:
        found = self.txn.get(key, db=self.db)
        return None if found is None else bytes(found)

    def put(self, key: bytes, value: bytes) -> None:
        self.txn.put(key, value, db=self.db)

    def delete(self, key: bytes) -> bool:
        return bool(self.txn.delete(key, db=self.db))

    def items(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        cursor = self.txn.cursor(db=self.db)
        if not cursor.set_range(prefix):
            return
        for key, value in cursor:
            if not bytes(key).startswith(prefix):
                return
            yield bytes(key), bytes(value)

    def __len__(self) -> int:
        return int(self.txn.stat(self.db)["entries"])


class _Ids:
    """Ids, numbers and states within a transaction."""

    def __init__(self, txn: lmdb.Transaction, sessions: EmbeddedSessions) -> None:
        self.txn = txn
        self.sessions = sessions
        self.find = partial(sessions.customers.find, txn)  # these two with every event
        self.number = partial(sessions.customers.number, txn)

    def text(self, number: int) -> str | None:
        return self.sessions.customers.text(self.txn, number)

    def add(self, customer_id: str) -> int:
        return self.sessions.customers.add(self.txn, customer_id)

    def point(self, customer_id: str, number: int) -> None:
        self.sessions.customers.point(self.txn, customer_id, number)

    def rename(self, number: int, customer_id: str) -> None:
        self.sessions.customers.rename(self.txn, number, customer_id)

    def blank(self, number: int) -> None:
        self.sessions.customers.blank(self.txn, number)

    def drop_state(self, number: int) -> bool:
        return self.sessions.drop(self.txn, number)


class EmbeddedCustomers:
    """`Customers` on LMDB; `book` is for those who share a transaction."""

    def __init__(self, env: Environment, sessions: EmbeddedSessions, default_consent: str = PROFILE) -> None:
        self._env = env
        self.sessions = sessions
        self._default = default_consent
        self._databases = [env.database(name.encode()) for name in Tables._fields]
        named = dict(zip(Tables._fields, self._databases, strict=True))
        self._owners, self._visits = named["owners"], named["visits"]

    def book(self, txn: lmdb.Transaction) -> CustomerBook:
        """Return the rules over what a transaction sees."""
        tables = Tables(*(_Table(txn, db) for db in self._databases))
        return CustomerBook(_Ids(txn, self.sessions), tables, self._default)

    def to_fold(self, txn: lmdb.Transaction, run: ActsOfMany) -> Iterator[ActsOfMany]:
        """Yield what of a run changes states, in turn: acts of joined customers as their owners' acts.

        Left out is who was forgotten, and who wants no profile.
        """
        customers, starts, acts = run
        book = self.book(txn)
        whose = np.array([book.whose(number) for number in customers.tolist()], np.uint32)
        if np.array_equal(whose, customers):
            yield run
            return
        for place in np.flatnonzero(whose != NO_NUMBER).tolist():
            own = acts[starts[place] : starts[place + 1]]
            yield whose[place : place + 1], np.array([0, len(own)]), own

    def note_change(self, txn: lmdb.Transaction) -> None:
        """Note that other customers are to be passed over than before."""
        self._env.set_counter(txn, _CHANGES, self._env.counter(txn, _CHANGES) + 1)

    def number(self, customer_ids: Sequence[str]) -> list[int]:
        """Return the numbers of customers, whatever visits are under way, giving new ones where needed."""
        with self._env.writing() as txn:
            book = self.book(txn)
            return [book.lasting(customer_id) for customer_id in customer_ids]

    def known_as(self, customer_id: str) -> str | None:
        """Return the id of the known customer that an id leads to, or None (see `Customers`)."""
        return self._read(lambda book: book.known_as(customer_id))

    def names(self, customer_id: str) -> dict[int, str]:
        """Return all numbers of a customer with their ids (see `Customers`)."""
        return self._read(lambda book: book.names(customer_id))

    def root(self, customer_id: str) -> str:
        """Return the id of a customer that was known first (see `Customers`); who never logged in has one id only."""
        with self._env.reading() as txn:
            number = self.sessions.customers.find(txn, customer_id)
            key = number.to_bytes(4, "big")
            if number == NO_NUMBER or not any(txn.get(key, db=db) for db in (self._owners, self._visits)):
                return customer_id
        return self._read(lambda book: book.root(customer_id))

    def ids(self, customer_id: str) -> list[str]:
        """Return all ids of a customer (see `Customers`)."""
        return self._read(lambda book: book.ids(customer_id))

    def consent(self, customer_id: str) -> str | None:
        """Return what a customer agreed to last, or None."""
        return self._read(lambda book: book.consent(customer_id))

    def robots(self) -> list[Robot]:
        """Return who is taken for a robot, by number."""
        return self._read(lambda book: book.robots())

    def joined(self) -> NDArray[np.uint32]:
        """Return number and owner of everybody whose history became another's: uint32[n, 2]."""
        return self._read(lambda book: book.joined())

    def refused(self) -> NDArray[np.uint32]:
        """Return the numbers of who agreed to less than a profile, ascending."""
        return self._read(lambda book: book.refused())

    def passed_over(self) -> NDArray[np.uint32]:
        """Return the numbers of whom nothing is learned, but for erased ones, ascending."""
        return self._read(lambda book: book.passed_over())

    def changes(self) -> int:
        """Return a number that grows when `passed_over` changes."""
        with self._env.reading() as txn:
            return self._env.counter(txn, _CHANGES)

    def acquit(self, customer_id: str) -> bool:
        """Take a customer for a person, for good; False when they are not taken for a robot."""
        with self._env.writing() as txn:
            book = self.book(txn)
            acquitted = [book.unflag(number) for number in book.numbers(customer_id)]
            self.note_change(txn)
        return any(acquitted)

    def end_visits(self, now: int, most: int) -> int:
        """End visits that are over (see `Customers`)."""
        with self._env.reading() as txn:
            if not len(_Table(txn, self._databases[Tables._fields.index("visits")])):
                return 0
        with self._env.writing() as txn:
            return self.book(txn).end_visits(now, most)

    def _read(self, ask: Callable[[CustomerBook], T]) -> T:
        with self._env.reading() as txn:
            return ask(self.book(txn))
