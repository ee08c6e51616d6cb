"""What is true of every product at the moment, by product number: written in place by one process, read by all.

A row is complete when its version has changed: the version is written last, and read first.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.kernels.jit import kernel
from active_customers.kernels.shared_memory import store

MAGIC, GENERATION, ENTRIES = range(3)
"""Words of the header: what the file is, how often the table has grown, how many products the catalogue has."""
HEADER = 3


class TableColumns(NamedTuple):
    """The table: one row a product number, zeros where the catalogue has no entry.

    `standing` is a `Standing`, `versions` grows with each change of a row, `prices` is NaN where nobody told one, and
    the numbers of category, brand and variant group are `NO_NUMBER` where it has none. `changes` is when the row will
    change by itself (microseconds), or the end of time.
    """

    header: NDArray[np.int64]
    standing: NDArray[np.uint8]
    versions: NDArray[np.uint32]
    prices: NDArray[np.float64]
    categories: NDArray[np.uint32]
    brands: NDArray[np.uint32]
    groups: NDArray[np.uint32]
    changes: NDArray[np.int64]


class TableRows(NamedTuple):
    """Rows to write, and the product numbers that they belong to."""

    products: NDArray[np.int64]
    standing: NDArray[np.uint8]
    prices: NDArray[np.float64]
    categories: NDArray[np.uint32]
    brands: NDArray[np.uint32]
    groups: NDArray[np.uint32]
    changes: NDArray[np.int64]


@kernel
def write_table_rows(table: TableColumns, rows: TableRows) -> None:
    """Write rows over those of their products (numbers below the table's length), each complete before the next."""
    for row, product in enumerate(rows.products):
        store(table.standing, product, rows.standing[row])
        store(table.prices, product, rows.prices[row])
        store(table.categories, product, rows.categories[row])
        store(table.brands, product, rows.brands[row])
        store(table.groups, product, rows.groups[row])
        store(table.changes, product, rows.changes[row])
        version = table.versions[product] + np.uint32(1)
        store(table.versions, product, version if version > 0 else np.uint32(1))
