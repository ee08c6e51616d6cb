"""Arrays in files that one process writes in place and many read, without locks.

A file only ever grows, so that every mapping of it stays valid: a reader with an older one sees fewer rows, never wrong
memory. New rows are zero and have their disk space: a full disk is an error when growing, not a crash when writing.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from active_customers.core.errors import DiskFullError, StorageError


@dataclass(frozen=True, slots=True)
class Column:
    """One file of rows: its name, the type of its numbers, and how many of them make a row."""

    name: str
    dtype: DTypeLike
    width: int = 1

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return np.dtype(self.dtype).itemsize * self.width

    def path(self, folder: Path) -> Path:
        """Return the file in a folder; the layout is in the name, so that no file is ever read as another's layout."""
        return folder / f"{self.name}-{np.dtype(self.dtype).str[1:]}x{self.width}.array"

    def grow(self, folder: Path, rows: int) -> NDArray[Any]:
        """Make the file at least `rows` rows long and return it, mapped for writing, one-dimensional.

        Raises `DiskFullError` when there is no room for them (what was there stays), `StorageError` on other trouble.
        """
        path = self.path(folder)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                present = os.fstat(descriptor).st_size
                if rows * self.row_bytes > present:
                    os.posix_fallocate(descriptor, present, rows * self.row_bytes - present)
            finally:
                os.close(descriptor)
            return self._mapped(path, "r+")
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFullError(f"no room for {path} to grow: free some disk space") from error
            raise StorageError(f"{path} cannot be written ({error}): see who owns it") from error

    def read(self, folder: Path) -> NDArray[Any]:
        """Return the file as it is now, mapped read-only, one-dimensional; raises `FileNotFoundError`."""
        return self._mapped(self.path(folder), "r")

    def _mapped(self, path: Path, mode: Any) -> NDArray[Any]:
        """Map all whole rows; of an empty file (which cannot be mapped) return an empty array."""
        rows = path.stat().st_size // self.row_bytes
        if rows == 0:
            empty = np.empty(0, self.dtype)
            empty.flags.writeable = mode != "r"
            return empty
        return np.memmap(path, self.dtype, mode, shape=(rows * self.width,)).view(np.ndarray)
