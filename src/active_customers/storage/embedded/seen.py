"""Which events the log already has: 16-byte keys, one LMDB sub-database per day of arrival, dropped whole when old."""

from __future__ import annotations

import lmdb

from active_customers.core.clock import DAY, day_of
from active_customers.storage.embedded.environment import Environment

DAYS_REMEMBERED = 7
"""A retry that comes later than this counts as a new event."""

_PREFIX = b"seen-"


class SeenKeys:
    """The retry keys of the last `DAYS_REMEMBERED` days, for the writer only."""

    def __init__(self, env: Environment) -> None:
        self._env = env
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
        self._days[today] = self._env.database(_PREFIX + today.encode())
        oldest = day_of(max(arrival - DAYS_REMEMBERED * DAY, 0))
        for day in [day for day in self._days if day < oldest]:
            with self._env.writing() as txn:
                txn.drop(self._days.pop(day))

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
