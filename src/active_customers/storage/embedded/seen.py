"""Which events the log already has: 16-byte keys, one LMDB sub-database per day of arrival, dropped whole when old."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

import lmdb

from active_customers.core.clock import DAY, day_of, parse_time
from active_customers.storage.base import DAYS_REMEMBERED
from active_customers.storage.embedded.environment import Environment
from active_customers.storage.embedded.recent_keys import Arrivals, RecentKeys

_PREFIX = b"seen-"
_ALWAYS = 1 << 62


class SeenKeys:
    """The retry keys of the last `DAYS_REMEMBERED` days, for the writer only.

    Committer and imports share it: the sub-databases by day are replaced as a whole, never changed, and a day goes in a
    transaction of its own, so that whoever is in the middle of one may go on with those it has. The newest keys stand
    in `RecentKeys`, which appends alone use.
    """

    def __init__(self, env: Environment, most_recent: int) -> None:
        self._env = env
        self._turning = threading.Lock()
        self._today = -1
        self._days = {_day_named(name): env.database(name) for name in env.database_names() if name.startswith(_PREFIX)}
        self._recent = RecentKeys(env, most_recent)
        with env.writing() as txn:
            self._file(txn, self._recent.load(txn))

    def turn_to(self, arrival: int) -> None:
        """Make sure that the day of `arrival` has a sub-database, and drop the days that are too old.

        The newest stay whatever their date, so that a clock that jumps ahead and back does not cost the keys of a week.
        Call it outside a transaction; it commits its own when a new day begins.
        """
        today = arrival // DAY
        if today == self._today:
            return
        with self._turning:
            days = {**self._days, today: self._env.database(_PREFIX + day_of(arrival).encode())}
            newest = sorted(days)[-DAYS_REMEMBERED - 1 :]
            self._days = {day: db for day, db in days.items() if day >= today - DAYS_REMEMBERED or day in newest}
            self._today = today
            for day in days.keys() - self._days.keys():
                with self._env.writing() as txn:
                    txn.drop(days[day])

    def is_known(self, txn: lmdb.Transaction, key: bytes, arrival: int, retry_window: int | None) -> bool:
        """Tell whether the log has the key, and has had it for no longer than the window.

        What came later by a window, under a clock that was ahead, does not count either: else no equal body would be
        taken until that time.
        """
        window = _ALWAYS if retry_window is None else retry_window
        oldest, newest = max((self._today - DAYS_REMEMBERED) * DAY, arrival - window), arrival + window
        recent = self._recent.arrival_of(key)
        if recent is not None and oldest <= recent <= newest:
            return True
        for db in self._days.values():
            found = txn.get(key, db=db)
            if found is not None and oldest <= int.from_bytes(found, "little", signed=True) <= newest:
                return True
        return False

    def store(self, txn: lmdb.Transaction, keys: Sequence[bytes], arrival: int, position: int) -> Callable[[], None]:
        """Remember the keys of new events, the first of which gets this position; call the result after the commit.

        Recent keys of days that were dropped go meanwhile.
        """
        due = self._recent.due()
        for share in due:
            self._file(txn, share)
        oldest = min(self._days) * DAY
        old = self._recent.drop_notes(txn, oldest)
        self._recent.note(txn, keys, arrival, position)

        def stored() -> None:
            self._recent.forget(old, oldest)
            self._recent.settle(keys, arrival, position, len(due))

        return stored

    def remember(self, txn: lmdb.Transaction, keys: Iterable[bytes], arrival: int) -> None:
        """Remember keys of events that arrived on a day that was turned to; what that day has already stays."""
        stamp = _stamp(arrival)
        cursor = txn.cursor(db=self._days[arrival // DAY])
        cursor.putmulti([(key, stamp) for key in keys], overwrite=False)

    def _file(self, txn: lmdb.Transaction, arrivals: Arrivals) -> None:
        """Put keys into the sub-databases of their days, as far as those are still there."""
        by_day: dict[int, list[tuple[bytes, bytes]]] = {}
        for key, arrival in sorted(arrivals.items()):
            by_day.setdefault(arrival // DAY, []).append((key, _stamp(arrival)))
        for day, records in by_day.items():
            if day in self._days:
                txn.cursor(db=self._days[day]).putmulti(records)


def _stamp(arrival: int) -> bytes:
    return arrival.to_bytes(8, "little", signed=True)


def _day_named(name: bytes) -> int:
    return parse_time(name.removeprefix(_PREFIX).decode() + "T00:00:00Z") // DAY
