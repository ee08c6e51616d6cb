"""A shop in memory that imports can be run against."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from active_customers.core.clock import ManualClock
from active_customers.core.product import Changed, Product, ProductChange
from active_customers.importing.events import EventStore, check_events, import_events
from active_customers.importing.report import ImportReport
from active_customers.importing.request import ImportConfig, ImportRequest
from active_customers.storage.archive import Archive
from active_customers.storage.memory import MemoryStore
from active_customers.storage.staged import StagedImport

NOW = 1_735_732_800_000_000  # 2025-01-01T12:00:00Z


class MemoryShop:
    """`StoreWriter` on a store in memory, with an archive on disk."""

    def __init__(self, data_dir: Path, now: int = NOW) -> None:
        self.data_dir = data_dir
        self.store = MemoryStore()
        self.clock = ManualClock(now)
        self.archive = Archive(data_dir / "archive")
        self.adopted = 0

    def number_products(self, product_ids: Sequence[str]) -> list[int]:
        return self.store.catalog.number_products(product_ids)

    def number_customers(self, customer_ids: Sequence[str]) -> list[int]:
        return self.store.customers.number(customer_ids)

    def put_products(self, products: Sequence[Product]) -> int:
        return self.store.catalog.put_products(products)

    def change_products(self, changes: Sequence[ProductChange]) -> list[Changed]:
        return self.store.catalog.change_products(changes)

    def archive_log(self) -> None:
        entries = self.store.events.read(1, 1_000_000)
        self.archive.append(entries)
        self.store.events.trim(self.store.events.next_position())

    def reserve(self, count: int) -> int:
        return self.store.events.reserve(count)

    def adopt(self, staged: Path) -> None:
        opened = StagedImport.open(staged)
        for i, customer in enumerate(opened.customers.tolist()):
            acts = opened.acts[opened.starts[i] : opened.starts[i + 1]].copy()
            assert acts[:, 4].all(), "every act has its session"
            self.store.sessions.fold(customer, acts)
        self.store.events.note_turns(opened.turns, opened.arrival)
        for part in opened.parts():
            first, last = (int(text) for text in part.stem.split("-")[1:])
            target = self.archive.path_for(first, last, opened.arrival)
            target.parent.mkdir(parents=True, exist_ok=True)
            part.replace(target)
        for name in ("customers.npy", "starts.npy", "acts.npy", "keys.npy", "staged.json", "turns.jsonl"):
            (staged / name).unlink(missing_ok=True)
        self.adopted += 1

    def request(self, *files: Path, preset: str | None = None, config: ImportConfig | None = None) -> ImportRequest:
        return ImportRequest(files, self.data_dir, preset, config or ImportConfig())

    def bring_in(self, *files: Path, preset: str | None = None, config: ImportConfig | None = None) -> ImportReport:
        """Run an import."""
        store = EventStore(self, self.store)
        return import_events(self.request(*files, preset=preset, config=config), store, self.clock)

    def check(self, *files: Path, preset: str | None = None) -> ImportReport:
        """Run an import dry."""
        return check_events(self.request(*files, preset=preset), self.clock)

    def archived(self) -> pa.Table:
        """Return the archive's rows by position."""
        parts = [pq.read_table(part.path, partitioning=None) for part in self.archive.parts()]
        return pa.concat_tables(parts)

    def events(self) -> list[dict[str, object]]:
        """Return the archive's rows with the shop's own ids."""
        catalog, customers = self.store.catalog, self.store.sessions.customers
        return [
            row
            | {
                "customer": customers.ids[row["customer"]],
                "product": None if row["product"] is None else catalog.product_id(row["product"]),
                "details": None if row["details"] is None else orjson.loads(row["details"]),
            }
            for row in self.archived().to_pylist()
        ]


@pytest.fixture
def shop(tmp_path: Path) -> MemoryShop:
    return MemoryShop(tmp_path / "data")


Row = Mapping[str, object]


def write_rows(path: Path, rows: Sequence[Row]) -> Path:
    """Write rows in the format that the file's name asks for."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist([{name: row.get(name) for name in names} for row in rows]), path)
        return path
    plain = path.name.removesuffix(".gz").removesuffix(".zst")
    if plain.endswith(".jsonl"):
        text = b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)
    else:
        separator = "\t" if plain.endswith(".tsv") else ","
        lines = [separator.join(names)]
        lines += [separator.join("" if row.get(name) is None else str(row[name]) for name in names) for row in rows]
        text = "\n".join([*lines, ""]).encode()
    return write_bytes(path, text)


def write_bytes(path: Path, content: bytes) -> Path:
    """Write a file, compressed by its name."""
    if path.suffix == ".gz":
        content = gzip.compress(content)
    elif path.suffix == ".zst":
        content = pa.compress(content, "zstd", asbytes=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, Sequence[Row]], Path]:
    """Writes rows to a file of the given name."""
    return lambda name, rows: write_rows(tmp_path / name, rows)


@pytest.fixture
def write_raw(tmp_path: Path) -> Callable[[str, bytes], Path]:
    """Writes bytes to a file of the given name."""
    return lambda name, content: write_bytes(tmp_path / name, content)
