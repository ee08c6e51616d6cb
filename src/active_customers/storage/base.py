"""The ports to durable storage. A promise made here is kept by every adapter.

One process writes (it owns the data directory's lock), many read. All times are microseconds since the epoch, UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from active_customers.core.erasure import Erasure
from active_customers.core.event import Event, LogEntry, Receipt
from active_customers.core.product import Changed, Product, ProductChange, ProductSearch
from active_customers.core.session import State
from active_customers.storage.customer_tables import Robot

DAYS_REMEMBERED = 7
"""A retry that comes more days (UTC) than this after the event counts as a new one."""


FACETS = ("category", "brand", "variant_group")
"""Fields of products whose values have dense numbers, given once and for life."""

MOST_LOOKED_AT = 20_000
"""Entries of the catalogue that one call to `find_products` looks at."""


class EventLog(Protocol):
    """The append-only log: positions 1, 2, 3 ... in the order of append, with gaps only where some were reserved."""

    def append(self, events: Sequence[Event], arrival: int) -> list[Receipt]:
        """Store events and fold them into their customers' states, in one transaction.

        Returns one receipt per event, in order, and only when all of them are durable. An event whose `dedup_key` is
        known (for `DAYS_REMEMBERED`, or younger than its `retry_window`, if it has one) is a duplicate and changes
        nothing; the first one wins. An event that its customer does not want kept gets the receipt
        `admission.NOT_KEPT` and changes nothing. A login, a consent or a robot that is recognised may bring an entry of
        the service's own with it.
        On any error nothing of the batch is stored.
        """
        ...

    def read(self, start: int, limit: int) -> list[LogEntry]:
        """Return up to `limit` entries from position `start` on, in order; fewer only at the end of the log."""
        ...

    def next_position(self) -> int:
        """Return the position that the next event will get."""
        ...

    def reserve(self, count: int) -> int:
        """Give away `count` positions to an import; return the first of them."""
        ...

    def trim(self, below: int) -> int:
        """Forget the entries below a position (the archive has them); return how many there were."""
        ...


class SessionStore(Protocol):
    """Session state by customer: what the fold over the log has made of their acts."""

    def find(self, customer_id: str) -> tuple[int, State | None]:
        """Return the customer's number and state (read-only); `NO_NUMBER` and None when they are unknown."""
        ...

    def state(self, customer_id: str) -> State | None:
        """Return the customer's state (read-only), or None when they are unknown."""
        ...

    def state_of_number(self, customer: int) -> State | None:
        """Return the state of a customer by number (read-only), or None."""
        ...

    def n_customers(self) -> int:
        """Return how many customer numbers have been given."""
        ...


class CatalogStore(Protocol):
    """Products by number, and the dense numbers themselves, which are given once and for life."""

    def number_products(self, product_ids: Sequence[str]) -> list[int]:
        """Return the numbers of products, giving new ones where needed (writer only)."""
        ...

    def product_number(self, product_id: str) -> int:
        """Return a product's number, or `NO_NUMBER`."""
        ...

    def product_id(self, number: int) -> str | None:
        """Return the id behind a product number, or None."""
        ...

    def put_products(self, products: Iterable[Product]) -> int:
        """Store catalogue entries, replacing those with the same id; return how many were given."""
        ...

    def change_products(self, changes: Sequence[ProductChange]) -> list[Changed]:
        """Change catalogue entries one after the other, in one transaction; return what became of each (writer only).

        A change that is not acceptable is rejected and costs none of the others.
        """
        ...

    def product(self, number: int) -> Product | None:
        """Return a catalogue entry, or None when the catalogue has none for this number."""
        ...

    def deleted_products(self) -> list[int]:
        """Return the numbers whose entries were deleted, ascending."""
        ...

    def products(self) -> Iterator[tuple[int, Product]]:
        """Iterate over the catalogue by number."""
        ...

    def find_products(self, search: ProductSearch, start: int, limit: int) -> tuple[list[Product], int | None]:
        """Return up to `limit` entries that are looked for, from number `start` on, and where to go on.

        That is None at the end of the catalogue. At most `MOST_LOOKED_AT` entries are looked at, so that fewer than
        `limit`, or none, need not be the end.
        """
        ...

    def facet_number(self, facet: str, value: str) -> int:
        """Return the number of a value of one of the `FACETS`, or `NO_NUMBER`."""
        ...

    def number_facets(self, facet: str, values: Sequence[str]) -> list[int]:
        """Return the numbers of values of one of the `FACETS`, giving new ones where needed (writer only)."""
        ...

    def n_entries(self) -> int:
        """Return how many products the catalogue has, the deleted ones not counted; one pass over it."""
        ...

    def catalog_version(self) -> int:
        """Return a number that grows with every change of the catalogue."""
        ...

    def n_products(self) -> int:
        """Return how many product numbers have been given."""
        ...


Change = Mapping[str, Mapping[str, Any] | None]
"""Records to store by name, and None for each to delete."""

RECORDS = ("rules", "strategies", "experiments")
"""What a shop tells the service by name, each kind a `NamedRecords` of the store."""


class NamedRecords(Protocol):
    """What a shop told the service by name: JSON values; what they mean is none of the store's business."""

    def all(self) -> dict[str, dict[str, Any]]:
        """Return all records in the order of their names."""
        ...

    def version(self) -> int:
        """Return a number that grows with every change of them."""
        ...

    def change(self, records: Change, *, whole: bool = False) -> None:
        """Store records, and delete those given as None, in one transaction; with `whole`, all others too; writer only.

        When this returns the change is durable.
        """
        ...


class ChangeRecords(Protocol):
    """Has records of one of `RECORDS` changed by whoever owns the store (see `NamedRecords.change`)."""

    def __call__(
        self, kind: str, records: Change, *, whole: bool = False, seen: Mapping[str, int] | None = None
    ) -> bool:
        """Return once the change is durable.

        False, and nothing is changed, where one of the kinds in `seen` has another version by now than is given there.
        """
        ...


class Customers(Protocol):
    """Who is whom, what they agreed to, and who is a robot (the rules are those of `storage.customer_book`).

    All of it changes as events are appended, in the same transaction.
    """

    def number(self, customer_ids: Sequence[str]) -> list[int]:
        """Return the numbers of customers but for visits under way, giving new ones where needed (writer only)."""
        ...

    def names(self, customer_id: str) -> dict[int, str]:
        """Return all numbers of the customer that an id leads to, their own first, with the ids they were given for.

        Empty when they are unknown.
        """
        ...

    def known_as(self, customer_id: str) -> str | None:
        """Return the id of the known customer that an id leads to, or None while it leads to nobody who was logged in.

        That is the id itself of who was logged in as.
        """
        ...

    def root(self, customer_id: str) -> str:
        """Return the id of the customer that an id leads to which was known first; an unknown id is its own.

        A login changes nothing of it for whoever was here before; a visitor who turns out to be a customer of old has
        that customer's from then on.
        """
        ...

    def ids(self, customer_id: str) -> list[str]:
        """Return all ids of the customer that an id leads to, the one that was known first in front.

        What is to stay with a customer whatever they log in as, such as the variant of an experiment, goes by that one.
        """
        ...

    def consent(self, customer_id: str) -> str | None:
        """Return what a customer agreed to last (see `core.consent`), or None when they never said."""
        ...

    def robots(self) -> list[Robot]:
        """Return who is taken for a robot, by number."""
        ...

    def joined(self) -> NDArray[np.uint32]:
        """Return number and owner's number of everybody whose history became another customer's: uint32[n, 2].

        By number.
        """
        ...

    def refused(self) -> NDArray[np.uint32]:
        """Return the numbers, ascending, of who agreed to less than a profile; of joined customers the owner's."""
        ...

    def passed_over(self) -> NDArray[np.uint32]:
        """Return the numbers, ascending, of whom nothing is to be learned: robots, and who wants no profile."""
        ...

    def changes(self) -> int:
        """Return a number that grows when `passed_over` changes."""
        ...

    def acquit(self, customer_id: str) -> bool:
        """Take a customer for a person, for good; False when they are not taken for a robot (writer only)."""
        ...

    def end_visits(self, now: int, most: int) -> int:
        """Forget up to `most` visits of customers who agreed to no more than those, and whose visit is over.

        Returns how many (writer only).
        """
        ...


class Erasures(Protocol):
    """Customers who were taken out of log, state and numbers, and the receipts, which do not name them."""

    def erase(self, customer_id: str, now: int) -> Erasure | None:
        """Take a customer out; return the receipt, or None, with nothing changed, when they are unknown.

        An `erase` entry is appended with their number. Entries before it keep place and arrival and nothing else (see
        `core.erasure.blank_entry`), and no longer name the customer as another's `other_customer_id`. State and id are
        forgotten; the number is never given again, so that whoever comes with the same id is a new customer. Retry
        keys stay for their `DAYS_REMEMBERED`: a retry of an erased event does not bring it back. From the first
        transaction on the customer is unknown, and a crash only delays the rest until `resume`. What had been joined
        with the customer goes with them: an `erase` entry and a part of the receipt for each number.
        """
        ...

    def resume(self) -> None:
        """Complete what a crash interrupted; changes nothing when there is nothing to do."""
        ...

    def of(self, customer_id: str) -> Erasure | None:
        """Return the receipt of the latest erasure of this id, the parts summed up, or None."""
        ...

    def numbers(self, erasure: Erasure) -> list[int]:
        """Return all numbers that went with an erasure, the customer's first."""
        ...

    def customers(self) -> NDArray[np.uint32]:
        """Return the numbers of all erased customers, ascending: what was learned from their acts is passed over."""
        ...

    def count(self) -> int:
        """Return how many erasures there have been: it grows when `customers` does."""
        ...


class Unlearned(Protocol):
    """Customers whose acts are to teach nothing: those who were erased, and perhaps more."""

    def customers(self) -> NDArray[np.uint32]:
        """Return their numbers, ascending."""
        ...

    def count(self) -> int:
        """Return a number that is another one when `customers` is."""
        ...


class Store(Protocol):
    """The ports over one place, whose appends fold into states in the same transaction."""

    @property
    def events(self) -> EventLog:
        """The log."""
        ...

    @property
    def sessions(self) -> SessionStore:
        """The state of customers."""
        ...

    @property
    def catalog(self) -> CatalogStore:
        """Products and their numbers."""
        ...

    @property
    def records(self) -> Mapping[str, NamedRecords]:
        """What the shop told us by name, for each of `RECORDS`."""
        ...

    @property
    def rules(self) -> NamedRecords:
        """What the shop wants of answers: the records of that name."""
        ...

    @property
    def customers(self) -> Customers:
        """Who is whom."""
        ...

    @property
    def erasures(self) -> Erasures:
        """Customers who were erased."""
        ...


class StoreWriter(Protocol):
    """What a command may ask of the process that owns the store: itself, or a running service through its socket."""

    def number_products(self, product_ids: Sequence[str]) -> list[int]:
        """Return the numbers of products, giving new ones where needed."""
        ...

    def number_customers(self, customer_ids: Sequence[str]) -> list[int]:
        """Return the numbers of customers, giving new ones where needed."""
        ...

    def put_products(self, products: Sequence[Product]) -> int:
        """Store catalogue entries, replacing those with the same id; return how many."""
        ...

    def change_products(self, changes: Sequence[ProductChange]) -> list[Changed]:
        """Change catalogue entries (see `CatalogStore.change_products`)."""
        ...

    def change_records(
        self, kind: str, records: Change, *, whole: bool = False, seen: Mapping[str, int] | None = None
    ) -> bool:
        """Change what the shop told us of one of `RECORDS` (see `ChangeRecords`)."""
        ...

    def archive_log(self) -> None:
        """Move the log to the archive; when this returns the archive holds every event appended before."""
        ...

    def reserve(self, count: int) -> int:
        """Give away `count` log positions; return the first of them."""
        ...

    def adopt(self, staged: Path) -> None:
        """Take a staged import (see `storage.staged`) into the archive and the session states, surviving any crash.

        Once this returns, or once the process dies in its middle and the store is opened again, all of it is there,
        but for customers who were erased since they were numbered.
        """
        ...

    def erase(self, customer_id: str) -> Erasure | None:
        """Take a customer out of log, state and numbers (see `Erasures.erase`); None when they are unknown.

        Their rows in the archive are passed over from now on, and overwritten by `finish_erasures`.
        """
        ...

    def finish_erasures(self) -> None:
        """Overwrite on disk what the archive holds of erased customers; when this returns nothing is left there."""
        ...

    def passed_over(self) -> NDArray[np.uint32]:
        """Return the numbers of whom nothing is to be learned, erased ones included, ascending."""
        ...

    def joined(self) -> NDArray[np.uint32]:
        """Return number and owner's number of everybody whose history became another customer's: uint32[n, 2].

        By number.
        """
        ...

    def acquit(self, customer_id: str) -> bool:
        """Take a customer for a person, for good; False when they are not taken for a robot."""
        ...
