"""Running the simulated shop and writing what it leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import orjson

from active_customers.core.clock import format_time
from active_customers.core.identifiers import json_id
from active_customers.evaluation.simulator.browsing import BrowsingDay
from active_customers.evaluation.simulator.config import SimulatorConfig
from active_customers.evaluation.simulator.customers import Memory
from active_customers.evaluation.simulator.journal import WRITERS, Column, EventTables, Journal
from active_customers.evaluation.simulator.naming import described
from active_customers.evaluation.simulator.orders import Checkout
from active_customers.evaluation.simulator.pictures import Painter
from active_customers.evaluation.simulator.report import SimulationReport, Tally
from active_customers.evaluation.simulator.shelves import Shelves
from active_customers.evaluation.simulator.shop import Shop
from active_customers.evaluation.simulator.visits import Doorman, Visits

Progress = Callable[[int, int], None]

PRODUCTS_FILE = "products.jsonl"
REPORT_FILE = "simulation.json"


def simulate(config: SimulatorConfig, out: Path, progress: Progress | None = None) -> SimulationReport:
    """Make a shop and a history of what its customers did, and write both below `out`.

    Files: `products.jsonl`, `events.parquet` or `events.jsonl` (ordered by time), `images/<product_id>.svg`,
    `simulation.json`. What an earlier run left there under these names is replaced. `progress(done, total)` is called
    after each day.
    """
    shop = Shop.open(config)
    _clear(out)
    write_products(shop, out)
    pictures = Painter(shop.catalogue).write(out) if config.pictures else 0
    tables, tally = EventTables(shop), Tally(shop)
    with WRITERS[config.events_format](out) as writer:
        for day, columns in enumerate(days(shop)):
            tally.count(columns)
            writer.write(tables.table(columns))
            if progress is not None:
                progress(day + 1, config.days)
    report = tally.report(pictures)
    (out / REPORT_FILE).write_bytes(orjson.dumps(asdict(report), option=orjson.OPT_INDENT_2) + b"\n")
    return report


def days(shop: Shop) -> Iterator[dict[str, Column]]:
    """Play the shop's period and yield each day's events as columns of row numbers (`journal.COLUMNS`), by time."""
    yield from Life(shop).days(shop.config.days)


class Life:
    """The life of a shop that goes on from day to day: what customers remember and what is still to be recorded."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.memory = Memory(shop.config.customers)
        self.journal = Journal(shop.config.stop)
        self.doorman = Doorman(shop, self.memory)
        self.checkout = Checkout(shop, self.memory, self.journal)

    def days(self, n: int) -> Iterator[dict[str, Column]]:
        """Play the first `n` days and yield the events of each."""
        for day in range(n):
            visits = self.admit(day)
            BrowsingDay(self.shop, self.memory, self.journal, day).run(visits)
            self.checkout.close(visits, day)
            yield self.journal.until(self.shop.config.moment_of(day + 1))

    def admit(self, day: int) -> Visits:
        """Let the customers of a day in."""
        config = self.shop.config
        shelves = Shelves(self.shop.catalogue, config.moment_of(day))
        return self.doorman.admit(day, shelves, config.rng(5, day))


def _clear(out: Path) -> None:
    """Make the folder, or empty it of what an earlier run, known by its `simulation.json`, left there."""
    out.mkdir(parents=True, exist_ok=True)
    if not (out / REPORT_FILE).exists():
        return
    for name in (PRODUCTS_FILE, REPORT_FILE, *(writer.name for writer in WRITERS.values())):
        (out / name).unlink(missing_ok=True)
    for picture in (out / "images").glob("*.svg"):
        picture.unlink()


def write_products(shop: Shop, out: Path) -> None:
    """Write the catalogue as `products.jsonl`."""
    with (out / PRODUCTS_FILE).open("wb") as file:
        for product in described(shop.catalogue, shop.config.pictures):
            fields = product.as_dict()
            fields["product_id"] = json_id(product.product_id)
            fields["released"] = format_time(fields["released"])
            file.write(orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE))
