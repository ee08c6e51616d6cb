"""Counting on the hot routes: in plain numbers, handed to Prometheus now and then.

Its own counters take a lock, and in several processes write to a file: ten times the cost, four times a request.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

from prometheus_client import Counter, Histogram


class Tally:
    """Counts for a counter; `add` in one thread only, `publish` in one at a time."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._count = 0
        self._published = 0

    def add(self, n: int = 1) -> None:
        """Count."""
        self._count += n

    def publish(self) -> None:
        """Hand over what was counted since the last time."""
        count = self._count
        self._counter.inc(count - self._published)
        self._published = count


class Timings:
    """Times for a histogram; `add` in one thread only, `publish` in one at a time."""

    def __init__(self, histogram: Histogram) -> None:
        child: Any = histogram  # has no public way to add many observations at once
        self._sum, self._buckets, self._bounds = child._sum, child._buckets, child._upper_bounds
        self._seconds, self._seconds_published = 0.0, 0.0
        self._counts = [0] * len(self._bounds)
        self._published = [0] * len(self._bounds)

    def add(self, seconds: float) -> None:
        """Count a time into its bucket."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._seconds += seconds

    def publish(self) -> None:
        """Hand over what was counted since the last time."""
        counts, seconds = self._counts.copy(), self._seconds
        for bucket, count, published in zip(self._buckets, counts, self._published, strict=True):
            if count > published:
                bucket.inc(count - published)
        self._sum.inc(seconds - self._seconds_published)
        self._published, self._seconds_published = counts, seconds
