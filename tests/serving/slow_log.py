"""A log whose commits take as long as a test wants."""

from __future__ import annotations

import threading

from active_customers.storage.memory import MemoryStore


class SlowLog:
    """A log in memory whose commits wait until they are let go, and fail when they are told to."""

    def __init__(self) -> None:
        self.log = MemoryStore().events
        self.sizes: list[int] = []
        self.began = threading.Semaphore(0)
        self.may_end = threading.Semaphore(0)
        self.failure: Exception | None = None

    def append(self, events, arrival):
        self.began.release()
        assert self.may_end.acquire(timeout=30)
        self.sizes.append(len(events))
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        return self.log.append(events, arrival)
