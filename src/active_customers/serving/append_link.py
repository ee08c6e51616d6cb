"""How a worker appends through the committer's process.

One connection; what is posted in one turn of the event loop goes together in one frame. Frames are answered in order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from active_customers.core.errors import DiskFullError, OverloadedError
from active_customers.core.event import Event, Receipt
from active_customers.serving.append_frames import Incoming, frame, packed_post, packed_posts, unpacked_outcome
from active_customers.serving.backlog import Backlog, CommitterConfig
from active_customers.serving.unix_path import short_path

MOST_UNDER_WAY = 4
"""Frames without an answer; what is posted beyond them, or beyond what one commit can hold, waits for an answer. A post
that waited for the answer to the frame before would miss the commit that is about to start."""


@dataclass(frozen=True, slots=True)
class _Post:
    packed: bytes
    n_events: int
    answer: asyncio.Future[list[Receipt]]


class AppendLink:
    """`Appender` of a worker. While the committer is away, appends fail at once and the link is made again."""

    def __init__(self, path: Path, config: CommitterConfig) -> None:
        self._path = path
        self._backlog: Backlog[_Post] = Backlog(config)
        self._most_events = config.max_commit_events
        self._under_way: deque[list[_Post]] = deque()
        self._n_under_way = 0
        self._is_due = False
        self._reached = True
        self.is_full = False
        self._connection: asyncio.WriteTransport | None = None
        self._answers: _Answers | None = None
        self._connecting: asyncio.Task[None] | None = None

    async def stop(self) -> None:
        """Hang up; what still waits fails."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._connection is not None:
            self._connection.close()
        self._fail(OverloadedError("the service is stopping"))

    @property
    def is_running(self) -> bool:
        """Whether the committer could be reached when it was last needed."""
        return self._reached

    async def append(self, events: Sequence[Event]) -> list[Receipt]:
        """Return the receipts of events once they are durable.

        Raises `OverloadedError` when too much waits or the committer is away, `StorageError` when its commit failed. If
        the connection breaks, events may have been stored all the same: a retry is recognised as one.
        """
        loop = asyncio.get_running_loop()
        post = _Post(packed_post(events), len(events), loop.create_future())
        self._backlog.add(post, len(events), len(post.packed))
        if not self._is_due and self._may_send():
            self._is_due = True
            loop.call_soon(self._send)  # not at once: with what other requests bring in this turn of the loop
        return await post.answer

    def _send(self) -> None:
        if self._connection is None:
            if self._connecting is None or self._connecting.done():  # never two: frames are answered in order on one
                self._connecting = asyncio.create_task(self._connect())
            return
        self._is_due = False
        while self._may_send() and (posts := self._backlog.take()):
            self._under_way.append(posts)
            self._n_under_way += sum(post.n_events for post in posts)
            self._connection.write(frame(packed_posts(post.packed for post in posts)))

    def _may_send(self) -> bool:
        return len(self._under_way) < MOST_UNDER_WAY and self._n_under_way < self._most_events

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            with short_path(self._path) as path:
                connection, answers = await loop.create_unix_connection(
                    lambda: _Answers(self._settle, self._lose), path
                )
        except OSError:
            self._lose(self._answers)
            return
        self._connection, self._answers = connection, answers
        if connection.is_closing():
            self._lose(answers)
        else:
            self._send()

    def _settle(self, answers: _Answers, message: bytes) -> None:
        """Hand the outcome of the oldest frame to those who wait for it, and send what waits meanwhile."""
        if answers is not self._answers:
            return
        self._reached = True
        outcome = unpacked_outcome(message)
        self.is_full = isinstance(outcome, DiskFullError)
        start = 0
        posts = self._under_way.popleft()
        self._n_under_way -= sum(post.n_events for post in posts)
        for post in posts:
            end = start + post.n_events
            _settle(post.answer, outcome if isinstance(outcome, Exception) else outcome[start:end])
            start = end
        self._send()

    def _lose(self, answers: _Answers | None) -> None:
        if answers is not self._answers:
            return
        self._connection = self._answers = None
        self._reached = False
        self._fail(OverloadedError("the committer is being restarted"))

    def _fail(self, error: Exception) -> None:
        while posts := self._under_way.popleft() if self._under_way else self._backlog.take():
            for post in posts:
                _settle(post.answer, error)
        self._is_due = False
        self._n_under_way = 0


class _Answers(asyncio.Protocol):
    """Cuts what the committer sends into messages."""

    def __init__(self, answered: Callable[[_Answers, bytes], None], lost: Callable[[_Answers], None]) -> None:
        self._answered = answered
        self._lost = lost
        self._incoming = Incoming()

    def data_received(self, data: bytes) -> None:
        for message in self._incoming.messages(data):
            self._answered(self, message)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._lost(self)


def _settle(answer: asyncio.Future[list[Receipt]], outcome: list[Receipt] | Exception) -> None:
    if answer.done():  # the request was given up meanwhile
        return
    if isinstance(outcome, Exception):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)
