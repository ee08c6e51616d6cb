"""Forgetting anonymous customers who have not come for long: a sweep over the states, a bounded piece at a time."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from itertools import islice

import numpy as np
import orjson
from numpy.typing import NDArray

from active_customers.core.clock import DAY
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.session import H_BOUGHT, H_HIDDEN, H_NEWEST, HEADER
from active_customers.storage.embedded.customers import EmbeddedCustomers
from active_customers.storage.embedded.environment import Environment

_SWEEP = b"state"
_STATES_PER_STEP = 1_000
"""Bounds one transaction to some milliseconds, so that live events pass in between."""
_PAUSE = DAY
"""From the beginning of one sweep over all states to that of the next."""


@dataclass(frozen=True, slots=True)
class _Sweep:
    """How far a sweep has come, kept in the store: times in microseconds."""

    began: int = -_PAUSE
    following: int = 0
    """The number to go on with; 0 between two sweeps."""
    newest: int = 0
    """The newest act met so far."""
    reference: int = 0
    """The newest act that the sweep before met: age counts from there, so that an imported shop of 2015 is alive."""


class StateExpiry:
    """Deletes state and id of customers who are anonymous and whose latest act is too old.

    Anonymous is who was never logged in as, and whose state holds no purchase and no hidden product. The first sweep
    only learns how new the newest act of the shop is.
    """

    def __init__(self, env: Environment, customers: EmbeddedCustomers) -> None:
        self._env = env
        self._customers = customers
        self._sessions = customers.sessions
        self._sweeps = env.database(b"sweeps")

    def sweep(self, now: int, age: int, most: int) -> int:
        """Look at up to `most` further states; return how many customers were forgotten. A sweep begins once a day."""
        sweep = self._load()
        if sweep.following == 0:
            if 0 <= now - sweep.began < _PAUSE:  # one that began in the future was begun by a clock that was wrong
                return 0
            sweep = _Sweep(began=now, reference=sweep.newest)
        numbers, heads = self._read(sweep.following, most)
        newest = max(sweep.newest, int(heads[:, H_NEWEST].max(initial=0)))
        oldest = min(sweep.reference, now) - age
        expired = numbers[_is_expired(heads, oldest)].tolist()
        steps = range(0, len(expired), _STATES_PER_STEP)
        gone = sum(self._forget(expired[first : first + _STATES_PER_STEP], oldest) for first in steps)
        following = int(numbers[-1]) + 1 if len(numbers) == most else 0
        self._save(replace(sweep, following=following, newest=newest))
        return gone

    def _read(self, start: int, most: int) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Return the numbers and the headers of the next states."""
        with self._env.reading() as txn:
            rows = list(islice(self._sessions.records(txn, start), most))
        numbers = np.frombuffer(b"".join(key for key, _ in rows), ">u4").astype(np.uint32)
        words = np.frombuffer(b"".join(record[: HEADER * 8] for _, record in rows), np.int64)
        return numbers, words.reshape(-1, HEADER)

    def _forget(self, customers: list[int], oldest: int) -> int:
        gone = 0
        with self._env.writing() as txn:
            book = self._customers.book(txn)
            for customer in customers:
                state = self._sessions.stored(txn, customer)
                is_due = state is not None and _is_expired(state[np.newaxis, :HEADER], oldest)[0]
                if is_due and book.owner(customer) == NO_NUMBER:
                    book.forget_anonymous(customer)
                    gone += 1
        return gone

    def _load(self) -> _Sweep:
        with self._env.reading() as txn:
            found = txn.get(_SWEEP, db=self._sweeps)
        return _Sweep() if found is None else _Sweep(**orjson.loads(found))

    def _save(self, sweep: _Sweep) -> None:
        with self._env.writing() as txn:
            txn.put(_SWEEP, orjson.dumps(asdict(sweep)), db=self._sweeps)


def _is_expired(heads: NDArray[np.int64], oldest: int) -> NDArray[np.bool_]:
    anonymous = (heads[:, H_BOUGHT] == 0) & (heads[:, H_HIDDEN] == 0)
    expired: NDArray[np.bool_] = anonymous & (heads[:, H_NEWEST] < oldest)
    return expired
