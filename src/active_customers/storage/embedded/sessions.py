"""Session state and customers' numbers in LMDB."""

from __future__ import annotations

from collections.abc import Sequence

import lmdb
import numpy as np
from numpy.typing import NDArray

from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.session import MAX_WORDS, State, empty_state
from active_customers.kernels.session_state import fold, fold_run
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
        self._out: NDArray[np.int64] = np.empty(MAX_WORDS, np.int64)

    def state(self, customer_id: str) -> State | None:
        """Return the customer's state (read-only), or None when they are unknown."""
        with self._env.reading() as txn:
            customer = self.customers.find(txn, customer_id)
            return None if customer == NO_NUMBER else self.stored(txn, customer)

    def state_of_number(self, customer: int) -> State | None:
        """Return the state of a customer by number (read-only), or None."""
        with self._env.reading() as txn:
            return self.stored(txn, customer)

    def number_customers(self, customer_ids: Sequence[str]) -> list[int]:
        """Return the numbers of customers, giving new ones where needed."""
        with self._env.writing() as txn:
            return [self.customers.number(txn, customer_id) for customer_id in customer_ids]

    def n_customers(self) -> int:
        """Return how many customer numbers have been given."""
        with self._env.reading() as txn:
            return self.customers.count(txn)

    def stored(self, txn: lmdb.Transaction, customer: int) -> State | None:
        """Return the state as the transaction sees it, or None."""
        record = txn.get(customer.to_bytes(4, "big"), db=self._states)
        return None if record is None else np.frombuffer(record, np.int64)

    def folded(self, state: State | None, act: NDArray[np.int64]) -> State:
        """Return the state after one act; `act` int64[1, 6] receives its session."""
        length = fold(empty_state() if state is None else state, act, self._out)
        return self._out[:length].copy()

    def put(self, txn: lmdb.Transaction, customer: int, state: State) -> None:
        """Store a state."""
        txn.put(customer.to_bytes(4, "big"), state.tobytes(), db=self._states)

    def fold_many(self, txn: lmdb.Transaction, run: ActsOfMany) -> None:
        """Fold the acts of many customers into their states."""
        customers, starts, acts = run
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
