"""What the rules of `storage.customer_book` work on: tables that every adapter brings, and what the rules answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from active_customers.core.identifiers import NO_NUMBER


class Table(Protocol):
    """Records by key, in the order of the keys."""

    def get(self, key: bytes) -> bytes | None:
        """Return a record, or None."""
        ...

    def put(self, key: bytes, value: bytes) -> None:
        """Store a record."""
        ...

    def delete(self, key: bytes) -> bool:
        """Remove a record; return whether there was one."""
        ...

    def items(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield the records whose keys begin so; nothing may change meanwhile."""
        ...

    def __len__(self) -> int:
        """Return how many records there are."""
        ...


class Ids(Protocol):
    """Ids and numbers of customers, and their states, as one transaction sees them."""

    def find(self, customer_id: str) -> int:
        """Return the number that an id leads to, or `NO_NUMBER`."""
        ...

    def number(self, customer_id: str) -> int:
        """Return the number that an id leads to, giving a new one where it has none."""
        ...

    def text(self, number: int) -> str | None:
        """Return the id that a number was given for, or None when it is forgotten."""
        ...

    def add(self, customer_id: str) -> int:
        """Give a new number for an id, which leads to it from now on."""
        ...

    def point(self, customer_id: str, number: int) -> None:
        """Let an id lead to a number; `NO_NUMBER` for nowhere."""
        ...

    def rename(self, number: int, customer_id: str) -> None:
        """Let a number be given for another id than it was, which leads to it from now on, and the former nowhere."""
        ...

    def blank(self, number: int) -> None:
        """Forget the id that a number was given for."""
        ...

    def drop_state(self, number: int) -> bool:
        """Forget the state of a number; return whether there was one."""
        ...


class Tables(NamedTuple):
    """Keys are numbers of 4 bytes (big-endian), of `members` two of them."""

    owners: Table
    """Number -> owner's number."""
    members: Table
    """Owner's number and number -> nothing."""
    consents: Table
    """Number -> index into `CONSENTS`."""
    refused: Table
    """Numbers of who agreed to less than a profile; they stay when the id is forgotten, as acts do."""
    visits: Table
    """Number -> `_Visit`."""
    robots: Table
    """Number -> since when (8 bytes, big-endian) and by which rule, which is empty for a person; they stay, too."""


class Robot(NamedTuple):
    """A customer who acts as no person does: their number, by which rule, and since when (microseconds)."""

    customer: int
    rule: str
    since: int
    customer_id: str = ""
    """Empty once the id is forgotten."""


class Login(NamedTuple):
    """What a login made of two ids.

    The customer's number, that whose history became theirs (or `NO_NUMBER`), what the latter had agreed to, where the
    customer never said, and the rule by which the latter was a robot, where the customer was none.
    """

    customer: int
    moved: int = NO_NUMBER
    consent: str | None = None
    robot: str | None = None
    passes_over: bool = False
    """Whether others are to be passed over than before."""


class Forgotten(NamedTuple):
    """What `forget` took away: numbers, the customer's first, with the ids they were given for."""

    ids: dict[int, str]
    had_state: bool
