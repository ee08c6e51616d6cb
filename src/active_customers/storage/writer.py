"""What the owner of the data directory does for commands: numbers, catalogue, archiving, adopting imports."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from active_customers.core.product import Product
from active_customers.storage.archive import Archive, make_folder, sync
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.embedded import EmbeddedStore
from active_customers.storage.embedded.sessions import ActsOfMany
from active_customers.storage.staged import StagedImport

_ENTRIES_PER_PART = 50_000
_CUSTOMERS_PER_FOLD = 1_000
"""Bounds one transaction of an adoption to some 20 MB and a few milliseconds, so that live events pass in between."""
_COMPACT_ABOVE = 64


class DirectWriter:
    """`StoreWriter` on a store that this process owns. Methods may be called from any thread."""

    def __init__(self, directory: DataDirectory, store: EmbeddedStore) -> None:
        self._directory = directory
        self._store = store
        self._archive = Archive(directory.archive)
        self._archiving = threading.Lock()

    def number_products(self, product_ids: Sequence[str]) -> list[int]:
        """Return the numbers of products, giving new ones where needed."""
        return self._store.catalog.number_products(product_ids)

    def number_customers(self, customer_ids: Sequence[str]) -> list[int]:
        """Return the numbers of customers, giving new ones where needed."""
        return self._store.sessions.number_customers(customer_ids)

    def put_products(self, products: Sequence[Product]) -> int:
        """Store catalogue entries; return how many."""
        return self._store.catalog.put_products(products)

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
            position = 1
            while entries := self._store.events.read(position, _ENTRIES_PER_PART):
                uncovered = self._archive.next_uncovered(entries[0].position)
                if uncovered > entries[0].position:
                    position = uncovered
                    continue
                entries = [entry for entry in entries if entry.position < end]
                if not entries:
                    break
                self._archive.append(entries)
                position = entries[-1].position + 1
            self._store.events.trim(end)

    def compact(self) -> int:
        """Merge small parts of the archive when there are many; return how many files that saved."""
        with self._archiving:
            return self._archive.compact() if len(self._archive.parts()) > _COMPACT_ABOVE else 0

    def archive_and_compact(self) -> None:
        """Do what keeps log and archive small."""
        self.archive_log()
        self.compact()

    def adopt(self, staged: Path) -> None:
        """Take a staged import into archive and states; from its first line on, a crash only delays it."""
        StagedImport.open(staged)
        for path in staged.iterdir():
            sync(path)
        for folder in (staged, staged.parent, staged.parent.parent):
            sync(folder)
        self._store.events.note_import(staged.name)
        self._complete(staged, 0)

    def resume(self) -> int:
        """Complete the imports that a crash interrupted; return how many."""
        pending = self._store.events.imports_under_way()
        for name, done in pending.items():
            self._complete(self._directory.imports / name, done)
        return len(pending)

    def _complete(self, folder: Path, done: int) -> None:
        staged = StagedImport.open(folder)
        for path in staged.parts():
            first, last = (int(text) for text in path.stem.split("-")[1:])
            target = self._archive.path_for(first, last, staged.arrival)
            make_folder(target.parent)
            path.replace(target)
            sync(target.parent)
        for until, run in _chunks(staged, done):
            self._store.events.fold_import(folder.name, run, until)
        self._store.events.forget_import(folder.name)
        _clear(folder)


def _chunks(staged: StagedImport, done: int) -> Iterator[tuple[int, ActsOfMany]]:
    """Yield (customers done after it, acts of the next customers), from customer `done` on."""
    for first in range(done, len(staged.customers), _CUSTOMERS_PER_FOLD):
        until = min(first + _CUSTOMERS_PER_FOLD, len(staged.customers))
        starts = np.array(staged.starts[first : until + 1])
        acts = np.array(staged.acts[starts[0] : starts[-1]])
        yield until, (np.array(staged.customers[first:until]), starts - starts[0], acts)


def _clear(folder: Path) -> None:
    """Remove what adopting needed; rejected rows stay for their owner to look at."""
    rejects = folder / "rejects.jsonl"
    if not rejects.exists():
        shutil.rmtree(folder)
        return
    for path in folder.iterdir():
        if path != rejects:
            path.unlink()
