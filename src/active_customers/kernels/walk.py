"""Random walks over related products: what a product leads to in several steps.

S-Walk (Choi et al., "S-Walk: accurate and scalable session-based recommendation with random walks", WSDM 2022) sums up
the walks over two linear models in whole matrices. Here each product is walked from on its own, through sparse rows,
and what is too little to matter goes no further.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.kernels.item_knn import Relation
from active_customers.kernels.jit import kernel
from active_customers.kernels.top_n import ALL_OPEN, Wanted, top_n


class Walk(NamedTuple):
    """How far to walk: on with probability `onward` after each step, at most `steps` times.

    Less than `smallest` in one place goes no further; the `kept` places of most visits stay.
    """

    onward: float
    steps: int
    smallest: float
    kept: int


class Visits(NamedTuple):
    """Scratch memory, one place per product: all `amounts` are 0 but those of the first so many `products`."""

    amounts: NDArray[np.float64]
    products: NDArray[np.uint32]


def no_visits(n_products: int) -> Visits:
    """Allocate scratch memory for a catalogue of `n_products`: 12 bytes a product."""
    return Visits(np.zeros(n_products), np.zeros(n_products, np.uint32))


class WalkScratch(NamedTuple):
    """Where the walk is, where it goes next, and where it has been."""

    here: Visits
    there: Visits
    total: Visits


@kernel
def walk_rows(
    relation: Relation, walk: Walk, scratch: WalkScratch
) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.float32]]:
    """Return sum over k of (1 - w) w^k R P^k as offsets, products and weights, strongest first.

    w is `walk.onward`, R the relation, whose weights are positive, P the same with each row divided by its sum.
    """
    n_products = len(relation.offsets) - 1
    sums = np.zeros(n_products)
    for product in range(n_products):
        sums[product] = relation.weights[relation.offsets[product] : relation.offsets[product + 1]].sum()
    offsets = np.zeros(n_products + 1, np.int64)
    products = np.empty(n_products * walk.kept, np.uint32)
    weights = np.empty(len(products), np.float32)
    nothing = np.empty(0, np.uint32)
    filled = 0
    for source in range(n_products):
        count = _walk_from(relation, sums, walk, scratch, source)
        met = scratch.total.products[:count]
        amounts = scratch.total.amounts[met]
        scratch.total.amounts[met] = 0.0
        for slot in top_n(met, amounts, Wanted(walk.kept, nothing, ALL_OPEN)):
            products[filled] = met[slot]
            weights[filled] = amounts[slot]
            filled += 1
        offsets[source + 1] = filled
    return offsets, products[:filled].copy(), weights[:filled].copy()


@kernel
def _walk_from(relation: Relation, sums: NDArray[np.float64], walk: Walk, scratch: WalkScratch, source: int) -> int:
    """Sum up all steps from one product into `scratch.total`; return how many products were met."""
    here, there, total = scratch.here, scratch.there, scratch.total
    n_here = _step(relation, source, 1.0, here, 0)
    n_total = 0
    for steps_left in range(walk.steps, -1, -1):
        n_there = 0
        for place in here.products[:n_here]:
            amount = here.amounts[place]
            here.amounts[place] = 0.0
            n_total = _add(total, n_total, place, (1.0 - walk.onward) * amount)
            if steps_left > 0 and amount >= walk.smallest and sums[place] > 0.0:
                n_there = _step(relation, place, walk.onward * amount / sums[place], there, n_there)
        here, there = there, here
        n_here = n_there
    return n_total


@kernel
def _step(relation: Relation, product: int, factor: float, visits: Visits, count: int) -> int:
    """Add one product's row, multiplied, to where a walk is; return how many products it is at."""
    amounts, products = visits
    filled = count
    for row in range(relation.offsets[product], relation.offsets[product + 1]):
        other = relation.products[row]
        if amounts[other] == 0.0:
            products[filled] = other
            filled += 1
        amounts[other] += factor * relation.weights[row]
    return filled


@kernel
def _add(visits: Visits, count: int, product: int, amount: float) -> int:
    """Add to the visits of one product; return how many products there are."""
    is_new = bool(visits.amounts[product] == 0.0)
    if is_new:
        visits.products[count] = product
    visits.amounts[product] += amount
    return count + is_new
