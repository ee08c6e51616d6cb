"""The retry keys of the newest events: asked in memory, noted in the order of arrival, filed by key a share at a time.

A key is random, so what is ordered by key is written all over: a page or two for every event. Here a commit writes its
keys as one note behind the others, and only when there are many in memory is a share of them (those with the same first
byte) due to be filed by key, so that a page takes several. Notes go when all shares have been filed, and sooner,
their keys with them, when the keys are too old to be known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, cycle, islice

import lmdb

from active_customers.storage.embedded.environment import Environment

_KEY_BYTES = 16
_STAMP_BYTES = 8
_SHARES = 256
_SHARES_PER_COMMIT = 16
"""Holds more than a commit adds, and takes no longer than some milliseconds."""
_NOTES_PER_COMMIT = 1_000
_OLD_KEYS_PER_COMMIT = 4_000
"""More than commits add, so that they go faster than they come; a note is dropped as a whole."""

Arrivals = Mapping[bytes, int]
"""Key -> time of arrival."""


class RecentKeys:
    """The newest keys with the times of their arrival; about `most` of them are kept.

    What is in memory changes in `settle` alone, after the commit: a transaction that fails leaves it as it was.
    """

    def __init__(self, env: Environment, most: int) -> None:
        self._most = most
        self._notes = env.database(b"recent-keys")
        self._shares: list[dict[bytes, int]] = [{} for _ in range(_SHARES)]
        self._size = 0
        self._next = 0
        self._round_began = 0
        """Log position at which share 0 was last up: when all have been filed, so is what was noted below it."""
        self._filed_below = 0

    def load(self, txn: lmdb.Transaction) -> Arrivals:
        """Remember what was noted; return what is to be filed at once because it is too much, and forget that."""
        for _, record in txn.cursor(db=self._notes):
            note = bytes(record)
            self._remember(_keys_in(note), _arrival_in(note))
        if self._size <= self._most:
            return {}
        known = dict(chain.from_iterable(share.items() for share in self._shares))
        self._shares = [{} for _ in range(_SHARES)]
        self._size = 0
        txn.drop(self._notes, delete=False)
        return known

    def arrival_of(self, key: bytes) -> int | None:
        """Return when a key arrived, or None when it is not among the recent ones."""
        return self._shares[key[0]].get(key)

    def due(self) -> list[Arrivals]:
        """Return the shares that the next commit has to file."""
        shares: list[Arrivals] = []
        left = self._size
        for share in islice(cycle(self._shares), self._next, self._next + _SHARES_PER_COMMIT):
            if left <= self._most:
                break
            left -= len(share)
            shares.append(share)
        return shares

    def drop_notes(self, txn: lmdb.Transaction, oldest: int) -> list[bytes]:
        """Drop notes that have been filed or are older than that, some of them; return the latter's keys.

        Those are to be forgotten once that is committed.
        """
        old: list[bytes] = []
        cursor = txn.cursor(db=self._notes)
        for _ in range(_NOTES_PER_COMMIT):
            if len(old) >= _OLD_KEYS_PER_COMMIT or not cursor.first():
                break
            if int.from_bytes(cursor.key(), "big") >= self._filed_below:
                record = bytes(cursor.value())
                if _arrival_in(record) >= oldest:
                    break
                old += _keys_in(record)
            cursor.delete()
        return old

    def note(self, txn: lmdb.Transaction, keys: Sequence[bytes], arrival: int, position: int) -> None:
        """Write down the keys of a commit whose first event gets this position."""
        note = arrival.to_bytes(_STAMP_BYTES, "little") + b"".join(keys)
        txn.put(position.to_bytes(8, "big"), note, db=self._notes, append=True)

    def settle(self, keys: Sequence[bytes], arrival: int, position: int, n_filed: int) -> None:
        """Once that is committed: forget the shares that were filed, remember the keys that were noted."""
        for _ in range(n_filed):
            self._shares[self._next] = {}
            self._next = (self._next + 1) % _SHARES
            if self._next == 0:
                self._filed_below, self._round_began = self._round_began, position
        if n_filed:
            self._size = sum(map(len, self._shares))
        self._remember(keys, arrival)

    def forget(self, keys: Sequence[bytes], oldest: int) -> None:
        """Forget those of the keys that did not come again since."""
        for key in keys:
            share = self._shares[key[0]]
            if share.get(key, oldest) < oldest:
                del share[key]
                self._size -= 1

    def _remember(self, keys: Sequence[bytes], arrival: int) -> None:
        shares = self._shares
        for key in keys:
            shares[key[0]][key] = arrival
        self._size += len(keys)  # at most: one that came again is counted twice until something is filed


def _arrival_in(note: bytes) -> int:
    return int.from_bytes(note[:_STAMP_BYTES], "little")


def _keys_in(note: bytes) -> list[bytes]:
    return [note[at : at + _KEY_BYTES] for at in range(_STAMP_BYTES, len(note), _KEY_BYTES)]
