"""The committer's process: what workers have sent meanwhile is committed together, by one thread from end to end."""

from __future__ import annotations

import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from active_customers.core.clock import Clock
from active_customers.core.errors import ActiveCustomersError, OverloadedError
from active_customers.core.event import Event, Receipt
from active_customers.serving.append_frames import Incoming, frame, packed_outcome, unpacked_posts
from active_customers.serving.backlog import Backlog, CommitterConfig, Pace
from active_customers.serving.committer import committed
from active_customers.serving.unix_path import short_path
from active_customers.storage.base import EventLog

_READ_BYTES = 1 << 18
_SECONDS_TO_TAKE_AN_ANSWER = 1.0
_SECONDS_AFTER_A_FAILURE = 0.2
"""Keeps what fails again at once, as taking a connection without a free file descriptor, from taking the processor."""

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Peer:
    connection: socket.socket
    incoming: Incoming = field(default_factory=Incoming)


@dataclass(frozen=True, slots=True)
class _Post:
    peer: _Peer
    events: Sequence[Event]
    refused: OverloadedError | None = None
    """Why nothing of it is stored; its answer waits for its turn all the same, since a worker takes them in order."""


class AppendServer:
    """Group commit for `AppendLink`s over a Unix socket. No event loop: a commit costs no wake-up but its own."""

    def __init__(self, path: Path, log: EventLog, clock: Clock, config: CommitterConfig) -> None:
        self._path = path
        self._log = log
        self._clock = clock
        self._backlog: Backlog[_Post] = Backlog(config)
        self._pace = Pace(config)
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)

    @property
    def is_running(self) -> bool:
        """Whether events can be appended."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Listen; a socket that a dead owner left behind is replaced (the caller holds the directory's lock)."""
        self._path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        with short_path(self._path) as path:
            self._listener.bind(path)
        self._path.chmod(0o600)
        self._listener.listen()
        self._waker, self._woken = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread.start()

    def stop(self) -> None:
        """Commit what was received, hang up and end the thread."""
        self._stopping = True
        self._waker.send(b"\0")
        self._thread.join()
        self._path.unlink(missing_ok=True)
        self._hang_up()
        for end in (self._listener, self._woken, self._waker):
            end.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._stopping:
            self._outlive(self._turn)
        while self._backlog:
            self._outlive(self._commit_next)

    def _outlive(self, turn: Callable[[], None]) -> None:
        """Take a turn; should it fail, hang up on all workers: whoever waits is told so, and comes again."""
        try:
            turn()
        except Exception:  # noqa: BLE001 - whoever commits must outlive whatever one turn does
            _log.exception("a turn of the committer failed: workers connect anew, retries are recognised; report it")
            self._hang_up()
            time.sleep(_SECONDS_AFTER_A_FAILURE)

    def _turn(self) -> None:
        self._selector.select(0 if self._backlog else None)
        self._pace.wait()
        for key, _ in self._selector.select(0):  # what came while it waited, too
            if key.data is not None:
                self._receive(key.data)
            elif key.fileobj is self._listener:
                self._accept()
        self._commit_next()

    def _commit_next(self) -> None:
        self._commit(self._backlog.take())

    def _accept(self) -> None:
        """Take a worker's connection; where that fails it stays in line, and those that are connected are served."""
        try:
            connection, _ = self._listener.accept()
        except OSError as error:
            _log.error("a worker cannot connect (%s) and stays in line: raise the limit of open files", error)
            time.sleep(_SECONDS_AFTER_A_FAILURE)
            return
        connection.settimeout(_SECONDS_TO_TAKE_AN_ANSWER)
        self._selector.register(connection, selectors.EVENT_READ, _Peer(connection))

    def _receive(self, peer: _Peer) -> None:
        """Take in what a worker has sent; one that hung up or sends rubbish is let go."""
        try:
            data = peer.connection.recv(_READ_BYTES)
            for message in peer.incoming.messages(data):
                self._queue(_Post(peer, unpacked_posts(message)), len(message))
        except OSError:
            data = b""
        except (ValueError, TypeError, KeyError) as error:
            _log.error("a worker's message makes no sense (%s: %s): it is cut off", type(error).__name__, error)
            data = b""
        if not data:
            self._drop(peer)

    def _queue(self, post: _Post, n_bytes: int) -> None:
        try:
            self._backlog.add(post, len(post.events), n_bytes)
        except OverloadedError as error:
            self._backlog.add(_Post(post.peer, (), error), 0, 0)

    def _commit(self, group: Sequence[_Post]) -> None:
        if not group:
            return
        events = [event for post in group for event in post.events]
        outcome: Sequence[Receipt] | ActiveCustomersError = []
        if events:
            self._pace.started(len(events))
            outcome = committed(self._log, events, self._clock.now())
        start = 0
        for post in group:
            end = start + len(post.events)
            mine = outcome if isinstance(outcome, ActiveCustomersError) else outcome[start:end]
            self._answer(post.peer, post.refused or mine)
            start = end

    def _answer(self, peer: _Peer, outcome: Sequence[Receipt] | ActiveCustomersError) -> None:
        try:
            peer.connection.sendall(frame(packed_outcome(outcome)))
        except OSError:  # it died, or hangs: its posts are stored, and retries will be recognised
            self._drop(peer)

    def _hang_up(self) -> None:
        for peer in [key.data for key in self._selector.get_map().values() if key.data is not None]:
            self._drop(peer)

    def _drop(self, peer: _Peer) -> None:
        if peer.connection.fileno() >= 0:
            self._selector.unregister(peer.connection)
            peer.connection.close()
