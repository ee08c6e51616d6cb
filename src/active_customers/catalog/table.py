"""The table of what is true of every product now: kept by the process that writes, mapped by all that answer.

It is made again from the catalogue when the service starts. What it holds beside that, when each price last rose and
fell, it saw itself: where the files are lost, that is forgotten.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from active_customers.core.clock import Clock
from active_customers.core.errors import StorageError
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.product import Product, Standing
from active_customers.kernels.catalog_table import (
    ENTRIES,
    GENERATION,
    HEADER,
    MAGIC,
    TableColumns,
    TableRows,
    write_table_rows,
)
from active_customers.storage.base import CatalogStore
from active_customers.storage.durable import make_folder
from active_customers.storage.mapped_arrays import Column

_MAGIC = int.from_bytes(b"catalog1", "little")
_HEADER = Column("header", np.int64, HEADER)
_COLUMNS = (
    Column("standing", np.uint8),
    Column("versions", np.uint32),
    Column("prices", np.float64),
    Column("categories", np.uint32),
    Column("brands", np.uint32),
    Column("groups", np.uint32),
    Column("changes", np.int64),
    Column("released", np.int64),
    Column("replenishable", np.uint8),
    Column("raised", np.int64),
    Column("dropped", np.int64),
    Column("before", np.float64),
)
_FEWEST_ROWS = 4_096
_ROWS_AT_ONCE = 1_000
_NEVER = np.iinfo(np.int64).max

_log = logging.getLogger(__name__)


class CatalogTable:
    """The writer's side, for one process: `open` before, then `update` after each change and `follow` every second."""

    def __init__(self, folder: Path, catalog: CatalogStore, clock: Clock) -> None:
        self._folder = folder
        self._catalog = catalog
        self._clock = clock
        self._writing = threading.Lock()
        self._facets: dict[tuple[str, str], int] = {}
        self._is_behind = True

    def follow(self) -> None:
        """Write what is not there yet, and the rows whose price or standing changes by itself and has."""
        with self._writing:
            if self._is_behind:
                self._rebuild()
            due = np.flatnonzero((self._table.changes <= self._clock.now()) & (self._table.standing > 0))
            self._rewrite(due.tolist())

    def update(self, product_ids: Iterable[str]) -> None:
        """Write the rows of products that were just stored or deleted.

        Whatever goes wrong here is put right by `follow`: the change itself is stored.
        """
        try:
            with self._writing:
                if not self._is_behind:
                    self._rewrite([self._catalog.product_number(product_id) for product_id in product_ids])
        except StorageError as error:
            self._is_behind = True
            _log.error("answers do not know the newest changes of the catalogue yet: %s", error)

    def _rebuild(self) -> None:
        """Write all rows anew; those of products that the catalogue does not know are as if it never had."""
        make_folder(self._folder)
        self._table = self._grown(0)  # products that only events name need no row, and may come on a full disk
        deleted = self._catalog.deleted_products()
        known = list(deleted)
        entries = self._catalog.products()
        while chunk := list(islice(entries, _ROWS_AT_ONCE)):
            self._write(chunk)
            known += [number for number, _ in chunk]
        self._write([(number, None) for number in deleted])
        gone = np.setdiff1d(np.flatnonzero(self._table.standing), np.array(known, np.int64))
        self._table.standing[gone] = Standing.UNKNOWN
        self._table.versions[gone] += np.uint32(1)
        self._count()
        self._is_behind = False

    def _rewrite(self, numbers: Sequence[int]) -> None:
        """Write the rows of some products as the catalogue has them."""
        known = [number for number in dict.fromkeys(numbers) if number != NO_NUMBER]
        for start in range(0, len(known), _ROWS_AT_ONCE):
            chunk = [(number, self._catalog.product(number)) for number in known[start : start + _ROWS_AT_ONCE]]
            standing = self._table.standing
            self._write([(n, entry) for n, entry in chunk if entry or (n < len(standing) and standing[n] > 0)])
        if known:
            self._count()

    def _write(self, entries: Sequence[tuple[int, Product | None]]) -> None:
        if not entries:
            return
        numbers = [number for number, _ in entries]
        if max(numbers) >= len(self._table.standing):
            self._table = self._grown(max(numbers) + 1)
        now = self._clock.now()
        products = [product for _, product in entries]
        standing = [Standing.DELETED if product is None else product.standing_at(now) for product in products]
        prices = [None if product is None else product.price_at(now) for product in products]
        changes = [None if product is None else product.changes_after(now) for product in products]
        rows = TableRows(
            np.array(numbers, np.int64),
            np.array(standing, np.uint8),
            np.array([np.nan if price is None else price for price in prices], np.float64),
            self._facet_numbers("category", [_value(product, "category") for product in products]),
            self._facet_numbers("brand", [_value(product, "brand") for product in products]),
            self._facet_numbers("variant_group", [_value(product, "variant_group") for product in products]),
            np.array([_NEVER if change is None else change for change in changes], np.int64),
            np.array([(product and product.released) or 0 for product in products], np.int64),
            np.array([product is not None and product.replenishable for product in products], np.uint8),
            now,
        )
        write_table_rows(self._table, rows)

    def _facet_numbers(self, facet: str, values: Sequence[str | None]) -> NDArray[np.uint32]:
        """Return the numbers of values, given once and then known."""
        new = list({value: None for value in values if value and (facet, value) not in self._facets})
        if new:
            numbers = self._catalog.number_facets(facet, new)
            self._facets.update({(facet, value): number for value, number in zip(new, numbers, strict=True)})
        return np.array([self._facets[facet, value] if value else NO_NUMBER for value in values], np.uint32)

    def _count(self) -> None:
        standing = self._table.standing
        entries = np.count_nonzero(standing) - np.count_nonzero(standing == Standing.DELETED)
        self._table.header[ENTRIES] = entries

    def _grown(self, rows: int) -> TableColumns:
        """Make room for rows, twice as many as there were at least; published when all columns have it."""
        header = _HEADER.grow(self._folder, 1)
        present = len(_COLUMNS[0].grow(self._folder, 0))
        wanted = present if rows <= present else max(rows, 2 * present, _FEWEST_ROWS)
        columns = [column.grow(self._folder, wanted) for column in _COLUMNS]
        header[MAGIC] = _MAGIC
        header[GENERATION] += 1
        return TableColumns(header, *columns)


def _value(product: Product | None, facet: str) -> str | None:
    value: str | None = getattr(product, facet, None)
    return value


def _empty() -> TableColumns:
    columns = [np.zeros(HEADER, np.int64), *(np.empty(0, column.dtype) for column in _COLUMNS)]
    for column in columns:
        column.flags.writeable = False
    return TableColumns(*columns)


NO_TABLE = _empty()
"""The table before there is one."""


class TableReader:
    """The table as it is mapped; any number of threads and processes may read. Without a folder it has no rows."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._mapped = NO_TABLE
        self._generation = -1

    def columns(self) -> TableColumns:
        """Return the table, mapped anew after it grew; products beyond its end are not in the catalogue."""
        if self._folder is not None and self._mapped.header[GENERATION] != self._generation:
            self._map(self._folder)
        return self._mapped

    def _map(self, folder: Path) -> None:
        try:
            header = _HEADER.read(folder)
            if len(header) < HEADER or header[MAGIC] != _MAGIC:
                return
            generation = int(header[GENERATION])
            columns = [column.read(folder) for column in _COLUMNS]
        except OSError:  # there is no table yet
            return
        rows = min(map(len, columns))  # it may be growing
        self._mapped = TableColumns(header, *(column[:rows] for column in columns))
        self._generation = generation
