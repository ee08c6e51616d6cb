"""A store's file that was cut short: found before it is read, since a process that reads beyond a file's end dies."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from active_customers.core.errors import StorageError

FILE = "data.mdb"

_READ_ALL = """
import os, sys, lmdb
with lmdb.open(sys.argv[1], readonly=True, lock=False, max_dbs=64, map_size=int(sys.argv[2])) as env:
    env.copyfd(os.open(os.devnull, os.O_WRONLY), compact=True)
"""
_REMEDY = "restore the data directory from a backup"


def refuse_empty(folder: Path) -> None:
    """Raise `StorageError` for a file that holds nothing at all: LMDB would begin anew, and say nothing."""
    path = folder / FILE
    if path.exists() and path.stat().st_size == 0:
        raise StorageError(f"{path} is empty: {_REMEDY}; if nothing was ever stored, remove the file")


def refuse_short(folder: Path, used: int) -> None:
    """Raise `StorageError` for a file that is shorter than the bytes in use, and lacks some that hold data.

    What lacks can be pages that are free, so a process of its own reads all that is not; it may well die of it.
    """
    path = folder / FILE
    size = path.stat().st_size
    if size >= used:
        return
    command = [sys.executable, "-c", _READ_ALL, str(folder), str(used)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:  # noqa: S603 - our own words
        raise StorageError(f"{path} was cut short, it has {size:,} of {used:,} bytes: {_REMEDY}")
