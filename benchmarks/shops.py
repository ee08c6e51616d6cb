"""Trained shops to measure on: each is made once in a run of the benchmarks, and lent out as a copy."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.service import command
from benchmarks.synthetic import SyntheticHistory

_SIMULATED, _SMALL = (5_000, 10_000), (500, 1_000)


@dataclass(frozen=True, slots=True)
class Shop:
    """A data directory with a history and a model, and what results call the data."""

    data_dir: Path
    name: str


class Shops:
    """Makes shops in a scratch folder.

    `data` is the folder of public data sets, or one that does not exist; `small` makes the simulated shop a small one.
    """

    def __init__(self, data: Path, scratch: Path, *, small: bool = False) -> None:
        self.data = data
        self.scratch = scratch
        self._small = small

    @contextmanager
    def main(self) -> Iterator[Shop]:
        """Lend the shop of most benchmarks: RetailRocket's, or a simulated one where that is not at hand."""
        events = self.data / "retailrocket_slice" / "events.parquet"
        if events.exists():
            with self._lend("retailrocket_slice", lambda folder: _import(folder, events, "retailrocket")) as shop:
                yield shop
        else:
            customers, products = size = _SMALL if self._small else _SIMULATED
            name = f"simulated, {customers:,} customers, {products:,} products"
            with self._lend(name, lambda folder: _simulate(folder, *size)) as shop:
                yield shop

    @contextmanager
    def synthetic(self, history: SyntheticHistory) -> Iterator[Shop]:
        """Lend a shop with a synthetic history."""

        def make(folder: Path) -> None:
            with TemporaryDirectory(dir=self.scratch) as files:
                history.write(Path(files) / "events.parquet")
                _import(folder, Path(files) / "events.parquet")

        with self._lend(history.name, make) as shop:
            yield shop

    @contextmanager
    def _lend(self, name: str, make: Callable[[Path], None]) -> Iterator[Shop]:
        """Make the shop if it was not made before, and yield a copy that is removed at the end."""
        template = self.scratch / name
        if not template.exists():
            print(f"  making the shop: {name}", flush=True)
            make(template)
        with TemporaryDirectory(dir=self.scratch) as folder:
            copy = Path(folder) / "data"
            shutil.copytree(template, copy)
            yield Shop(copy, name)


def _import(folder: Path, events: Path, preset: str = "native") -> None:
    command("import-events", events, "--preset", preset, "--data-dir", folder)
    command("refresh", "--data-dir", folder)


def _simulate(folder: Path, customers: int, products: int) -> None:
    with TemporaryDirectory() as shop:
        command("simulate", "--customers", str(customers), "--products", str(products), "--out", shop)
        command("import-products", f"{shop}/products.jsonl", "--data-dir", folder)
        _import(folder, Path(shop) / "events.parquet")
