"""The committer: the one part that appends to the log. What arrives while a commit runs shares the next one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import orjson

from active_customers.core.clock import Clock
from active_customers.core.errors import ActiveCustomersError, DiskFullError, OverloadedError, StorageError
from active_customers.core.event import Event, Receipt
from active_customers.monitoring.metrics import COMMIT_EVENTS, COMMIT_SECONDS
from active_customers.serving.backlog import Backlog, CommitterConfig, Pace
from active_customers.storage.base import EventLog


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
        config = config or CommitterConfig()
        self._backlog: Backlog[_Waiting] = Backlog(config)
        self._pace = Pace(config)
        self._wake = threading.Condition()
        self._stopping = False
        self.is_full = False
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
        n_bytes = len(orjson.dumps([event.details for event in events]))
        with self._wake:
            if self._stopping:
                raise OverloadedError("the service is stopping")
            self._backlog.add(waiting, len(events), n_bytes)
            self._wake.notify()
        return await waiting.answer

    def _run(self) -> None:
        while group := self._next_group():
            self._commit(group)

    def _next_group(self) -> list[_Waiting]:
        """Wait for work and take what one commit can hold; empty when stopping and drained."""
        with self._wake:
            while not self._backlog and not self._stopping:
                self._wake.wait()
        self._pace.wait()
        with self._wake:
            return self._backlog.take()

    def _commit(self, group: list[_Waiting]) -> None:
        events = [event for waiting in group for event in waiting.events]
        self._pace.started(len(events))
        outcome = committed(self._log, events, self._clock.now())
        self.is_full = isinstance(outcome, DiskFullError)
        _tell(group, outcome)


def committed(log: EventLog, events: Sequence[Event], now: int) -> list[Receipt] | ActiveCustomersError:
    """Append events in one transaction; return their receipts, or why none of them was stored."""
    COMMIT_EVENTS.observe(len(events))
    try:
        with COMMIT_SECONDS.time():
            return log.append(events, now)
    except ActiveCustomersError as error:
        return error
    except Exception as error:  # noqa: BLE001 - whoever commits must outlive whatever one batch does
        return StorageError(f"the commit failed ({type(error).__name__}: {error}); nothing of it was stored")


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
