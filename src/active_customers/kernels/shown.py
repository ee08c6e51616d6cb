"""What a customer was shown and did not act on since: counted by product and day, in rows of a session state.

A row (see `core.session`) is the product with the latest day that it was shown on, and a number for each day up to it.
So what is too long ago is forgotten to the day, whenever it is asked.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from active_customers.core.clock import DAY
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.session import (
    BOUGHT_WORDS,
    CART_WORDS,
    EVENT_WORDS,
    H_BOUGHT,
    H_CART,
    H_EVENTS,
    H_HIDDEN,
    H_SESSIONS,
    H_VERSION,
    HEADER,
    HIDDEN_WORDS,
    N_SHOWN_AT,
    SESSION_WORDS,
    SHOWN_BITS,
    SHOWN_DAY_AT,
    SHOWN_DAYS,
    SHOWN_KEPT,
    SHOWN_WORDS,
)
from active_customers.kernels.jit import kernel

Words = NDArray[np.int64]

_ON_A_DAY = (1 << SHOWN_BITS) - 1
_ALL_DAYS = (1 << SHOWN_BITS * SHOWN_DAYS) - 1


@kernel
def count_shown(rows: Words, count: int, product: int, shown: tuple[int, int]) -> int:
    """Add impressions, (latest day, counts by day), to the product's row; return the new number of rows.

    Rows stand in the order of their latest day (ties: arrival). When all are taken the first one leaves; what would be
    older than all of them is not kept.
    """
    row = _row_of(rows, count, product)
    if row >= 0:
        shown = _joined((rows[row, 0] >> SHOWN_DAY_AT, rows[row, 1]), shown)
        count = _without(rows, count, row)
    elif count == SHOWN_KEPT:
        if shown[0] < rows[0, 0] >> SHOWN_DAY_AT:
            return count
        count = _without(rows, count, 0)
    i = count
    while i > 0 and rows[i - 1, 0] >> SHOWN_DAY_AT > shown[0]:
        rows[i] = rows[i - 1]
        i -= 1
    rows[i, 0] = product | shown[0] << SHOWN_DAY_AT
    rows[i, 1] = shown[1]
    return count + 1


@kernel
def acted_on(rows: Words, count: int, product: int, day: int) -> int:
    """Forget the impressions of a product up to the day of an act on it; return the new number of rows."""
    row = _row_of(rows, count, product)
    if row < 0:
        return count
    days_since = (rows[row, 0] >> SHOWN_DAY_AT) - day
    if days_since <= 0:
        return _without(rows, count, row)
    if days_since < SHOWN_DAYS:
        rows[row, 1] &= (1 << SHOWN_BITS * days_since) - 1
    return count


@kernel
def merge_shown(mine: Words, n_mine: int, theirs: Words, n_theirs: int) -> int:
    """Add the impressions of another state's rows; return the new number of rows."""
    for i in range(n_theirs):
        row = theirs[i]
        n_mine = count_shown(mine, n_mine, row[0] & NO_NUMBER, (row[0] >> SHOWN_DAY_AT, row[1]))
    return n_mine


@kernel
def shown_counts(state: Words, now: int, days: int) -> tuple[NDArray[np.uint32], Words]:
    """Return products that were shown and not acted on since, with how often: today and on the days before, `days` all.

    Shapes: uint32[n], int64[n], the day of the latest impression longest ago first; days 1 to `SHOWN_DAYS`. Numbers may
    be 0.
    """
    n, at = state[H_VERSION] >> N_SHOWN_AT, HEADER
    at += state[H_EVENTS] * EVENT_WORDS + state[H_CART] * CART_WORDS + state[H_BOUGHT] * BOUGHT_WORDS
    at += state[H_HIDDEN] * HIDDEN_WORDS + state[H_SESSIONS] * SESSION_WORDS
    products, times = np.empty(n, np.uint32), np.zeros(n, np.int64)
    for i in range(n):
        word, counts = state[at + i * SHOWN_WORDS], state[at + i * SHOWN_WORDS + 1]
        products[i] = word & NO_NUMBER
        for _ in range(days - max(now // DAY - (word >> SHOWN_DAY_AT), 0)):
            times[i] += counts & _ON_A_DAY
            counts >>= SHOWN_BITS
    return products, times


@kernel
def shown_too_often(state: Words, now: int, after: int, days: int) -> NDArray[np.uint32]:
    """Return the products that were shown at least `after` times (see `shown_counts`), the least shown first."""
    products, times = shown_counts(state, now, days)
    order = np.argsort(times, kind="mergesort")
    first = 0
    while first < len(order) and times[order[first]] < after:
        first += 1
    return products[order[first:]]


@kernel
def _joined(mine: tuple[int, int], theirs: tuple[int, int]) -> tuple[int, int]:
    """Add the impressions of two rows, day by day."""
    latest = max(mine[0], theirs[0])
    first, second, counts = _moved(mine, latest), _moved(theirs, latest), 0
    for day in range(SHOWN_DAYS):
        bit = day * SHOWN_BITS
        counts |= min((first >> bit & _ON_A_DAY) + (second >> bit & _ON_A_DAY), _ON_A_DAY) << bit
    return latest, counts


@kernel
def _moved(shown: tuple[int, int], latest: int) -> int:
    """Return counts by day with a later day in the lowest bits; what is too long ago falls off."""
    later = latest - shown[0]
    return (shown[1] << SHOWN_BITS * later) & _ALL_DAYS if later < SHOWN_DAYS else 0


@kernel
def _row_of(rows: Words, count: int, product: int) -> int:
    for i in range(count):
        if (rows[i, 0] ^ product) & NO_NUMBER == 0:
            return i
    return -1


@kernel
def _without(rows: Words, count: int, row: int) -> int:
    for i in range(row, count - 1):
        rows[i] = rows[i + 1]
    return count - 1
