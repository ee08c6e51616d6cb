"""What `active-customers rules` does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from active_customers.catalog.rule_file import read_rule_file
from active_customers.catalog.table import CatalogTable, TableReader
from active_customers.realtime.rule_changes import told
from active_customers.realtime.rules import Rulebook
from active_customers.serving.writer_socket import OpenStore
from active_customers.storage.data_dir import DataDirectory


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
    yield f"rules: {len(rules)}, {'nothing was changed' if dry_run else 'stored'}"
