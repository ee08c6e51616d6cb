"""Time as an argument: everything that needs "now" is handed a clock.

All times in the package are integers: microseconds since 1970-01-01T00:00:00Z.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Tells the time in microseconds since the epoch, UTC."""

    def now(self) -> int:
        """Return the current time in microseconds."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> int:
        """Return the machine's time in microseconds."""
        return time.time_ns() // 1000


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
