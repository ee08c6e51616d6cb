"""Being the only one: a lock on a file, which goes with the process, however that ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from active_customers.core.errors import StoreLockedError


def take_lock(path: Path, refusal: str) -> int:
    """Return the descriptor whose closing gives the lock up; the file is made where it is missing, and stays.

    Raises `StoreLockedError` with `refusal` at once when another process, or another descriptor of this one, holds it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise StoreLockedError(refusal) from error
    return descriptor


@contextmanager
def holding_lock(path: Path) -> Iterator[int]:
    """Yield the descriptor of a file, made where it is missing, once no other process or thread is in such a block."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing is not enough: a mapping keeps a descriptor of its own
        os.close(descriptor)
