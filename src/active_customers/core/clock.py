"""Time as an argument: everything that needs "now" is handed a clock.

All times in the package are integers: microseconds since 1970-01-01T00:00:00Z.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_log = logging.getLogger(__name__)


class Clock(Protocol):
    """Tells the time in microseconds since the epoch, UTC."""

    def now(self) -> int:
        """Return the current time in microseconds."""
        ...


class SystemClock:
    """The machine's own clock, but that it never goes back: what was told before stays the past.

    When the machine's clock is set back, this one goes on from the latest time it told, at half the pace, until the two
    meet: what comes later is later, and pauses can be told. A clock that is set forward is believed at once.
    """

    def __init__(self, machine: Callable[[], int] = time.time_ns) -> None:
        self._machine = machine
        self._told = 0
        self._catching_up = threading.Lock()
        self._caught_up = self._asked = self._set_back_to = self._set_back_from = 0

    def now(self) -> int:
        """Return the time in microseconds; any thread may ask."""
        machine = self._machine() // 1000
        if machine < self._told:
            return self._after_being_set_back(machine)
        self._told = machine
        return machine

    def _after_being_set_back(self, machine: int) -> int:
        with self._catching_up:
            if self._told != self._caught_up or machine < self._asked:
                self._set_back_from, self._set_back_to = self._told, machine
                _complain(self._told - machine)
            self._asked = machine
            told = self._set_back_from + (machine - self._set_back_to) // 2
            self._told = self._caught_up = max(self._told, told)
            return self._told


def _complain(microseconds: int) -> None:
    if microseconds > SECOND:
        _log.warning(
            "the machine's clock was set back by %s: times go on from the latest at half the pace until the two meet; "
            "restart the service to go by the new time at once",
            timedelta(microseconds=microseconds),
        )


class ManualClock:
    """A clock that stands still until it is moved.

    >>> clock = ManualClock(5 * SECOND)
    >>> clock.advance(2 * SECOND)
    >>> clock.now()
    7000000
    """

    def __init__(self, start: int) -> None:
        self._now = start

    def now(self) -> int:
        """Return the time this clock was last set to."""
        return self._now

    def advance(self, microseconds: int) -> None:
        """Move the clock forward."""
        self._now += microseconds


def parse_time(text: str) -> int:
    """Return the microseconds of an RFC 3339 timestamp.

    Raises `ValueError` when the text is no timestamp, has no time zone, or lies before 1970.

    >>> parse_time("2025-01-01T12:00:00Z")
    1735732800000000
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("no time zone")
    microseconds = (moment - _EPOCH) // timedelta(microseconds=1)
    if microseconds < 0:
        raise ValueError("before 1970")
    return microseconds


def format_time(microseconds: int) -> str:
    """Return an RFC 3339 timestamp in UTC, to the second when there is no fraction.

    >>> format_time(1735732800000000)
    '2025-01-01T12:00:00Z'
    """
    return (_EPOCH + timedelta(microseconds=microseconds)).isoformat().replace("+00:00", "Z")


def day_of(microseconds: int) -> str:
    """Return the UTC day of a time.

    >>> day_of(1735732800000000)
    '2025-01-01'
    """
    return (_EPOCH + timedelta(microseconds=microseconds)).date().isoformat()
