"""Choosing the best few of many: written once, for every model."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.core.product import Standing
from active_customers.kernels.jit import kernel, unsigned

NO_SCORE = 2.0**-150
"""The largest float64 that is 0 as a float32, which scores are given as: it and all below it count as no score."""


ALL_OPEN: NDArray[np.uint8] = np.empty(0, np.uint8)
"""The standings of products where nothing is known of any: each may be shown."""
ALL_OPEN.flags.writeable = False  # like those that come from the table, so that kernels see one type

_OPEN = int(Standing.OPEN)

_CLOSED = 16
"""Closed products that may be among the best before all rows are compared."""
_FEW = 256
"""Rows up to which each is compared with all others."""
_STEP_BITS = 20
"""Of the 32 bits of a float32, those that `floor_of` does not look at: what it looks at tells eighths of an octave."""
_STEPS = 1 << 11
_LEAST_FLOOR = np.array([1 << _STEP_BITS], np.int32).view(np.float32)[0]
"""What `floor_of` returns where too few values are above it."""


class Wanted(NamedTuple):
    """How many proposals are wanted, and which products must not be among them.

    `excluded` is uint32, ascending; repeated numbers and numbers outside the catalogue do no harm. `standing` is the
    `Standing` of each product, read-only; products beyond its end may be shown.
    """

    n: int
    excluded: NDArray[np.uint32]
    standing: NDArray[np.uint8] = ALL_OPEN


@kernel
def is_excluded(product: int, excluded: NDArray[np.uint32]) -> bool:
    """Whether a product is in an ascending array."""
    low, high = 0, len(excluded)
    while low < high:
        middle = (low + high) // 2
        if excluded[middle] < product:
            low = middle + 1
        else:
            high = middle
    return low < len(excluded) and excluded[low] == product


@kernel
def is_closed(product: int, standing: NDArray[np.uint8]) -> bool:
    """Whether the catalogue forbids to show a product."""
    return product < len(standing) and standing[product] > _OPEN


@kernel
def top_n(products: NDArray[np.uint32], scores: NDArray[np.float64], wanted: Wanted) -> NDArray[np.int64]:
    """Return the rows of the `n` best scores, best first; equal scores by ascending product number.

    Only scores that are positive as float32 count (NaN is none), and no excluded or closed product is returned, so
    there may be fewer than `n` rows.
    Of many rows those that may be among the best are found first, without comparing them with each other: comparisons
    that nobody can predict are what choosing costs. They are a few more than are wanted, since some may be excluded.
    """
    n = max(0, min(wanted.n, len(products)))
    n_likely = n + len(wanted.excluded) + _CLOSED
    if n == 0 or n_likely > min(len(products), _FEW):
        return _best(products, scores, wanted)
    least = floor_of(scores, n_likely)
    likely = np.empty(2 * _FEW, np.int64)
    size = 0
    for row in range(len(products)):
        if np.float32(scores[row]) >= least and scores[row] > NO_SCORE:
            if is_closed(products[row], wanted.standing) or is_excluded(products[row], wanted.excluded):
                continue
            if size == len(likely):
                return _best(products, scores, wanted)
            likely[size] = row
            size += 1
    return _best(products, scores, wanted) if size < n else _in_order(likely[:size], products, scores)[:n]


@kernel
def floor_of(values: NDArray[np.float64], k: int) -> np.float32:
    """Return a value that `k` positive values reach, and not many more do; the least positive one where none does.

    Values are counted by the first bits that float32 has for them, which are in the order of the values.
    """
    counts, highest = np.zeros(_STEPS, np.int32), 0
    for value in values:
        step = max(int(np.float32(value).view(np.int32)) >> _STEP_BITS, 0)
        counts[unsigned(step)] += 1
        highest = max(highest, step)
    step, reached = highest + 1, 0
    while step > 1 and reached < k:
        step -= 1
        reached += counts[step]
    floor: np.float32 = np.int32(step << _STEP_BITS).view(np.float32)
    return floor


@kernel
def _in_order(rows: NDArray[np.int64], products: NDArray[np.uint32], scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return rows, best first: each at the place that as many as are better give it."""
    ordered = np.empty(len(rows), np.int64)
    own, numbers = scores[rows], products[rows]
    for i in range(len(rows)):
        score, number, place, n_equal = own[i], numbers[i], 0, 0
        for j in range(len(rows)):
            place += own[j] > score
            n_equal += own[j] == score
        if n_equal > 1:  # apart, for numbers and scores are not of one width, and so not compared many at once
            for j in range(len(rows)):
                place += (own[j] == score) & (numbers[j] < number)
        ordered[place] = rows[i]
    return ordered


@kernel
def _best(products: NDArray[np.uint32], scores: NDArray[np.float64], wanted: Wanted) -> NDArray[np.int64]:
    """Return what `top_n` does, whatever there is.

    A heap holds the best so far with the worst on top: most rows cost one comparison with it.
    """
    heap = np.empty(max(0, min(wanted.n, len(products))), np.int64)
    size = 0
    for row in range(len(products)):
        if not scores[row] > NO_SCORE or len(heap) == 0:
            continue
        if size == len(heap) and not _is_better(row, heap[0], products, scores):
            continue
        if is_closed(products[row], wanted.standing) or is_excluded(products[row], wanted.excluded):
            continue
        if size < len(heap):
            heap[size] = row
            size += 1
            _sift_up(heap[:size], products, scores)
        else:
            heap[0] = row
            _sift_down(heap[:size], products, scores)
    _sort_heap(heap[:size], products, scores)
    return heap[:size]


@kernel
def first_n(ranked: NDArray[np.uint32], wanted: Wanted) -> NDArray[np.uint32]:
    """Return the first `n` of products that are already ranked, without the excluded and closed ones."""
    chosen = np.empty(max(0, min(wanted.n, len(ranked))), np.uint32)
    size = 0
    for product in ranked:
        if size == len(chosen):
            break
        if not is_closed(product, wanted.standing) and not is_excluded(product, wanted.excluded):
            chosen[size] = product
            size += 1
    return chosen[:size]


@kernel
def kth_largest(values: NDArray[np.float64], k: int) -> float:
    """Return the `k`-th largest value (1 <= k <= len); reorders `values`, and overwrites what is smaller.

    By Hoare's quickselect, among positive values those that `floor_of` leaves.
    """
    floor, count = floor_of(values, k), len(values)
    if floor > _LEAST_FLOOR:
        count = 0
        for value in values:
            values[count] = value
            count += int(np.float32(value) >= floor)
    target = count - k
    low, high = 0, count - 1
    while low < high:
        pivot = values[(low + high) // 2]
        left, right = low, high
        while left <= right:
            while values[left] < pivot:
                left += 1
            while values[right] > pivot:
                right -= 1
            if left <= right:
                values[left], values[right] = values[right], values[left]
                left += 1
                right -= 1
        if target <= right:
            high = right
        elif target >= left:
            low = left
        else:
            break
    largest: float = values[target]
    return largest


@kernel
def _is_better(row: int, other: int, products: NDArray[np.uint32], scores: NDArray[np.float64]) -> bool:
    if scores[row] == scores[other]:
        return bool(products[row] < products[other])
    return bool(scores[row] > scores[other])


@kernel
def _sift_up(heap: NDArray[np.int64], products: NDArray[np.uint32], scores: NDArray[np.float64]) -> None:
    place = len(heap) - 1
    row = heap[place]
    while place > 0:
        parent = (place - 1) // 2
        if not _is_better(heap[parent], row, products, scores):
            break
        heap[place] = heap[parent]
        place = parent
    heap[place] = row


@kernel
def _sift_down(heap: NDArray[np.int64], products: NDArray[np.uint32], scores: NDArray[np.float64]) -> None:
    place = 0
    row = heap[0]
    while True:
        child = 2 * place + 1
        if child >= len(heap):
            break
        if child + 1 < len(heap) and _is_better(heap[child], heap[child + 1], products, scores):
            child += 1
        if not _is_better(row, heap[child], products, scores):
            break
        heap[place] = heap[child]
        place = child
    heap[place] = row


@kernel
def _sort_heap(heap: NDArray[np.int64], products: NDArray[np.uint32], scores: NDArray[np.float64]) -> None:
    for end in range(len(heap) - 1, 0, -1):
        heap[0], heap[end] = heap[end], heap[0]
        _sift_down(heap[:end], products, scores)
