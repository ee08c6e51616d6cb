"""Whether the live index is up to date, as every process can see it: in the header that its writer keeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from active_customers.core.clock import SECOND
from active_customers.kernels.live_index import CAUGHT_UP, GENERATION, N_SESSIONS, WATERMARK
from active_customers.monitoring.metrics import LIVE_LAG, LIVE_POSITION, LIVE_PRODUCTS, LIVE_SESSIONS
from active_customers.storage.base import EventLog
from active_customers.storage.live_files import Shared, read_live_files

LIVE_INDEX = "live_index"
"""What answers and health call a live index that is missing or behind."""


class LiveWatch:
    """Looks at the live index in a folder from outside. Any one thread may call it."""

    def __init__(
        self, folder: Path, log: EventLog, behind_seconds: float, timer: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder = folder
        self._log = log
        self._behind_seconds = behind_seconds
        self._timer = timer
        self._mapped: Shared | None = None
        self._good: float | None = None

    def look(self) -> list[str]:
        """Publish what is seen as metrics; return what answers have to do without: `LIVE_INDEX`, or nothing.

        The index counts as missing when nobody has read the log to its end for `behind_seconds`, as seen since the
        first look.
        """
        shared = self._shared()
        if shared is not None:
            self._measure(shared)
        return [LIVE_INDEX] if self._is_behind(shared) else []

    def _is_behind(self, shared: Shared | None) -> bool:
        now = self._timer()
        caught_up = 0.0 if shared is None else float(shared[0].header[CAUGHT_UP]) / SECOND
        if self._good is None:
            self._good = now
        if caught_up <= now:  # else it was before the machine started anew
            self._good = max(self._good, caught_up)
        return now - self._good > self._behind_seconds

    def _measure(self, shared: Shared) -> None:
        live, _ = shared
        LIVE_POSITION.set(int(live.header[WATERMARK]))
        LIVE_LAG.set(max(self._log.next_position() - int(live.header[WATERMARK]), 0))
        LIVE_SESSIONS.set(int(live.header[N_SESSIONS]))
        LIVE_PRODUCTS.set(int(np.count_nonzero(live.stored)))

    def _shared(self) -> Shared | None:
        """Return the files, mapped anew when they have grown."""
        if self._mapped is None or self._mapped[0].header[GENERATION] != self._mapped[0].generation:
            self._mapped = read_live_files(self._folder)
        return self._mapped
