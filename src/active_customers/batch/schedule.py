"""Refreshing on a schedule: a process of its own now and then, which nobody waits for and which harms nobody."""

from __future__ import annotations

import logging
import os
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Annotated

from pydantic import Field

from active_customers.batch.refresh_reports import FAILED
from active_customers.core.config import Config
from active_customers.core.errors import ArtifactError
from active_customers.models.artifacts import ArtifactStore
from active_customers.monitoring.exposition import FOLDER_VARIABLE
from active_customers.monitoring.metrics import REFRESHES

_log = logging.getLogger(__name__)


class Ended(IntEnum):
    """Codes that the process ends with; any other is a failure."""

    PUBLISHED = 0
    REFUSED = 1
    NOTHING_TO_DO = 3


_SETTLE_SECONDS = 30.0
"""From the start of a service to its first refresh, when one is due: others are busy then."""
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OMP_THREAD_LIMIT": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}


class ScheduleConfig(Config):
    """When a service refreshes by itself."""

    every_minutes: Annotated[float, Field(ge=0)] = 60.0
    """Age of the version in force at which `serve` refreshes, if anything new was logged; 0 leaves it to others."""
    most_minutes: Annotated[float, Field(gt=0)] = 120.0
    """Time after which a refresh that `serve` started counts as hanging and is killed."""


class Schedule:
    """Starts a refresh where one is due and sees to it. Intervals are real time, whatever clock the shop goes by.

    `command` runs a refresh; its standard input ends when this process does, and then it must end, too. What it prints
    is logged. `next_position` tells how far the log goes, `catalog_version` how often the catalogue has changed, which
    is news as long as there is nothing else to learn from.
    """

    def __init__(
        self,
        config: ScheduleConfig,
        artifacts: ArtifactStore,
        command: Sequence[str],
        next_position: Callable[[], int],
        catalog_version: Callable[[], int] = lambda: 1,
    ) -> None:
        self._config = config
        self._artifacts = artifacts
        self._command = command
        self._next_position = next_position
        self._catalog_version = catalog_version
        self._looking = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._due: float | None = None
        self._position = 1
        """Where the log stood when the last refresh began."""
        self._read = 1
        """How far the last refresh that published or was refused has read the log."""
        self._catalog_read = 1
        """The version of the catalogue that the last refresh began with."""
        self._is_closed = False

    def look(self) -> None:
        """Start a refresh when it is time, or see what became of the one that runs."""
        with self._looking:
            if self._is_closed:
                return
            if self._due is None:
                self._due = time.monotonic() + self._first_pause()
            if self._process is not None:
                self._attend(self._process)
            elif time.monotonic() >= self._due:
                self._due = time.monotonic() + self._pause
                if self._has_news():
                    self._start()

    def close(self) -> None:
        """End the refresh that runs; nothing of it is published."""
        with self._looking:
            self._is_closed = True
            if self._process is not None:
                self._end(self._process)

    @property
    def _every(self) -> float:
        return self._config.every_minutes * 60

    @property
    def _settled(self) -> float:
        return min(_SETTLE_SECONDS, self._every)

    @property
    def _pause(self) -> float:
        """Seconds between looks for news: few while nothing was published, so that a shop's first import is taken."""
        return self._settled if self._artifacts.current() is None else self._every

    def _first_pause(self) -> float:
        """Return the seconds until the first refresh: few when the version in force is old, or missing."""
        settled, current = self._settled, self._artifacts.current()
        if current is None:
            return settled
        try:
            age = time.time() - (self._artifacts.folder(current) / "manifest.json").stat().st_mtime
        except OSError:
            return settled
        return max(settled, self._every - max(age, 0.0))

    def _has_news(self) -> bool:
        """Return whether anything was logged since the last refresh, and since the version in force was trained.

        Where that knows no acts a change of the catalogue is news as well.
        """
        current = self._artifacts.current()
        try:
            manifest = None if current is None else self._artifacts.manifest(current)
        except ArtifactError:
            return True  # a new one is what mends it
        if self._next_position() > max(1 if manifest is None else manifest.watermark, self._read):
            return True
        knows_acts = manifest is not None and manifest.facts.get("acts") != 0
        return not knows_acts and self._catalog_version() > self._catalog_read

    def _start(self) -> None:
        environment = {name: value for name, value in os.environ.items() if name != FOLDER_VARIABLE} | _ONE_THREAD
        self._started = time.monotonic()
        self._position = self._next_position()
        self._catalog_read = self._catalog_version()
        self._process = subprocess.Popen(  # noqa: S603 - a command of our own
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        _log.info("refresh is process %d", self._process.pid)

    def _attend(self, process: subprocess.Popen[bytes]) -> None:
        code = process.poll()
        if code is None:
            if time.monotonic() - self._started > self._config.most_minutes * 60:
                _log.error("refresh takes longer than refresh.most_minutes and is killed")
                REFRESHES.labels(FAILED).inc()
                self._end(process)
            return
        told = self._end(process)
        if code in tuple(Ended):
            _log.log(logging.WARNING if code == Ended.REFUSED else logging.INFO, "refresh: %s", told)
            if code != Ended.NOTHING_TO_DO:
                self._read = self._position
        else:
            _log.error("refresh failed with %d and will be tried again: %s", code, told)
            REFRESHES.labels(FAILED).inc()

    def _end(self, process: subprocess.Popen[bytes]) -> str:
        """Kill what may still run, and return what it said."""
        process.kill()
        told, _ = process.communicate()
        self._process = None
        self._due = time.monotonic() + self._every
        return told.decode(errors="replace").strip()
