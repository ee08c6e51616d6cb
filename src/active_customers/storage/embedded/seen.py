"""Which events the log already has: 16-byte keys, one LMDB sub-database per day of arrival, dropped whole when old."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import lmdb

from active_customers.core.clock import DAY, day_of
from active_customers.storage.base import DAYS_REMEMBERED
from active_customers.storage.embedded.environment import Environment

_PREFIX = b"seen-"


class SeenKeys:
    """The retry keys of the last `DAYS_REMEMBERED` days, for the writer only.

    Committer and imports share it: the sub-databases by day are replaced as a whole, never changed, and a day goes in a
    transaction of its own, so that whoever is in the middle of one may go on with those it has.
    """

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._turning = threading.Lock()
        self._days = {
            name.removeprefix(_PREFIX).decode(): env.database(name)
            for name in env.database_names()
            if name.startswith(_PREFIX)
        }

    def turn_to(self, arrival: int) -> None:
        """Make sure that the day of `arrival` has a sub-database, and drop the days that are too old.

        Call it outside a transaction; it commits its own when a new day begins.
        """
        today = day_of(arrival)
        if today in self._days:
            return
        with self._turning:
            days = {**self._days, today: self._env.database(_PREFIX + today.encode())}
            oldest = day_of(max(arrival - DAYS_REMEMBERED * DAY, 0))
            self._days = {day: db for day, db in days.items() if day >= oldest}
            for day in days.keys() - self._days.keys():
                with self._env.writing() as txn:
                    txn.drop(days[day])

    def is_repeat(self, txn: lmdb.Transaction, key: bytes, arrival: int, retry_window: int | None) -> bool:
        """Tell whether the key is known and young enough; remember it when it is not."""
        for db in self._days.values():
            found = txn.get(key, db=db)
            if found is not None and (
                retry_window is None or arrival - int.from_bytes(found, "little", signed=True) <= retry_window
            ):
                return True
        txn.put(key, arrival.to_bytes(8, "little", signed=True), db=self._days[day_of(arrival)])
        return False

    def remember(self, txn: lmdb.Transaction, keys: Iterable[bytes], arrival: int) -> None:
        """Remember keys of events that arrived on a day that was turned to; what that day has already stays."""
        stamp = arrival.to_bytes(8, "little", signed=True)
        cursor = txn.cursor(db=self._days[day_of(arrival)])
        cursor.putmulti([(key, stamp) for key in keys], overwrite=False)
