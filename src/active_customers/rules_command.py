"""What `active-customers rules` does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from active_customers.catalog.rule_file import read_rule_file
from active_customers.catalog.table import CatalogTable, TableReader
from active_customers.realtime.rule_changes import told, warnings_about
from active_customers.realtime.rules import Rulebook
from active_customers.serving.writer_socket import OpenStore
from active_customers.storage.base import CatalogStore
from active_customers.storage.data_dir import DataDirectory


def check(path: Path, catalog: CatalogStore | None) -> Iterator[str]:
    """Check a file of rules; yield a line for each warning, where there is a catalogue to ask, and one for all."""
    rules = read_rule_file(path)
    if catalog is not None:
        for rule in rules:
            yield from (f"{rule.name}: warning: {warning}" for warning in warnings_about(rule.rule(), catalog))
    yield f"rules: {len(rules)}, all valid"


def put(path: Path, opened: OpenStore, directory: DataDirectory, *, dry_run: bool) -> Iterator[str]:
    """Make the rules of a file all the rules that there are; yield a line for each, also with `dry_run`."""
    rules = read_rule_file(path)
    if not opened.is_served:  # a running service keeps the table of products that filters are asked of
        CatalogTable(directory.catalog_table, opened.store.catalog, opened.clock).follow()
    book = Rulebook(opened.store, TableReader(directory.catalog_table), opened.clock)
    results = told(rules, opened.store.rules.all(), book, whole=True)
    if not dry_run:
        opened.writer.change_records("rules", {rule.record()["name"]: rule.record() for rule in rules}, whole=True)
    width = max((len(result["name"]) for result in results), default=0)
    for result in results:
        about = f"  products: {result['products']}" if "products" in result else ""
        yield f"{result['name'].ljust(width)}  {result['status']}{about}"
        for warning in result.get("warnings", ()):
            yield f"  warning: {warning}"
    yield f"rules: {len(rules)}, {'nothing was changed' if dry_run else 'stored'}"
