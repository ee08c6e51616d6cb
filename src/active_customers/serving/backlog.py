"""What waits for a commit, in the order of arrival and bounded."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

from pydantic import Field

from active_customers.core.config import Config
from active_customers.core.errors import OverloadedError
from active_customers.realtime.schemas import MAX_BATCH

T = TypeVar("T")


class CommitterConfig(Config):
    """Bounds of the group commit."""

    max_queued_events: Annotated[int, Field(ge=MAX_BATCH)] = 20_000
    """Events that may wait for a commit, in each process; beyond it posts are answered 503 with Retry-After."""
    max_queued_mb: Annotated[int, Field(ge=2, le=1024)] = 32
    """Size of what may wait, as JSON, in MB: the same for events that carry much."""
    max_commit_events: Annotated[int, Field(ge=1)] = 2_000
    """Events in one transaction; bounds how long a post can wait for others."""
    commit_every_ms: Annotated[float, Field(ge=0, le=100)] = 4.0
    """Shortest time from the start of one commit to that of the next, so that posts under load share commits. A post
    after a pause does not wait, nor does one that comes after a commit of a single event."""


@dataclass(frozen=True, slots=True)
class _Item(Generic[T]):
    item: T
    n_events: int
    n_bytes: int


class Pace:
    """Keeps the starts of commits apart while there are several posts to share them."""

    def __init__(self, config: CommitterConfig) -> None:
        self._seconds = config.commit_every_ms / 1000
        self._next = 0.0

    def wait(self) -> None:
        """Return when a commit may start."""
        early = self._next - time.monotonic()
        if early > 0:
            time.sleep(early)

    def started(self, n_events: int) -> None:
        """Count a commit of so many events. After a single one the next need not wait: its sender waits for nobody."""
        self._next = time.monotonic() + self._seconds if n_events > 1 else 0.0


class Backlog(Generic[T]):
    """A bounded queue of posts, each of one or more events. It does no locking."""

    def __init__(self, config: CommitterConfig) -> None:
        self._config = config
        self._items: deque[_Item[T]] = deque()
        self._n_events = 0
        self._n_bytes = 0

    def __bool__(self) -> bool:
        return bool(self._items)

    def add(self, item: T, n_events: int, n_bytes: int) -> None:
        """Let a post of so many events and bytes wait; raises `OverloadedError` when that is too much."""
        n_events, n_bytes = self._n_events + n_events, self._n_bytes + n_bytes
        if n_events > self._config.max_queued_events or n_bytes > self._config.max_queued_mb * 1_000_000:
            raise OverloadedError("the queue of events is full")
        self._items.append(_Item(item, n_events - self._n_events, n_bytes - self._n_bytes))
        self._n_events, self._n_bytes = n_events, n_bytes

    def take(self) -> list[T]:
        """Return what one commit can hold of what waits: the first post in any case."""
        group: list[T] = []
        room = self._config.max_commit_events
        while self._items and (not group or self._items[0].n_events <= room):
            first = self._items.popleft()
            room -= first.n_events
            self._n_events -= first.n_events
            self._n_bytes -= first.n_bytes
            group.append(first.item)
        return group
