"""The writer of a shop's live index while a service runs: follows the log, and checkpoints what it has learned."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Annotated

from pydantic import Field

from active_customers.core.config import Config
from active_customers.core.errors import StorageError
from active_customers.monitoring.metrics import CHECKPOINT_SECONDS, CHECKPOINT_TIME
from active_customers.realtime.live_index import LiveIndex
from active_customers.serving.live_feed import LiveFeed
from active_customers.storage.durable import make_folder
from active_customers.storage.lock import take_lock

_log = logging.getLogger(__name__)

_LONGEST_TURN = 1.0
"""Seconds of one call of `follow`, about: how long a stop waits for a catch-up that takes minutes."""
_REPORT_SECONDS = 10.0
"""Pause between two log lines about a long catch-up."""


class LiveUpdaterConfig(Config):
    """How the live index follows the log."""

    poll_seconds: Annotated[float, Field(gt=0)] = 0.2
    """Pause between looks at the log: how late others learn what a customer did."""
    checkpoint_seconds: Annotated[float, Field(gt=0)] = 30.0
    """Pause between checkpoints: as much of the log is read again after a crash."""
    behind_seconds: Annotated[float, Field(gt=0)] = 5.0
    """Time without having read the log to its end after which answers say that the live index is missing."""


class LiveUpdater:
    """Keeps the live index in a folder up to date. `follow` and `checkpoint` wait for each other, in whatever thread.

    The first `follow` opens the index; `close` says goodbye with a checkpoint.
    """

    def __init__(
        self, folder: Path, index: LiveIndex, feed: LiveFeed, timer: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder = folder
        self._index = index
        self._feed = feed
        self._timer = timer
        self._turn = Lock()
        self._lock: int | None = None
        self._saved = (0, 0)
        self._is_behind = True
        self._next_report = 0.0

    def follow(self) -> None:
        """Learn what the log has that is new, for a bounded time.

        Raises `StorageError` when another process writes the index, or when something cannot be read or written.
        """
        with self._turn:
            if self._lock is None:
                self._lock = self._opened()
            end = self._timer() + _LONGEST_TURN
            is_caught_up = self._feed.follow(lambda: self._timer() > end)
            if is_caught_up:
                self._index.say_caught_up(self._timer())
            self._report(is_caught_up)

    def checkpoint(self) -> None:
        """Save the index if it is still what archive and log make and there is news; else it starts over.

        An act that was erased is in none of the two copies once both are newer than the erasure, so that the same
        watermark is saved twice. Raises `StorageError` when nothing could be saved; learning may go on.
        """
        with self._turn:
            if self._lock is not None and self._is_true() and self._saved != (self._index.watermark,) * 2:
                with CHECKPOINT_SECONDS.time():
                    self._index.checkpoint()
                CHECKPOINT_TIME.set_to_current_time()
                self._saved = (self._saved[1], self._index.watermark)

    def close(self) -> None:
        """Learn what came last, checkpoint, and leave the index to others; what fails is logged."""
        if self._lock is None:
            return
        try:
            self.follow()
            self.checkpoint()
        except Exception:  # noqa: BLE001 - whatever it is, the service ends in order
            _log.exception("the live index was not saved, its next start reads more of the log")
        os.close(self._lock)
        self._lock = None

    def _opened(self) -> int:
        """Open the index as its only writer; return the descriptor of the lock."""
        try:
            make_folder(self._folder)
            lock = take_lock(self._folder / "lock", f"{self._folder} is in use by another process that is about to end")
        except OSError as error:
            raise StorageError(f"{self._folder} cannot be written ({error}): see who owns it") from error
        try:
            self._index.open()
            self._is_true()
        except BaseException:
            os.close(lock)
            raise
        return lock

    def _is_true(self) -> bool:
        """Tell whether the index is what archive and log make; it starts over where it is not."""
        contradiction = self._feed.verify()
        if contradiction is not None:
            _log.warning("the live index is made again from archive and log: %s", contradiction)
            self._saved = (0, 0)
        return contradiction is None

    def _report(self, is_caught_up: bool) -> None:
        """Say from time to time how far a catch-up is, and in the end that it is over."""
        if is_caught_up and self._is_behind:
            _log.info("the live index is caught up at position %d", self._index.watermark)
        elif not is_caught_up and self._timer() >= self._next_report:
            _log.info("the live index has read up to position %d so far", self._index.watermark)
            self._next_report = self._timer() + _REPORT_SECONDS
        self._is_behind = not is_caught_up
