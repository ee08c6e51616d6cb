"""The folder of one import under way, and what aborted ones left behind."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from active_customers.core.clock import format_time, parse_time
from active_customers.core.errors import StoreLockedError
from active_customers.storage.durable import make_folder
from active_customers.storage.lock import take_lock

REJECTS, WARNINGS = "rejects.jsonl", "warnings.jsonl"
"""Rows that were rejected, and values that were left out of others: what is kept of an import."""
_KEPT = (REJECTS, WARNINGS)
_FOLDERS = "*Z-*"
_LOCK = "lock"
_SEALED = "staged.json"


@contextmanager
def import_lock(imports: Path) -> Iterator[None]:
    """Be the only import of a data directory; raises `StoreLockedError` when another one is running.

    An import knows what is in the archive only if no other adds to it. The lock goes with the process, however it ends.
    """
    make_folder(imports)
    lock = take_lock(
        imports / _LOCK, f"another import into {imports.parent} is running: start this one when it is done"
    )
    try:
        yield
    finally:
        os.close(lock)


@contextmanager
def import_folder(imports: Path, now: int) -> Iterator[Path]:
    """Make a folder for an import that starts now, and take it away afterwards, rejected rows excepted.

    Only for who holds the `import_lock`. A sealed folder stays: the store may have begun to adopt it and finishes that
    by itself, whatever went wrong here.
    """
    started = format_time(now // 1_000_000 * 1_000_000).replace(":", "")
    folder = imports / f"{started}-{secrets.token_hex(4)}"
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        if not _sealed(folder):
            _clear(folder)


def clear_leftovers(imports: Path, now: int, kept: int) -> None:
    """Remove what aborted imports left behind, and folders begun longer ago than `kept` (microseconds).

    Only for who holds the `import_lock`. A sealed folder may be in the middle of its adoption even when its own process
    has died, so it counts as rejected rows do: it goes when it is old.
    """
    for folder in imports.glob(_FOLDERS):
        if now - _started(folder) > kept:
            shutil.rmtree(folder, ignore_errors=True)
        elif not _sealed(folder):
            _clear(folder)


def clear_old(imports: Path, ages: tuple[int, int], adopted: Collection[str]) -> None:
    """Remove what imports left behind that were begun before the first of two times, and their rejects by the second.

    Nothing is done while an import runs, and what is being adopted stays. A sealed folder that is not being adopted by
    then never will be: its import died when it was about to ask for it.
    """
    oldest, oldest_rejects = ages
    begun = {path: _started(path) for path in imports.glob(_FOLDERS) if path.name not in adopted}
    old = [path for path, time in begun.items() if time < oldest_rejects]
    dead = [path for path, time in begun.items() if time < oldest and _holds_more_than_rejects(path)]
    if not old and not dead:
        return
    with suppress(StoreLockedError), import_lock(imports):
        for folder in dead:
            _clear(folder)
        for folder in old:
            shutil.rmtree(folder, ignore_errors=True)


def _holds_more_than_rejects(folder: Path) -> bool:
    return any(path.name not in _KEPT for path in folder.iterdir())


def is_import_under_way(imports: Path) -> bool:
    """Tell whether there is more than rejected rows: an import that runs or is being adopted, or one that died."""
    return any(_holds_more_than_rejects(folder) for folder in imports.glob(_FOLDERS))


def _sealed(folder: Path) -> bool:
    return (folder / _SEALED).exists()


def _started(folder: Path) -> int:
    day, clock = folder.name.split("T", 1)
    return parse_time(f"{day}T{clock[:2]}:{clock[2:4]}:{clock[4:6]}Z")


def _clear(folder: Path) -> None:
    """Remove the folder, or all but its rejected rows and warnings."""
    if not folder.exists():
        return
    if not any((folder / name).exists() for name in _KEPT):
        shutil.rmtree(folder)
        return
    for path in folder.iterdir():
        if path.name not in _KEPT:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
