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
    change by itself (microseconds), or the end of time. `released` is its first day of sale (microseconds), 0 where
    nobody told one. `raised` and `dropped` are when its price rose or became known, and fell, for the last time;
    `before` is what it cost before it fell: for whom looked in between, it has become cheaper. These three are what the
    table saw itself.
    """

    header: NDArray[np.int64]
    standing: NDArray[np.uint8]
    versions: NDArray[np.uint32]
    prices: NDArray[np.float64]
    categories: NDArray[np.uint32]
    brands: NDArray[np.uint32]
    groups: NDArray[np.uint32]
    changes: NDArray[np.int64]
    released: NDArray[np.int64]
    replenishable: NDArray[np.uint8]
    raised: NDArray[np.int64]
    dropped: NDArray[np.int64]
    before: NDArray[np.float64]


class TableRows(NamedTuple):
    """Rows to write, and the product numbers that they belong to; `now` is when they became true."""

    products: NDArray[np.int64]
    standing: NDArray[np.uint8]
    prices: NDArray[np.float64]
    categories: NDArray[np.uint32]
    brands: NDArray[np.uint32]
    groups: NDArray[np.uint32]
    changes: NDArray[np.int64]
    released: NDArray[np.int64]
    replenishable: NDArray[np.uint8]
    now: int


@kernel
def write_table_rows(table: TableColumns, rows: TableRows) -> None:
    """Write rows over those of their products (numbers below the table's length), each complete before the next."""
    for row, product in enumerate(rows.products):
        _note_price(table, product, rows.prices[row], rows.now)
        store(table.standing, product, rows.standing[row])
        store(table.prices, product, rows.prices[row])
        store(table.categories, product, rows.categories[row])
        store(table.brands, product, rows.brands[row])
        store(table.groups, product, rows.groups[row])
        store(table.changes, product, rows.changes[row])
        store(table.released, product, rows.released[row])
        store(table.replenishable, product, rows.replenishable[row])
        version = table.versions[product] + np.uint32(1)
        store(table.versions, product, version if version > 0 else np.uint32(1))


@kernel
def _note_price(table: TableColumns, product: int, price: float, now: int) -> None:
    """Note whether a price fell, or rose or became known; where it is written again as it was, nothing."""
    old = table.prices[product] if table.versions[product] > 0 else np.nan
    if price < old:
        store(table.before, product, old)
        store(table.dropped, product, now)
    elif not price <= old and not np.isnan(price):
        store(table.raised, product, now)
