"""Session state and customers' numbers in LMDB."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import lmdb
import numpy as np
from numpy.typing import NDArray

from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.session import ACT_SESSION, ACT_WORDS, MAX_WORDS, State, empty_state, renamed_session
from active_customers.kernels.session_state import fold_run, merge
from active_customers.storage.customer_tables import Login
from active_customers.storage.embedded.environment import Environment
from active_customers.storage.embedded.numbers import Numbers

ActsOfMany = tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64]]
"""(customers, starts, acts), shapes as in `storage.staged`."""


class EmbeddedSessions:
    """`SessionStore` on LMDB; methods with a transaction are for the log, which shares it."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._states = env.database(b"state")
        self.customers = Numbers(env, b"customers")

    def find(self, customer_id: str) -> tuple[int, State | None]:
        """Return the customer's number and state (read-only); `NO_NUMBER` and None when they are unknown."""
        with self._env.reading() as txn:
            customer = self.customers.find(txn, customer_id)
            return customer, None if customer == NO_NUMBER else self.stored(txn, customer)

    def state(self, customer_id: str) -> State | None:
        """Return the customer's state (read-only), or None when they are unknown."""
        return self.find(customer_id)[1]

    def state_of_number(self, customer: int) -> State | None:
        """Return the state of a customer by number (read-only), or None."""
        with self._env.reading() as txn:
            return self.stored(txn, customer)

    def n_customers(self) -> int:
        """Return how many customer numbers have been given."""
        with self._env.reading() as txn:
            return self.customers.count(txn)

    def stored(self, txn: lmdb.Transaction, customer: int) -> State | None:
        """Return the state as the transaction sees it, or None."""
        record = txn.get(customer.to_bytes(4, "big"), db=self._states)
        return None if record is None else np.frombuffer(record, np.int64)

    def records(self, txn: lmdb.Transaction, start: int) -> Iterator[tuple[bytes, bytes]]:
        """Yield the states of customers from a number on as they are stored: number (big-endian) and array."""
        cursor = txn.cursor(db=self._states)
        if cursor.set_range(start.to_bytes(4, "big")):
            yield from ((bytes(key), bytes(record)) for key, record in cursor)

    def load_fold(self) -> None:
        """Load the fold's machine code: a third of a second, which the first event after a start need not wait for."""
        nothing = np.zeros(1, np.int64)
        fold_run(nothing, (nothing[:0], nothing.copy()), np.empty((0, ACT_WORDS), np.int64), nothing[:0])
        merge(nobody := empty_state(), nobody, (0, 0), np.empty(MAX_WORDS, np.int64))

    def fold_mixed(self, txn: lmdb.Transaction, customers: Sequence[int], acts: NDArray[np.int64]) -> list[int]:
        """Fold acts int64[n, 6] of customers in any order, each act's at the same place; return the acts' sessions."""
        owners = np.array(customers, np.uint32)
        order = owners.argsort(kind="stable")
        owners, grouped = owners[order], acts[order]
        starts = np.concatenate(([True], owners[1:] != owners[:-1], [True])).nonzero()[0]
        self.fold_many(txn, (owners[starts[:-1]], starts, grouped))
        sessions = np.empty(len(acts), np.int64)
        sessions[order] = grouped[:, ACT_SESSION]
        return sessions.tolist()

    def drop(self, txn: lmdb.Transaction, customer: int) -> bool:
        """Forget a customer's state; return whether there was one."""
        return bool(txn.delete(customer.to_bytes(4, "big"), db=self._states))

    def merge(self, txn: lmdb.Transaction, login: Login, session_id: str | None) -> bool:
        """Let a customer's state take in that of the number whose history became theirs; return whether there was one.

        `session_id` is the visit, if the shop named it, that goes on under the customer's number.
        """
        theirs = self.stored(txn, login.moved)
        if theirs is None:
            return False
        mine = self.stored(txn, login.customer)
        out = np.empty(MAX_WORDS, np.int64)
        renamed = renamed_session(login.moved, login.customer, session_id)
        length = merge(empty_state() if mine is None else mine.copy(), theirs.copy(), renamed, out)
        txn.put(login.customer.to_bytes(4, "big"), out[:length].tobytes(), db=self._states)
        return self.drop(txn, login.moved)

    def fold_many(self, txn: lmdb.Transaction, run: ActsOfMany) -> None:
        """Fold the acts of many customers into their states."""
        customers, starts, acts = run
        if not len(customers):
            return
        numbers = customers.tolist()
        states = [self.stored(txn, number) for number in numbers]
        known = [empty_state() if state is None else state for state in states]
        offsets = np.concatenate(([0], np.cumsum([len(state) for state in known]))).astype(np.int64)
        out = np.empty(len(numbers) * MAX_WORDS, np.int64)
        fold_run(starts, (np.concatenate(known), offsets), acts, out)
        records = [
            (number.to_bytes(4, "big"), out[offsets[i] : offsets[i + 1]].tobytes()) for i, number in enumerate(numbers)
        ]
        txn.cursor(db=self._states).putmulti(records)
