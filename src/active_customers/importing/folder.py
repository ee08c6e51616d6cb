"""The folder of one import under way, and what aborted ones left behind."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from active_customers.core.clock import DAY, format_time, parse_time

REJECTS = "rejects.jsonl"
REJECTS_KEPT = 7 * DAY
"""For how long the rejected rows of an import are kept; they may hold what customers did."""

_LOCK = "lock"
_SEALED = "staged.json"


@contextmanager
def import_folder(imports: Path, now: int) -> Iterator[Path]:
    """Make a folder for an import that starts now, and take it away afterwards, rejected rows excepted.

    It is locked while the import runs, so that `clear_leftovers` of another one leaves it alone. A sealed folder stays:
    the store may have begun to adopt it and finishes that by itself, whatever went wrong here.
    """
    started = format_time(now // 1_000_000 * 1_000_000).replace(":", "")
    folder = imports / f"{started}-{secrets.token_hex(4)}"
    folder.mkdir(parents=True)
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        os.close(lock)
        if not _sealed(folder):
            _clear(folder)


def clear_leftovers(imports: Path, now: int) -> None:
    """Remove what aborted imports left behind, and rejected rows older than `REJECTS_KEPT`.

    A sealed folder may be in the middle of its adoption even when its own process has died, so it counts as rejected
    rows do: it goes when it is old.
    """
    for folder in imports.glob("*Z-*"):
        old = now - _started(folder) > REJECTS_KEPT
        if (old or not _sealed(folder)) and not _in_use(folder):
            if old:
                shutil.rmtree(folder, ignore_errors=True)
            else:
                _clear(folder)


def _sealed(folder: Path) -> bool:
    return (folder / _SEALED).exists()


def _started(folder: Path) -> int:
    day, clock = folder.name.split("T", 1)
    return parse_time(f"{day}T{clock[:2]}:{clock[2:4]}:{clock[4:6]}Z")


def _in_use(folder: Path) -> bool:
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _clear(folder: Path) -> None:
    """Remove the folder, or all but its rejected rows."""
    if not folder.exists():
        return
    if not (folder / REJECTS).exists():
        shutil.rmtree(folder)
        return
    for path in folder.iterdir():
        if path.name != REJECTS:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
