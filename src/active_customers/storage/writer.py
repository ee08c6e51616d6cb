"""What the owner of the data directory does for commands: numbers, catalogue, archiving, adopting imports."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from active_customers.core.clock import Clock, SystemClock
from active_customers.core.erasure import ErasedCustomers, Erasure
from active_customers.core.errors import DiskFullError, StorageError
from active_customers.core.product import Changed, Product, ProductChange
from active_customers.storage.archive import Archive, Part
from active_customers.storage.archive_erasure import overwrite, rows_of
from active_customers.storage.base import Change
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.durable import make_folder, sync
from active_customers.storage.embedded import EmbeddedStore
from active_customers.storage.embedded.sessions import ActsOfMany
from active_customers.storage.passed_over import PassedOver
from active_customers.storage.staged import StagedImport

_ROWS_PER_PART = 50_000
_ROWS_PER_READ = 5_000
"""Bounds the Python between two chances for other threads to a few milliseconds."""
_KEYS_PER_CALL = 5_000
_CUSTOMERS_PER_FOLD = 1_000
"""Bounds one transaction of an adoption to some 20 MB and a few milliseconds, so that live events pass in between."""
_TURNS_PER_STEP = 500
"""Bounds one transaction of logins, which merge states, alike."""

_log = logging.getLogger(__name__)


def _tell_nobody(product_ids: Sequence[str]) -> None:
    del product_ids


class DirectWriter:
    """`StoreWriter` on a store that this process owns. Methods may be called from any thread.

    `catalog_changed` is told the ids of products whose entries have just been stored anew.
    """

    def __init__(
        self,
        directory: DataDirectory,
        store: EmbeddedStore,
        clock: Clock | None = None,
        catalog_changed: Callable[[Sequence[str]], None] = _tell_nobody,
    ) -> None:
        self._catalog_changed = catalog_changed
        self._directory = directory
        self._store = store
        self._archive = Archive(directory.archive)
        self._archiving = threading.Lock()
        self._changing = threading.Lock()
        self.clock = clock or SystemClock()

    def number_products(self, product_ids: Sequence[str]) -> list[int]:
        """Return the numbers of products, giving new ones where needed."""
        return self._store.catalog.number_products(product_ids)

    def number_customers(self, customer_ids: Sequence[str]) -> list[int]:
        """Return the numbers of customers, giving new ones where needed."""
        return self._store.customers.number(customer_ids)

    def put_products(self, products: Sequence[Product]) -> int:
        """Store catalogue entries; return how many."""
        count = self._store.catalog.put_products(products)
        self._catalog_changed([product.product_id for product in products])
        return count

    def change_products(self, changes: Sequence[ProductChange]) -> list[Changed]:
        """Change catalogue entries; return what became of each."""
        outcomes = self._store.catalog.change_products(changes)
        self._catalog_changed([change.product_id for change in changes])
        return outcomes

    def change_records(
        self, kind: str, records: Change, *, whole: bool = False, seen: Mapping[str, int] | None = None
    ) -> bool:
        """Change what the shop told us by name, unless something is newer than what was seen (see `ChangeRecords`)."""
        with self._changing:
            if any(self._store.records[each].version() != version for each, version in (seen or {}).items()):
                return False
            self._store.records[kind].change(records, whole=whole)
            return True

    def reserve(self, count: int) -> int:
        """Give away `count` log positions; return the first of them."""
        return self._store.events.reserve(count)

    def archive_log(self) -> None:
        """Move the log to the archive.

        What is archived is trimmed afterwards; a crash in between leaves entries in both places, and the next run
        finds them covered and trims them.
        """
        with self._archiving:
            end = self._store.events.next_position()
            for rows in _grouped(self._uncovered(end), _ROWS_PER_PART):
                self._archive.append_table(rows)
            self._store.events.trim(end)

    def _uncovered(self, end: int) -> Iterator[pa.Table]:
        """Yield the log's entries below a position that the archive does not have, a few at a time."""
        position = 1
        while len(rows := self._store.events.read_table(position, _ROWS_PER_READ)):
            first, last = rows["position"][0].as_py(), rows["position"][-1].as_py()
            if first >= end:
                return
            uncovered = self._archive.next_uncovered(first)
            if uncovered > first:
                position = uncovered
                continue
            yield rows.slice(0, int(np.searchsorted(rows["position"].to_numpy(), end)))
            position = last + 1

    def compact(self) -> int:
        """Merge small parts of the archive where there are many; return how many files that saved."""
        with self._archiving:
            return self._archive.compact(self.clock.now())

    def archive_and_compact(self) -> None:
        """Do what keeps log and archive small."""
        self.archive_log()
        self.compact()

    def erase(self, customer_id: str) -> Erasure | None:
        """Take a customer out of log, state and numbers; their rows in the archive are counted, not yet overwritten."""
        erasures = self._store.erasures
        erasure = erasures.erase(customer_id, self.clock.now())
        if erasure is None:
            return None
        with self._archiving:  # what was read from the log before it was overwritten is in the archive after this
            erased = np.array(erasures.numbers(erasure), np.uint32)
            erasures.note_rows(erasure, sum(rows_of(part.path, erased) for part in self._archive.parts()))
        return erasures.of(customer_id)

    def finish_erasures(self) -> None:
        """Overwrite the archive's rows of erased customers, file by file; other work passes in between.

        Files that a merge replaced are overwritten as well, and those that come meanwhile: it ends when there is no
        file that it has not seen. A crash leaves the erasures to be done, and the next call begins again. A file that
        cannot be read leaves those to be done that it may hold rows of; once all others are, it raises `StorageError`.
        """
        pending = self._store.erasures.pending()
        if not pending:
            return
        self._store.erasures.resume()
        unread = self._overwrite_all(self._store.erasures.among(pending))
        done_below = min((part.first for part in unread), default=None)  # a customer has no rows after their erasure
        for erasure in pending:
            if done_below is None or erasure.position <= done_below:
                self._store.erasures.settle(erasure, self.clock.now())
        for error in list(unread.values())[1:]:
            _log.error("erasures wait for this file, too: %s", error)
        if unread:
            raise next(iter(unread.values()))

    def _overwrite_all(self, erased: ErasedCustomers) -> dict[Part, StorageError]:
        """Overwrite file by file; return what is wrong with those that cannot be read."""
        seen: set[tuple[Path, int]] = set()
        unread: dict[Part, StorageError] = {}
        while True:
            with self._archiving:
                if not seen:
                    self._archive.drop_unfinished()
                part = next((part for part in self._archive.files() if _identity(part.path) not in seen), None)
                if part is None:
                    return unread
                seen.add(_identity(part.path))  # whatever happens now, the next one is another
                if error := _failure_of(part.path, erased):
                    unread[part] = error
                else:
                    seen.add(_identity(part.path))

    def passed_over(self) -> NDArray[np.uint32]:
        """Return the numbers of whom nothing is to be learned, erased ones included, ascending."""
        return PassedOver(self._store.erasures, self._store.customers).customers()

    def joined(self) -> NDArray[np.uint32]:
        """Return number and owner of everybody whose history became another customer's: uint32[n, 2]."""
        return self._store.customers.joined()

    def acquit(self, customer_id: str) -> bool:
        """Take a customer for a person, for good; False when they are not taken for a robot."""
        return self._store.customers.acquit(customer_id)

    def drop_days(self, before: str) -> int:
        """Remove the archive's days before this one; return how many files went.

        The log is archived and trimmed first: what is still in it would be archived once more.
        """
        self.archive_log()
        with self._archiving:
            return self._archive.drop_days(before)

    def adopt(self, staged: Path) -> None:
        """Take a staged import into archive and states; from its first line on, a crash only delays it.

        Raises `StorageError` when the folder is incomplete or lies elsewhere; then nothing has changed.
        """
        if staged.resolve().parent != self._directory.imports.resolve():
            raise StorageError(f"{staged} does not lie in {self._directory.imports}: run the import again")
        StagedImport.open(staged)
        for path in staged.iterdir():
            sync(path)
        for folder in (staged, staged.parent, staged.parent.parent):
            sync(folder)
        self._store.events.note_import(staged.name)
        self._complete(staged, 0)

    def resume(self) -> int:
        """Complete what a crash interrupted, and remove what it left half written; return how many imports that were.

        Raises `StorageError` when archive and store do not belong together, as after restoring only one of them.
        """
        self._check_archive()
        self._archive.drop_unfinished()
        self._store.erasures.resume()
        completed = 0
        for name, done in self._store.events.imports_under_way().items():
            folder = self._directory.imports / name
            if folder.exists():
                self._complete(folder, done)
                completed += 1
            else:
                _log.error(
                    "%s is gone before it was taken in: its events may be missing, import their files again", folder
                )
                self._store.events.forget_import(name)
        return completed

    def _check_archive(self) -> None:
        archived, given = self._archive.end(), self._store.events.next_position()
        if archived > given:
            raise StorageError(
                f"{self._directory.root} is no whole: its archive goes up to position {archived - 1}, its store only "
                f"to {given - 1}: restore both folders from one backup"
            )

    def _complete(self, folder: Path, done: int) -> None:
        staged = StagedImport.open(folder)
        with self._archiving:  # another import looks for what is known already when its `archive_log` has returned
            self._take_parts(staged)
        if done == 0:
            for start in range(0, len(staged.keys), _KEYS_PER_CALL):
                keys = staged.keys[start : start + _KEYS_PER_CALL]
                self._store.events.remember_keys([key.tobytes() for key in keys], staged.arrival)
        for until, run in _chunks(staged, done):
            self._store.events.fold_import(folder.name, run, until)
        n_folded = len(staged.customers)
        for start in range(max(done - n_folded, 0), len(staged.turns), _TURNS_PER_STEP):
            turns = staged.turns[start : start + _TURNS_PER_STEP]
            self._store.events.note_turns(folder.name, turns, staged.arrival, n_folded + start + len(turns))
        self._store.events.forget_import(folder.name)
        _clear(folder)

    def _take_parts(self, staged: StagedImport) -> None:
        """Move the parts into the archive, without rows and mentions of who was erased since the import was made."""
        gone = self._store.erasures.since(staged.since)
        for path in staged.parts():
            first, last = (int(text) for text in path.stem.split("-")[1:])
            if gone:  # after they were numbered, though perhaps before the rows had positions
                later = [replace(erasure, position=max(erasure.position, last + 1)) for erasure in gone]
                overwrite(path, self._store.erasures.among(later))
            target = self._archive.path_for(first, last, staged.arrival)
            make_folder(target.parent)
            path.replace(target)
            sync(target.parent)


def _grouped(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """Put tables together until they have at least `rows` rows."""
    group: list[pa.Table] = []
    for table in tables:
        group.append(table)
        if sum(map(len, group)) >= rows:
            yield pa.concat_tables(group)
            group = []
    if group:
        yield pa.concat_tables(group)


def _chunks(staged: StagedImport, done: int) -> Iterator[tuple[int, ActsOfMany]]:
    """Yield (customers done after it, acts of the next customers), from customer `done` on."""
    for first in range(done, len(staged.customers), _CUSTOMERS_PER_FOLD):
        until = min(first + _CUSTOMERS_PER_FOLD, len(staged.customers))
        starts = np.array(staged.starts[first : until + 1])
        acts = np.array(staged.acts[starts[0] : starts[-1]])
        yield until, (np.array(staged.customers[first:until]), starts - starts[0], acts)


def _failure_of(path: Path, erased: ErasedCustomers) -> StorageError | None:
    """Overwrite a file; return what is wrong with it where it cannot be read. A full disk is no damage, and raises."""
    try:
        overwrite(path, erased)
    except DiskFullError:
        raise
    except StorageError as error:
        return error
    return None


def _identity(path: Path) -> tuple[Path, int]:
    """Return what tells a file from one that took its place."""
    return path, path.stat().st_ino


def _clear(folder: Path) -> None:
    """Remove what adopting needed; rejected rows stay for their owner to look at."""
    rejects = folder / "rejects.jsonl"
    if not rejects.exists():
        shutil.rmtree(folder)
        return
    for path in folder.iterdir():
        if path != rejects:
            path.unlink()
