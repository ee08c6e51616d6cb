"""The committer: the one part that appends to the log. What arrives while a commit runs shares the next one."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from pydantic import Field

from active_customers.core.clock import Clock
from active_customers.core.config import Config
from active_customers.core.errors import ActiveCustomersError, OverloadedError, StorageError
from active_customers.core.event import Event, Receipt
from active_customers.monitoring.metrics import COMMIT_EVENTS, COMMIT_SECONDS
from active_customers.realtime.schemas import MAX_BATCH
from active_customers.storage.base import EventLog


class CommitterConfig(Config):
    """Bounds of the group commit."""

    max_queued_events: Annotated[int, Field(ge=MAX_BATCH)] = 20_000
    """Events that may wait for a commit; beyond it posts are answered 503 with Retry-After."""
    max_commit_events: Annotated[int, Field(ge=1)] = 2_000
    """Events in one transaction; bounds how long a post can wait for others."""


@dataclass(slots=True)
class _Waiting:
    events: Sequence[Event]
    answer: asyncio.Future[list[Receipt]]
    loop: asyncio.AbstractEventLoop


class Committer:
    """Group commit over an `EventLog`, in a thread of its own. `start` before, `stop` (which drains) after."""

    def __init__(self, log: EventLog, clock: Clock, config: CommitterConfig | None = None) -> None:
        self._log = log
        self._clock = clock
        self._config = config or CommitterConfig()
        self._queue: deque[_Waiting] = deque()
        self._queued = 0
        self._wake = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Commit what is queued, then end the thread."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join()

    @property
    def is_running(self) -> bool:
        """Whether events can be appended."""
        return self._thread.is_alive()

    async def append(self, events: Sequence[Event]) -> list[Receipt]:
        """Return the receipts of events once they are durable.

        Raises `OverloadedError` when the queue is full, `StorageError` when the commit failed (then nothing is stored).
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(events, loop.create_future(), loop)
        with self._wake:
            if self._stopping or self._queued + len(events) > self._config.max_queued_events:
                raise OverloadedError("the queue of events is full")
            self._queue.append(waiting)
            self._queued += len(events)
            self._wake.notify()
        return await waiting.answer

    def _run(self) -> None:
        while group := self._next_group():
            self._commit(group)

    def _next_group(self) -> list[_Waiting]:
        """Wait for work and take what one commit can hold; empty when stopping and drained."""
        group: list[_Waiting] = []
        size = 0
        with self._wake:
            while not self._queue and not self._stopping:
                self._wake.wait()
            while self._queue and (not group or size + len(self._queue[0].events) <= self._config.max_commit_events):
                waiting = self._queue.popleft()
                size += len(waiting.events)
                group.append(waiting)
            self._queued -= size
        return group

    def _commit(self, group: list[_Waiting]) -> None:
        events = [event for waiting in group for event in waiting.events]
        COMMIT_EVENTS.observe(len(events))
        try:
            with COMMIT_SECONDS.time():
                receipts = self._log.append(events, self._clock.now())
        except ActiveCustomersError as error:
            _tell(group, error)
        except Exception as error:  # noqa: BLE001 - the thread must outlive whatever one batch does
            _tell(group, StorageError(f"the commit failed ({type(error).__name__}: {error}); nothing of it was stored"))
        else:
            _tell(group, receipts)


def _tell(group: list[_Waiting], outcome: list[Receipt] | Exception) -> None:
    """Hand a commit's outcome to those who wait, waking each event loop once."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Callable[[], None]]] = {}
    start = 0
    for waiting in group:
        end = start + len(waiting.events)
        mine = outcome if isinstance(outcome, Exception) else outcome[start:end]
        by_loop.setdefault(waiting.loop, []).append(partial(_answer, waiting.answer, mine))
        start = end
    for loop, calls in by_loop.items():
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_call_each, calls)


def _answer(answer: asyncio.Future[list[Receipt]], outcome: list[Receipt] | Exception) -> None:
    if answer.done():  # the request was given up meanwhile
        return
    if isinstance(outcome, Exception):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)


def _call_each(calls: list[Callable[[], None]]) -> None:
    for call in calls:
        call()
