"""Bulk import of products: files in, catalogue entries out.

Of the rows of one product the last counts, as if they were posted one after the other. Files that are logs (their
preset says `gathered`) and changes to merge are put together field by field. An entry replaces the one that the
catalogue has, or is merged into it. A full feed makes unavailable what it lacks.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from active_customers.core.clock import DAY, Clock
from active_customers.core.errors import InvalidValueError, shown
from active_customers.core.product import OUT_OF_STOCK, Product, ProductChange, ProductSearch
from active_customers.importing.folder import REJECTS, WARNINGS, clear_leftovers, import_folder, import_lock
from active_customers.importing.product_rows import ProductRows
from active_customers.importing.product_table import Described, ProductTable
from active_customers.importing.readers import read_batches
from active_customers.importing.rejects import RejectsFile
from active_customers.importing.report import ImportReport
from active_customers.importing.request import ImportRequest, Progress, chosen_preset, no_progress
from active_customers.importing.scratch import ScratchConfig, scratch_database
from active_customers.importing.source import Reject
from active_customers.importing.unused_columns import unused_columns
from active_customers.storage.base import CatalogStore, StoreWriter

_PRODUCTS_PER_CALL = 2_000
_MOST_ROWS = 16_384
"""Rows that are worked on at a time, at most: with descriptions they are much wider than those of events."""


def import_products(
    request: ImportRequest,
    writer: StoreWriter,
    clock: Clock,
    progress: Progress = no_progress,
    catalog: CatalogStore | None = None,
) -> ImportReport:
    """Import products; `catalog` is looked through for what a full feed lacks.

    Raises `InvalidValueError` when a file cannot be read at all, or a full feed lacks so much that it is likely cut off
    (unless the request says `force`), and then nothing has changed, `StoreLockedError` while another import is running.
    """
    now, imports = clock.now(), request.directory.imports
    with import_lock(imports):
        clear_leftovers(imports, now, int(request.config.rejects_days * DAY))
        with import_folder(imports, now) as folder:
            files = [RejectsFile(folder / name, request.config.rejects_kept) for name in (REJECTS, WARNINGS)]
            return _ProductImport(request, progress, _Written(*files), catalog).run(folder, writer)


def check_products(
    request: ImportRequest, progress: Progress = no_progress, catalog: CatalogStore | None = None
) -> ImportReport:
    """Report what `import_products` would do; nothing is changed and nothing left behind. Raises as that does."""
    with TemporaryDirectory(prefix="active-customers-") as folder:
        return _ProductImport(request, progress, None, catalog).run(Path(folder), None)


def read_products(files: Sequence[Path], preset: str | None = None) -> Iterator[Product]:
    """Yield the products that files describe; no store is needed, and rows that cannot be read are left out.

    Raises `InvalidValueError` when a file cannot be read at all.
    """
    chosen = chosen_preset(files, preset, "products")
    maps = chosen.product_maps()
    with (
        TemporaryDirectory(prefix="active-customers-") as folder,
        scratch_database(Path(folder), ScratchConfig()) as connection,
    ):
        table = ProductTable(connection, maps)
        for number, path in enumerate(files):
            rows = ProductRows(chosen)
            for raw in read_batches(path, maps.wanted(), _MOST_ROWS):
                table.add(rows.of(raw).rows, number)
        if not maps.gathered:
            table.take_repeated()
        for described in table.products(_PRODUCTS_PER_CALL):
            yield from (each.product for each in described)


class _Written(NamedTuple):
    """The files of an import that are kept."""

    rejects: RejectsFile
    warnings: RejectsFile


class _ProductImport:
    """One import under way."""

    def __init__(
        self,
        request: ImportRequest,
        progress: Progress,
        written: _Written | None,
        catalog: CatalogStore | None = None,
    ) -> None:
        self._catalog = catalog
        self._is_whole = True
        self._started = time.perf_counter()
        self._request = request
        self._preset = request.choose_preset("products")
        self._progress = progress
        self._written = written
        self._report = ImportReport(
            "products", self._preset.name, request.config.most_rejected_share, dry_run=written is None
        )
        self._report.notes += unused_columns(request.files, self._preset, "products")

    def run(self, folder: Path, writer: StoreWriter | None) -> ImportReport:
        """Read all files, then hand the products to the writer where there is one."""
        with scratch_database(folder, self._request.config.scratch) as connection:
            table = ProductTable(connection, self._preset.product_maps())
            self._read(table)
            absent = self._absent(table)
            for described in table.products(_PRODUCTS_PER_CALL):
                self._report.products += len(described)
                if writer is not None:
                    self._store(described, writer)
            if writer is not None:
                _withdraw(absent, writer)
        if self._written is not None:
            self._report.rejects_path, self._report.warnings_path = (
                file.path if file.path.exists() else None for file in self._written
            )
        self._report.seconds = time.perf_counter() - self._started
        return self._report

    def _store(self, described: Sequence[Described], writer: StoreWriter) -> None:
        products = [each.product for each in described]
        if not self._request.merge:
            writer.put_products(products)
            return
        outcomes = writer.change_products(
            [ProductChange(p.product_id, {**said, "withdrawn": False}, merge=True) for p, said in described]
        )
        writer.put_products([p for p, outcome in zip(products, outcomes, strict=True) if outcome.status == "unknown"])
        found = zip(products, outcomes, strict=True)
        refused = [
            Reject(0, f"{product.product_id}: {outcome.refusal[0]}", outcome.refusal[1], outcome.refusal[2])
            for product, outcome in found
            if outcome.refusal is not None
        ]
        self._note("merged with what the catalogue has", refused)
        self._report.products -= len(refused)

    def _absent(self, table: ProductTable) -> list[str]:
        """Return what a full feed lacks of the catalogue; where rows could not be read, nobody knows what it lacks.

        Where too many were rejected it may be written wrongly as a whole, and nothing is withdrawn either.

        Raises `InvalidValueError` when it is too much to be believed.
        """
        if self._catalog is None or not self._request.full:
            return []
        if self._report.has_too_many_rejects:
            self._report.notes.append("nothing was made unavailable: too many rows were rejected to believe the feed")
            return []
        if not self._is_whole:
            self._report.notes.append("nothing was made unavailable: some rows do not say which product they are of")
            return []
        n_available, absent = table.absent(available(self._catalog))
        share = self._request.config.most_withdrawn_share
        if len(absent) > share * n_available and not self._request.force:
            found = f"{len(absent):,} of {n_available:,} products are not in it"
            remedy = f"over {share:.0%} would become unavailable (imports.most_withdrawn_share): see that the feed is "
            raise InvalidValueError("--full", found, f"{remedy}whole, or say --force")
        self._report.withdrawn = len(absent)
        return absent

    def _note(self, file: str, rejects: Sequence[Reject]) -> None:
        """Count rejected rows, and write them down."""
        self._report.note(Path(file).name, rejects)
        if self._written is not None:
            self._written.rejects.write(file, rejects)

    def _warn(self, file: str, left_out: Sequence[Reject]) -> None:
        """Count values that were left out, and write them down."""
        self._report.warn(Path(file).name, left_out)
        if self._written is not None:
            self._written.warnings.write(file, left_out)

    def _read(self, table: ProductTable) -> None:
        maps, batch_rows = self._preset.product_maps(), min(self._request.config.batch_rows, _MOST_ROWS)
        paths = self._request.files
        total, before = sum(path.stat().st_size for path in paths), 0
        for number, path in enumerate(paths):
            rows = ProductRows(self._preset, merge=self._request.merge)
            for raw in read_batches(path, maps.wanted(), batch_rows):
                good, rejected, left_out = rows.of(raw)
                table.add(good, number)
                table.name(rows.refused)
                self._note(str(path), rejected)
                self._warn(str(path), left_out)
                self._report.accepted += len(good)
                self._progress(before + raw.bytes_read, total)
            before += path.stat().st_size
            self._is_whole &= not rows.has_nameless_rejects
        if not (maps.gathered or self._request.merge):  # rows of a merge are changes, which all count
            self._take_repeated(table)

    def _take_repeated(self, table: ProductTable) -> None:
        repeated = table.take_repeated()
        if repeated is None:
            return
        self._report.repeated = repeated.count
        self._report.accepted -= repeated.count
        first = f"{self._request.files[repeated.file].name}, row {repeated.row}: {shown(repeated.product_id)}"
        self._report.notes.append(
            f"{repeated.count:,} repeated by a later row of the same product, which counts: for example {first}"
        )


def available(catalog: CatalogStore) -> Iterator[str]:
    """Yield the ids of products that can become unavailable, a page at a time: the store bears no long reading."""
    start: int | None = 0
    while start is not None:
        found, start = catalog.find_products(ProductSearch(), start, _PRODUCTS_PER_CALL)
        yield from (each.product_id for each in found if each.availability != OUT_OF_STOCK and not each.withdrawn)


def _withdraw(absent: Sequence[str], writer: StoreWriter) -> None:
    """Make products unavailable."""
    for start in range(0, len(absent), _PRODUCTS_PER_CALL):
        chunk = absent[start : start + _PRODUCTS_PER_CALL]
        writer.change_products([ProductChange(each, {"withdrawn": True}, merge=True) for each in chunk])
