"""The clock of a simulated service: its time is eight bytes in the data directory, mapped by every process."""

from __future__ import annotations

import os
from collections.abc import Callable
from mmap import PROT_READ, PROT_WRITE, mmap
from pathlib import Path
from typing import Self

from active_customers.core.clock import Clock, SystemClock
from active_customers.core.errors import StorageError
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.durable import sync
from active_customers.storage.lock import holding_lock

_BYTES = 8


class SimulatedClock:
    """A clock that stands still until it is moved, for all processes of a service at once, and across restarts.

    Its word is aligned and read and written in one piece, so a reader sees the time before a move or after it. Whoever
    moves it holds a lock on the file meanwhile, and writes it there itself, not through the owner of the directory:
    every process sees the word at its next look either way, and a service whose committer is away can still be moved.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def open(self, start: int) -> Self:
        """Map the time; a clock that is new begins at `start`. Raises `StorageError` when the file is none of these."""
        try:
            with holding_lock(self._path) as file:
                if os.fstat(file).st_size == 0:
                    os.pwrite(file, start.to_bytes(_BYTES, "little"), 0)
                    os.fsync(file)
                    sync(self._path.parent)
                if os.fstat(file).st_size != _BYTES:
                    raise StorageError(f"{self._path} is damaged: delete it, and the clock starts anew")
                self._word = memoryview(mmap(file, _BYTES, prot=PROT_READ)).cast("q")
        except OSError as error:
            raise StorageError(f"{self._path} cannot be written ({error}): see who owns it") from error
        return self

    def now(self) -> int:
        """Return the time that the clock stands at, in microseconds."""
        return self._word[0]

    def move(self, step: Callable[[int], int]) -> int:
        """Set the clock to what `step` makes of its time, durably, and return that; nobody else moves it meanwhile.

        What `step` raises leaves the clock as it is.
        """
        with holding_lock(self._path) as file, mmap(file, _BYTES, prot=PROT_READ | PROT_WRITE) as mapped:
            with memoryview(mapped) as view, view.cast("q") as word:
                word[0] = time = step(word[0])
            mapped.flush()
        return time


def clock_of(directory: DataDirectory) -> Clock:
    """Return the clock that a data directory goes by: the simulated one where it has one, else the machine's."""
    machine = SystemClock()
    return SimulatedClock(directory.clock).open(machine.now()) if directory.clock.exists() else machine
