"""Erasure in LMDB: one transaction takes the customer out, small ones overwrite what the log still holds of them."""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from hashlib import blake2b
from itertools import takewhile

import lmdb
import numpy as np
import orjson
from numpy.typing import NDArray

from active_customers.core.erasure import ErasedCustomers, Erasure, summed
from active_customers.core.event import EventType
from active_customers.storage.embedded.customers import EmbeddedCustomers
from active_customers.storage.embedded.environment import Environment
from active_customers.storage.embedded.log import EmbeddedLog
from active_customers.storage.embedded.records import Cleaner, customer_of

_SECRET = b"secret"
_SECRET_BYTES = 32
_DIGEST_BYTES = 16
_ENTRIES_PER_STEP = 2_000
"""Bounds a look at the log, and the transaction that follows it, to some milliseconds: live events pass in between."""

_Entries = list[tuple[bytes, bytes]]


class EmbeddedErasures:
    """`Erasures` on LMDB. A receipt's key is the digest of the id and the customer's number (big-endian)."""

    def __init__(self, env: Environment, log: EmbeddedLog, customers: EmbeddedCustomers) -> None:
        self._env = env
        self._log = log
        self._customers = customers
        self._receipts = env.database(b"erased")
        self._pending = env.database(b"erased-pending")
        self._secrets = env.database(b"erased-secret")
        self._resuming = threading.Lock()

    def erase(self, customer_id: str, now: int) -> Erasure | None:
        """Take a customer out of log, state and numbers (see `Erasures`)."""
        if not self._begin(customer_id, now):
            return None
        self.resume()
        return self.of(customer_id)

    def resume(self) -> None:
        """Overwrite what the log still holds of erased customers; doing it again changes nothing."""
        with self._resuming:
            pending = self.pending()
            cleaner = Cleaner(self.among(pending))
            position, end = 1, max((erasure.position for erasure in pending), default=0)
            while position < end and (entries := self._log.records(position, _ENTRIES_PER_STEP)):
                self._overwrite(entries, cleaner, pending)
                position = int.from_bytes(entries[-1][0], "big") + 1

    def of(self, customer_id: str) -> Erasure | None:
        """Return the receipt of the latest erasure of this id, or None."""
        with self._env.reading() as txn:
            digest = bytes.fromhex(self._hasher(txn)(customer_id))
            cursor = txn.cursor(db=self._receipts)
            found = iter(cursor) if cursor.set_range(digest) else iter(())
            own = [_receipt(record) for _, record in takewhile(lambda row: row[0][:_DIGEST_BYTES] == digest, found)]
            latest = max(own, key=lambda erasure: erasure.position, default=None)
            return latest and summed(self._parts(txn, latest.of or latest.position))

    def numbers(self, erasure: Erasure) -> list[int]:
        """Return all numbers that went with an erasure, the customer's first."""
        with self._env.reading() as txn:
            return [part.customer for part in self._parts(txn, erasure.position)]

    def customers(self) -> NDArray[np.uint32]:
        """Return the numbers of all erased customers, ascending."""
        with self._env.reading() as txn:
            keys = b"".join(key[_DIGEST_BYTES:] for key in txn.cursor(db=self._receipts).iternext(values=False))
        return np.sort(np.frombuffer(keys, ">u4").astype(np.uint32))

    def count(self) -> int:
        """Return how many erasures there have been."""
        with self._env.reading() as txn:
            return int(txn.stat(self._receipts)["entries"])

    def n_pending(self) -> int:
        """Return how many erasures have archive rows that are still to be overwritten."""
        with self._env.reading() as txn:
            return int(txn.stat(self._pending)["entries"])

    def pending(self) -> list[Erasure]:
        """Return the erasures whose archive rows are still to be overwritten."""
        with self._env.reading() as txn:
            keys = list(txn.cursor(db=self._pending).iternext(values=False))
            return [_receipt(txn.get(key, db=self._receipts)) for key in keys]

    def since(self, position: int) -> list[Erasure]:
        """Return the erasures from a position of the log on."""
        with self._env.reading() as txn:
            found = [_receipt(record) for _, record in txn.cursor(db=self._receipts)]
        return [erasure for erasure in found if erasure.position >= position]

    def among(self, erasures: Sequence[Erasure]) -> ErasedCustomers:
        """Return these erased customers as what rows and mentions are compared with."""
        with self._env.reading() as txn:
            return ErasedCustomers.of(erasures, self._hasher(txn))

    def note_rows(self, erasure: Erasure, rows: int) -> None:
        """Note how many rows of the customer the archive held."""
        with self._env.writing() as txn:
            self._note(txn, replace(self._noted(txn, erasure), archive_rows=rows))

    def settle(self, erasure: Erasure, now: int) -> None:
        """Note that the archive holds nothing of the customer any more."""
        with self._env.writing() as txn:
            self._note(txn, replace(self._noted(txn, erasure), archive_done=now))
            txn.delete(_key(erasure), db=self._pending)

    def _begin(self, customer_id: str, now: int) -> bool:
        """Make the customer unknown, in one transaction; from here on a crash only delays the rest."""
        with self._env.writing() as txn:
            forgotten = self._customers.book(txn).forget(customer_id)
            if forgotten is None:
                return False
            self._keep_secret(txn)
            hashed, whole = self._hasher(txn), 0
            for customer, text in forgotten.ids.items():
                position = self._log.append_internal(txn, EventType.ERASE, customer, now)
                erasure = Erasure(position, now, customer, hashed(text), forgotten.had_state, of=whole)
                whole = whole or position
                self._note(txn, erasure)
                txn.put(_key(erasure), b"", db=self._pending)
        return True

    def _parts(self, txn: lmdb.Transaction, position: int) -> list[Erasure]:
        """Return the erasure at a position and its parts, in order."""
        found = [_receipt(record) for _, record in txn.cursor(db=self._receipts)]
        parts = [part for part in found if position in (part.position, part.of)]
        return sorted(parts, key=lambda part: part.position)

    def _overwrite(self, entries: _Entries, cleaner: Cleaner, pending: Iterable[Erasure]) -> None:
        """Overwrite those of some entries that are or name an erased customer, unless they were trimmed meanwhile."""
        cleaned = [(key, record, cleaner.cleaned(key, record)) for key, record in entries]
        changed = [(key, record, clean) for key, record, clean in cleaned if clean is not None]
        if not changed:
            return
        with self._env.writing() as txn:
            written = [record for key, record, clean in changed if self._log.overwrite(txn, key, clean)]
            counts = Counter(customer_of(record) for record in written)
            for erasure in pending:
                noted = self._noted(txn, erasure)
                self._note(txn, replace(noted, log_entries=noted.log_entries + counts[erasure.customer]))

    def _noted(self, txn: lmdb.Transaction, erasure: Erasure) -> Erasure:
        return _receipt(txn.get(_key(erasure), db=self._receipts))

    def _note(self, txn: lmdb.Transaction, erasure: Erasure) -> None:
        txn.put(_key(erasure), orjson.dumps(erasure), db=self._receipts)

    def _hasher(self, txn: lmdb.Transaction) -> Callable[[str], str]:
        """Return the keyed hash of ids; before the first erasure it matches none."""
        secret = bytes(txn.get(_SECRET, db=self._secrets) or b"")
        return lambda text: blake2b(text.encode(), digest_size=_DIGEST_BYTES, key=secret).hexdigest()

    def _keep_secret(self, txn: lmdb.Transaction) -> None:
        txn.put(_SECRET, secrets.token_bytes(_SECRET_BYTES), db=self._secrets, overwrite=False)


def _key(erasure: Erasure) -> bytes:
    return bytes.fromhex(erasure.digest) + erasure.customer.to_bytes(4, "big")


def _receipt(record: bytes | memoryview | None) -> Erasure:
    return Erasure(**orjson.loads(record or b""))
