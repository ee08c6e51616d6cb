"""Checkpoints of a fold: two copies, written in turn, so that one is whole whatever happens to the other.

File: BLAKE2b-256 of the rest (32 bytes), a number that grows with each save (8 bytes, little-endian), arrays as `.npz`.
"""

from __future__ import annotations

import errno
import io
import logging
import os
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from active_customers.core.errors import DiskFullError, StorageError
from active_customers.storage.durable import sync

_log = logging.getLogger(__name__)

_DIGEST = 32
_HEAD = _DIGEST + 8


class Checkpoints:
    """The two copies in one folder. Making the object touches nothing."""

    def __init__(self, folder: Path) -> None:
        self._paths = (folder / "checkpoint-0", folder / "checkpoint-1")
        self._numbers: list[int] = []

    def save(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Write arrays over the older copy, or over the one that is not whole; durable when this returns.

        Raises `DiskFullError` or `StorageError` when it cannot be written; the newer copy is as it was.
        """
        numbers = self._numbers or [_number(path) for path in self._paths]
        older = int(np.argmin(numbers))
        body = io.BytesIO()
        np.savez(body, allow_pickle=False, **arrays)
        content = (max(numbers) + 1).to_bytes(8, "little") + body.getbuffer()
        self._numbers = []  # until this copy is whole, nobody knows
        _write(self._paths[older], content)
        numbers[older] = max(numbers) + 1
        self._numbers = numbers

    def load(self) -> dict[str, NDArray[Any]] | None:
        """Return the arrays of the newest copy that is whole, or None when there is none."""
        newest = max(self._paths, key=_number)
        if _number(newest) == 0:
            return None
        with np.load(io.BytesIO(newest.read_bytes()[_HEAD:]), allow_pickle=False) as arrays:
            return dict(arrays)


def _write(path: Path, content: bytes) -> None:
    try:
        with path.open("wb") as file:
            file.write(_digest(content))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        sync(path.parent)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(f"no room for {path} ({len(content) / 1e6:.0f} MB): free some disk space") from error
        raise StorageError(f"{path} cannot be written ({error}): see who owns it") from error


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=_DIGEST).digest()


def _number(path: Path) -> int:
    """Return the number of a copy, 1 or more; 0 when it is missing, torn, altered or cannot be read."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return 0
    except OSError as error:
        _log.warning("%s cannot be read (%s): the other copy or the log stands in", path, error)
        return 0
    if len(content) <= _HEAD or _digest(content[_DIGEST:]) != content[:_DIGEST]:
        _log.warning("%s is damaged and not used: the other copy or the log stands in, it is written again", path)
        return 0
    return int.from_bytes(content[_DIGEST:_HEAD], "little")
