"""The supervisor: starts the processes of a service, the first before the others, restarts each alone, stops them.

Each part runs in a process of its own, forked from a server that has imported everything but opened nothing. A part
says when it is ready and beats from then on; one that ends is started again, one that hangs is killed first.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Sequence
from ctypes import c_double
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Annotated, Any

from pydantic import Field

from active_customers.core.config import Config

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.25


class SupervisorConfig(Config):
    """When a process counts as lost."""

    start_seconds: Annotated[float, Field(gt=0)] = 60.0
    """Time a process may take until it is ready."""
    hang_seconds: Annotated[float, Field(gt=0)] = 10.0
    """Time without a beat after which a process is killed and started again."""
    stop_seconds: Annotated[float, Field(gt=0)] = 15.0
    """Time a process may take to finish what it has accepted."""
    restart_pause_seconds: Annotated[float, Field(gt=0)] = 1.0
    """Pause before a process that ended within this time of its start is started again."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """What a process shows its supervisor: a time of the monotonic clock, 0 until it is ready."""

    beaten: c_double
    supervisor: Connection
    """Ends when the supervisor does."""

    def beat(self) -> None:
        """Say "ready", and later "still here"."""
        self.beaten.value = time.monotonic()


@dataclass(frozen=True, slots=True)
class Part:
    """A process to run: `target(pulse, *args)`; it ends on SIGTERM."""

    name: str
    target: Callable[..., None]
    args: tuple[Any, ...]


class _Running:
    """One part while it runs."""

    def __init__(self, part: Part, context: ForkServerContext) -> None:
        self.part = part
        self.started = time.monotonic()
        self.beaten: c_double = context.RawValue("d", 0.0)  # without a lock, which a process could take to its grave
        theirs, self._ours = context.Pipe(duplex=False)
        self.process: ForkServerProcess = context.Process(
            target=part.target, args=(Pulse(self.beaten, theirs), *part.args), name=part.name
        )
        self.process.start()
        theirs.close()
        self.restart_at: float | None = None
        """When it is to be started again; None until its end has been seen."""
        _log.info("%s is process %d", part.name, self.process.pid)

    @property
    def is_ready(self) -> bool:
        return self.beaten.value > 0

    def hangs(self, config: SupervisorConfig) -> bool:
        """Whether it is alive but has not beaten in time."""
        since = self.beaten.value or self.started + config.start_seconds - config.hang_seconds
        return self.process.is_alive() and time.monotonic() - since > config.hang_seconds

    def leave(self, config: SupervisorConfig) -> None:
        """Set when an ended process is started again; should it be alive after all, tell it that it is nobody's."""
        now = time.monotonic()
        ended_early = now - self.started < config.restart_pause_seconds
        self.restart_at = now + config.restart_pause_seconds if ended_early else now
        self._ours.close()


class Supervisor:
    """Runs parts until SIGTERM or SIGINT. `on_ready` is called once, when all of them are."""

    def __init__(self, parts: Sequence[Part], config: SupervisorConfig, on_ready: Callable[[], None]) -> None:
        self._parts = parts
        self._config = config
        self._on_ready = on_ready
        self._context = multiprocessing.get_context("forkserver")
        self._running: list[_Running] = []
        self._awake, self._alarm = socket.socketpair()

    def run(self, *preload: str) -> bool:
        """Start the first part, then the others, and watch over them; return whether the service came up at all.

        `preload` names the modules that hold the targets, imported once for all processes.
        """
        self._context.set_forkserver_preload([*preload])
        self._alarm.setblocking(False)
        signal.set_wakeup_fd(self._alarm.fileno())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: None)
        try:
            if not (self._start(self._parts[:1]) and self._start(self._parts[1:])):
                return False
            self._on_ready()
            while not self._asked_to_stop(_LOOK_SECONDS):
                self._mend()
            return True
        finally:
            self._stop()

    def _start(self, parts: Sequence[Part]) -> bool:
        """Start parts and wait until all are ready; False when one ends instead, hangs, or the service is to stop."""
        started = [_Running(part, self._context) for part in parts]
        self._running += started
        while not all(running.is_ready for running in started):
            failed = any(not running.process.is_alive() or running.hangs(self._config) for running in started)
            if failed or self._asked_to_stop(0.02):
                return False
        return True

    def _asked_to_stop(self, seconds: float) -> bool:
        """Wait for a signal, or for the end of a process, at most so long; tell whether the service is to stop."""
        sentinels = [running.process.sentinel for running in self._running if running.restart_at is None]
        return self._awake in connection.wait([self._awake, *sentinels], seconds)

    def _mend(self) -> None:
        for i, running in enumerate(self._running):
            if running.hangs(self._config):
                _log.error("%s hangs and is killed", running.part.name)
                running.process.kill()
                running.process.join()
            if running.restart_at is None and not running.process.is_alive():
                _log.error("%s ended with %s and is started again", running.part.name, running.process.exitcode)
                running.leave(self._config)
            if running.restart_at is not None and time.monotonic() >= running.restart_at:
                self._replace(i)

    def _replace(self, i: int) -> None:
        """Start an ended part again; where that fails, the next look tries once more."""
        part = self._running[i].part
        try:
            self._running[i] = _Running(part, self._context)
        except (OSError, EOFError) as error:  # the server that forks ended this moment: another is started
            _log.error("%s cannot be started (%r) and will be tried again", part.name, error)

    def _stop(self) -> None:
        """End the parts one after the other, the last one started first, each with time to finish."""
        for running in reversed(self._running):
            running.process.terminate()
            running.process.join(self._config.stop_seconds)
            if running.process.is_alive():
                _log.error("%s did not end in time and is killed", running.part.name)
                running.process.kill()
                running.process.join()
        signal.set_wakeup_fd(-1)


def leave_with_supervisor(pulse: Pulse) -> None:
    """End this process, as SIGTERM would, when its supervisor is gone; call it in a thread."""
    select.select([pulse.supervisor], [], [])
    os.kill(os.getpid(), signal.SIGTERM)
