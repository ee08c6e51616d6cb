"""The LMDB environment: opening, transactions, counters, and LMDB's errors in this package's words."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import lmdb
from pydantic import Field

from active_customers.core.config import Config
from active_customers.core.errors import DiskFullError, StorageError
from active_customers.storage.durable import make_folder, writing
from active_customers.storage.embedded.torn_file import refuse_empty, refuse_short

_NO_ROOM = 1 << 20
"""Bytes that a disk may still show as free when it has no room for a transaction."""

_READER_BYTES = 64
_READER_HEAD_BYTES = 192


class StorageConfig(Config):
    """Limits of the embedded store."""

    map_size_gb: Annotated[int, Field(ge=1)] = 64
    """Upper bound of the store's file, in GiB of address space; the file itself grows only as data comes."""
    max_readers: Annotated[int, Field(ge=16)] = 512
    """Read transactions that may be open at once, over all processes."""
    recent_keys: Annotated[int, Field(ge=0)] = 65_536
    """Retry keys of the newest events that the writer holds in memory (some 170 bytes each) before it files them."""


class Environment:
    """One LMDB environment. One process writes, any number read; reads see a snapshot and never wait."""

    def __init__(self, path: Path, config: StorageConfig, *, writer: bool) -> None:
        self.path = path
        self.writer = writer
        self.config = config

    def open(self) -> None:
        """Open it; the writer creates it. Raises `StorageError` for a torn one, and to a reader where there is none."""
        refuse_empty(self.path)
        if self.writer:
            self._reserve_reader_table()
        try:
            self._env = lmdb.open(
                str(self.path),
                map_size=self.config.map_size_gb << 30,
                max_dbs=64,
                max_readers=self.config.max_readers,
                max_spare_txns=16,
                create=self.writer,
                readonly=not self.writer,
                readahead=False,
            )
            self._env.reader_check()
        except lmdb.Error as error:
            raise self._unusable(error) from error
        try:
            refuse_short(self.path, self.used_bytes())
            self._meta = self.database(b"meta")
        except StorageError:
            self._env.close()
            raise

    def _reserve_reader_table(self) -> None:
        """Give the table of readers its disk space: whoever writes to a mapped page that gets none dies.

        Not while LMDB has the file open: closing it here would free the locks that this process has on it there.
        """
        path = self.path / "lock.mdb"
        with writing(path):
            make_folder(self.path)
            with path.open("ab") as file:
                os.posix_fallocate(file.fileno(), 0, self.config.max_readers * _READER_BYTES + _READER_HEAD_BYTES)

    def _unusable(self, error: lmdb.Error) -> StorageError:
        return StorageError(
            f"{self.path} cannot be opened ({error}): is --data-dir the right one, and has anything been stored? "
            "If it is damaged, restore the data directory from a backup"
        )

    def close(self) -> None:
        """Close it; open transactions are given up."""
        self._env.close()

    def database(self, name: bytes) -> lmdb._Database:
        """Open a sub-database; the writer creates it where it is missing, a reader gets a `StorageError`."""
        try:
            if not self.writer:
                return self._env.open_db(name, create=False)
            # In a transaction of its own: without one, the library takes its own lock first and then waits for the
            # writer before it, who needs that lock to end.
            with self.writing() as txn:
                return self._env.open_db(name, txn=txn, create=True)
        except (lmdb.NotFoundError, lmdb.ReadonlyError) as error:
            raise self._unusable(error) from error

    def database_names(self) -> list[bytes]:
        """Return the names of all sub-databases."""
        with self.reading() as txn:
            return [bytes(name) for name in txn.cursor().iternext(values=False)]

    def reading(self) -> lmdb.Transaction:
        """Return a read transaction on the newest snapshot, to be used as a context manager, and shortly."""
        return self._env.begin()

    @contextmanager
    def writing(self) -> Iterator[lmdb.Transaction]:
        """Yield a write transaction that is durable when the block ends, or leaves nothing behind."""
        if not self.writer:
            raise StorageError(f"{self.path} was opened for reading only: let its owner write")
        with self._full_disk_told(), self._env.begin(write=True) as txn:
            yield txn

    @contextmanager
    def _full_disk_told(self) -> Iterator[None]:
        try:
            yield
        except lmdb.Error as error:
            full = isinstance(error, (lmdb.MapFullError, lmdb.DiskError))
            if not full and (type(error) is not lmdb.Error or self._has_room()):
                raise
            raise DiskFullError(
                f"{self.path} is full ({error}): free disk space or raise storage.map_size_gb; nothing was stored"
            ) from error

    def _has_room(self) -> bool:
        """Tell whether the disk has any left; where some pages of many found room, LMDB speaks of an I/O error."""
        disk = os.statvfs(self.path)
        return disk.f_bavail * disk.f_frsize > _NO_ROOM

    def counter(self, txn: lmdb.Transaction, name: bytes) -> int:
        """Return a counter; they start at 1."""
        found = txn.get(name, db=self._meta)
        return 1 if found is None else int.from_bytes(found, "little")

    def set_counter(self, txn: lmdb.Transaction, name: bytes, value: int) -> None:
        """Store a counter."""
        txn.put(name, value.to_bytes(8, "little"), db=self._meta)

    def used_bytes(self) -> int:
        """Return how much of the map is in use."""
        return int(self._env.info()["last_pgno"] + 1) * int(self._env.stat()["psize"])
