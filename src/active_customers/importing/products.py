"""Bulk import of products: files in, catalogue entries out.

Of the rows of one product each field keeps its last value (a preset can ask for the most frequent one); an entry
replaces the one that the catalogue has.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from active_customers.core.clock import DAY, Clock
from active_customers.core.product import Product
from active_customers.importing.folder import REJECTS, clear_leftovers, import_folder, import_lock
from active_customers.importing.product_rows import ProductRows
from active_customers.importing.product_table import ProductTable
from active_customers.importing.readers import read_batches
from active_customers.importing.rejects import RejectsFile
from active_customers.importing.report import ImportReport
from active_customers.importing.request import ImportRequest, Progress, chosen_preset, no_progress
from active_customers.importing.scratch import ScratchConfig, scratch_database
from active_customers.storage.base import StoreWriter

_PRODUCTS_PER_CALL = 2_000


def import_products(
    request: ImportRequest, writer: StoreWriter, clock: Clock, progress: Progress = no_progress
) -> ImportReport:
    """Import products; raises `InvalidValueError` when a file cannot be read at all, and then nothing has changed.

    Raises `StoreLockedError` while another import is running.
    """
    now, imports = clock.now(), request.directory.imports
    with import_lock(imports):
        clear_leftovers(imports, now, int(request.config.rejects_days * DAY))
        with import_folder(imports, now) as folder:
            rejects = RejectsFile(folder / REJECTS, request.config.rejects_kept)
            return _ProductImport(request, progress, rejects).run(folder, writer)


def check_products(request: ImportRequest, progress: Progress = no_progress) -> ImportReport:
    """Report what `import_products` would do; nothing is changed and nothing left behind."""
    with TemporaryDirectory(prefix="active-customers-") as folder:
        return _ProductImport(request, progress, None).run(Path(folder), None)


def read_products(files: Sequence[Path], preset: str | None = None) -> Iterator[Product]:
    """Yield the products that files describe; no store is needed, and rows that cannot be read are left out.

    Raises `InvalidValueError` when a file cannot be read at all.
    """
    chosen = chosen_preset(files, preset, "products")
    rows, maps = ProductRows(chosen), chosen.product_maps()
    with (
        TemporaryDirectory(prefix="active-customers-") as folder,
        scratch_database(Path(folder), ScratchConfig()) as connection,
    ):
        table = ProductTable(connection, maps)
        for path in files:
            for raw in read_batches(path, maps.wanted()):
                table.add(rows.of(raw)[0])
        for products in table.products(_PRODUCTS_PER_CALL):
            yield from products


class _ProductImport:
    """One import under way."""

    def __init__(self, request: ImportRequest, progress: Progress, rejects: RejectsFile | None) -> None:
        self._started = time.perf_counter()
        self._request = request
        self._preset = request.choose_preset("products")
        self._progress = progress
        self._rejects = rejects
        self._report = ImportReport("products", self._preset.name, dry_run=rejects is None)

    def run(self, folder: Path, writer: StoreWriter | None) -> ImportReport:
        """Read all files, then hand the products to the writer where there is one."""
        with scratch_database(folder, self._request.config.scratch) as connection:
            table = ProductTable(connection, self._preset.product_maps())
            self._read(table)
            for products in table.products(_PRODUCTS_PER_CALL):
                self._report.products += len(products)
                if writer is not None:
                    writer.put_products(products)
        if self._rejects is not None and self._rejects.path.exists():
            self._report.rejects_path = self._rejects.path
        self._report.seconds = time.perf_counter() - self._started
        return self._report

    def _read(self, table: ProductTable) -> None:
        rows, wanted = ProductRows(self._preset), self._preset.product_maps().wanted()
        paths = self._request.files
        total, before = sum(path.stat().st_size for path in paths), 0
        for path in paths:
            for raw in read_batches(path, wanted, self._request.config.batch_rows):
                good, rejected = rows.of(raw)
                table.add(good)
                self._report.note(path.name, rejected)
                self._report.accepted += len(good)
                if self._rejects is not None:
                    self._rejects.write(str(path), rejected)
                self._progress(before + raw.bytes_read, total)
            before += path.stat().st_size
