"""Files and folders that survive a power cut: there whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from active_customers.core.errors import DiskFullError, StorageError


@contextmanager
def written_whole(path: Path, mode: int = 0o644) -> Iterator[Path]:
    """Yield a temporary path to write; when the block ends it takes its place at `path`, durably.

    When the block fails nothing is left; raises as `writing` does. Processes that write one path at a time do not get
    into each other's way: the last one wins.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with writing(path):
        temporary.unlink(missing_ok=True)
        temporary.touch(mode)
        try:
            yield temporary
            sync(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        sync(path.parent)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Tell what keeps a file or folder from being written: `DiskFullError`, or `StorageError` for anything else."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(f"no room for {path}: free some disk space") from error
        raise StorageError(f"{path} cannot be written ({error}): see who owns it and if the disk has room") from error


def write_whole(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a file so that it is there whole or not at all."""
    with written_whole(path, mode) as temporary:
        temporary.write_bytes(content)


def make_folder(path: Path) -> None:
    """Make a folder and those above it, where they are missing, durable."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        sync(folder.parent)


def sync(path: Path) -> None:
    """Make a file, or the entries of a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
