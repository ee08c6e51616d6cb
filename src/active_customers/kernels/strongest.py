"""Keeping the largest weights of each row while they are found in any order."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.kernels.jit import kernel
from active_customers.kernels.top_n import ALL_OPEN, Wanted, top_n


class Strongest(NamedTuple):
    """The largest weights met so far: the first `sizes[r]` places of row `r`, a heap with the weakest on top."""

    sizes: NDArray[np.int64]
    products: NDArray[np.uint32]
    weights: NDArray[np.float32]


def nothing_kept(n_rows: int, kept: int) -> Strongest:
    """Allocate room for `kept` weights of each row: 8 bytes each, which cost no memory before they are written."""
    shape = (n_rows, kept)
    return Strongest(np.zeros(n_rows, np.int64), np.empty(shape, np.uint32), np.empty(shape, np.float32))


@kernel
def keep(strongest: Strongest, row: int, product: int, weight: float) -> None:
    """Put a product that is not in the row there if it is among the strongest; of equal ones the lower number stays."""
    weights, products = strongest.weights[row], strongest.products[row]
    rounded = np.float32(weight)
    size = strongest.sizes[row]
    if size < len(weights):
        strongest.sizes[row] += 1
        weights[size] = rounded
        products[size] = product
        _sift_up(weights, products, size)
    elif size > 0 and _is_weaker(weights[0], products[0], float(rounded), product):
        weights[0] = rounded
        products[0] = product
        _sift_down(weights, products)


@kernel
def ranked_rows(strongest: Strongest) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.float32]]:
    """Return offsets, products and weights of the positive weights kept, strongest first."""
    n_rows = len(strongest.sizes)
    offsets = np.zeros(n_rows + 1, np.int64)
    products = np.empty(strongest.sizes.sum(), np.uint32)
    weights = np.empty(len(products), np.float32)
    nothing = np.empty(0, np.uint32)
    filled = 0
    for row in range(n_rows):
        size = strongest.sizes[row]
        kept_weights = strongest.weights[row, :size].astype(np.float64)
        for slot in top_n(strongest.products[row, :size], kept_weights, Wanted(size, nothing, ALL_OPEN)):
            products[filled] = strongest.products[row, slot]
            weights[filled] = strongest.weights[row, slot]
            filled += 1
        offsets[row + 1] = filled
    return offsets, products[:filled], weights[:filled]


@kernel
def _is_weaker(weight: float, product: int, other_weight: float, other_product: int) -> bool:
    if weight == other_weight:
        return product > other_product
    return weight < other_weight


@kernel
def _swap(weights: NDArray[np.float32], products: NDArray[np.uint32], place: int, other: int) -> None:
    weights[place], weights[other] = weights[other], weights[place]
    products[place], products[other] = products[other], products[place]


@kernel
def _sift_up(weights: NDArray[np.float32], products: NDArray[np.uint32], start: int) -> None:
    place = start
    while place > 0:
        parent = (place - 1) // 2
        if not _is_weaker(weights[place], products[place], weights[parent], products[parent]):
            break
        _swap(weights, products, place, parent)
        place = parent


@kernel
def _sift_down(weights: NDArray[np.float32], products: NDArray[np.uint32]) -> None:
    place = 0
    while 2 * place + 1 < len(weights):
        child = 2 * place + 1
        right = child + 1
        if right < len(weights) and _is_weaker(weights[right], products[right], weights[child], products[child]):
            child = right
        if not _is_weaker(weights[child], products[child], weights[place], products[place]):
            break
        _swap(weights, products, place, child)
        place = child
