"""Stored sessions as flat arrays: distinct products per session, and the sessions of each product."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from active_customers.kernels.jit import kernel

Offsets = NDArray[np.int64]


@kernel
def last_acts(
    offsets: Offsets, products: NDArray[np.uint32], n_products: int, kept: int
) -> tuple[Offsets, NDArray[np.int64]]:
    """Return, per session, the rows that are the last act on their product, oldest first.

    Only the `kept` newest acts of each session are looked at. Returns new offsets int64[s + 1] and rows int64. Takes
    time in proportion to the acts, however long a session is.
    """
    starts = np.zeros(len(offsets), np.int64)
    rows = np.empty(len(products), np.int64)
    last_seen = np.full(n_products, -1, np.int64)  # the session that each product was last met in
    count = 0
    for session in range(len(offsets) - 1):
        end = offsets[session + 1]
        first = count
        for row in range(end - 1, max(offsets[session], end - kept) - 1, -1):
            if last_seen[products[row]] != session:
                last_seen[products[row]] = session
                rows[count] = row
                count += 1
        rows[first:count] = rows[first:count][::-1].copy()
        starts[session + 1] = count
    return starts, rows[:count]


@kernel
def newest_rows(
    offsets: Offsets, products: NDArray[np.uint32], n_products: int, limit: int
) -> tuple[Offsets, NDArray[np.int64]]:
    """Return the inverted index: per product, the rows it stands in, those of the newest sessions first.

    Sessions are in order of time. At most `limit` rows a product are kept. Returns offsets int64[n_products + 1], rows.
    """
    counts = np.zeros(n_products, np.int64)
    for product in products[: offsets[-1]]:
        counts[product] += 1
    starts = np.zeros(n_products + 1, np.int64)
    for product in range(n_products):
        starts[product + 1] = starts[product] + min(counts[product], limit)
    rows = np.empty(starts[-1], np.int64)
    filled = starts[:-1].copy()
    for row in range(offsets[-1] - 1, -1, -1):
        product = products[row]
        if filled[product] < starts[product + 1]:
            rows[filled[product]] = row
            filled[product] += 1
    return starts, rows
