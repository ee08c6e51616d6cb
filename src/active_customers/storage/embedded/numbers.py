"""Dense numbers for the shop's ids: given once, by the writer, for life; both directions in LMDB."""

from __future__ import annotations

from hashlib import blake2b

import lmdb

from active_customers.core.identifiers import NO_NUMBER
from active_customers.storage.embedded.environment import Environment

_LONGEST_KEY = 500
"""LMDB keys end at 511 bytes; 128 characters can be 512 bytes of UTF-8. UTF-8 never starts with 0xFF."""


def _key(text: str) -> bytes:
    raw = text.encode()
    return raw if len(raw) <= _LONGEST_KEY else b"\xff" + blake2b(raw, digest_size=32).digest()


class Numbers:
    """One numbering (products, or customers): ids to numbers and back. Methods take the transaction they work in."""

    def __init__(self, env: Environment, name: bytes) -> None:
        self._by_id = env.database(name + b"-by-id")
        self._by_number = env.database(name + b"-by-number")

    def count(self, txn: lmdb.Transaction) -> int:
        """Return how many numbers have been given, forgotten ones included; they are 0..count-1."""
        entries: int = txn.stat(self._by_number)["entries"]
        return entries

    def find(self, txn: lmdb.Transaction, text: str) -> int:
        """Return the number of an id, or `NO_NUMBER`."""
        found = txn.get(_key(text), db=self._by_id)
        return NO_NUMBER if found is None else int.from_bytes(found, "little")

    def number(self, txn: lmdb.Transaction, text: str) -> int:
        """Return the number of an id, giving the next one when it has none (write transactions only)."""
        key = _key(text)
        found = txn.get(key, db=self._by_id)
        if found is not None:
            return int.from_bytes(found, "little")
        return self.add(txn, text)

    def add(self, txn: lmdb.Transaction, text: str) -> int:
        """Give the next number for an id, which leads to it from now on (write transactions only)."""
        number = self.count(txn)
        txn.put(_key(text), number.to_bytes(4, "little"), db=self._by_id)
        txn.put(number.to_bytes(4, "big"), text.encode(), db=self._by_number, append=True)
        return number

    def point(self, txn: lmdb.Transaction, text: str, number: int) -> None:
        """Let an id lead to a number, or to none (`NO_NUMBER`; write transactions only)."""
        if number == NO_NUMBER:
            txn.delete(_key(text), db=self._by_id)
        else:
            txn.put(_key(text), number.to_bytes(4, "little"), db=self._by_id)

    def text(self, txn: lmdb.Transaction, number: int) -> str | None:
        """Return the id behind a number, or None where it was never given or its id is forgotten."""
        found = txn.get(number.to_bytes(4, "big"), db=self._by_number)
        return bytes(found).decode() if found else None

    def rename(self, txn: lmdb.Transaction, number: int, text: str) -> None:
        """Let a number stand for another id, which leads to it from now on (write transactions only)."""
        before = self.text(txn, number)
        if before is not None:
            self.point(txn, before, NO_NUMBER)
        self.point(txn, text, number)
        txn.put(number.to_bytes(4, "big"), text.encode(), db=self._by_number)

    def blank(self, txn: lmdb.Transaction, number: int) -> None:
        """Forget the id behind a number (write transactions only); the number is never given again."""
        txn.put(number.to_bytes(4, "big"), b"", db=self._by_number)
