"""Ridge regressions, one for each product: which products of a session foretell it, each in the light of the others."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.kernels.candidate_set import CandidateSet, insert, slot_of
from active_customers.kernels.item_knn import Relation
from active_customers.kernels.jit import kernel
from active_customers.kernels.top_n import Wanted, top_n

Rows = tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.float32]]
"""Lengths of rows, then products and weights end to end."""


class Moments(NamedTuple):
    """Sums over all sessions that the regressions need, sparse.

    `gram` holds how often two products stand together, both ways; `diagonal` float64[n] how often each stands at all.
    Row `j` of `cross` holds the products that stand before or beside product `j`, and how much.
    """

    gram: Relation
    diagonal: NDArray[np.float64]
    cross: Relation


class Fitting(NamedTuple):
    """How a regression is made: at most `support` predictors, their weights drawn to 0 by `ridge`."""

    support: int
    ridge: float


class Walk(NamedTuple):
    """How a walk goes: `steps` steps, each after the first with the chance `go_on`.

    `scales` float64[n] bring the sum of each row to 1; `kept` products are kept of a row, on the way too.
    """

    scales: NDArray[np.float64]
    steps: int
    go_on: float
    kept: int


@kernel
def solve(moments: Moments, fitting: Fitting, first: int, last: int) -> Rows:
    """Return the predictors of products `first..last-1`, and their weights.

    Predictors are the products that would explain most alone; a product does not foretell itself. Each product has a
    small system of its own, so memory does not grow with the square of the catalogue.
    """
    lengths = np.zeros(last - first, np.int64)
    products = np.empty((last - first) * fitting.support, np.uint32)
    weights = np.empty(len(products), np.float32)
    places = np.full(len(moments.diagonal), -1, np.int64)
    filled = 0
    for target in range(first, last):
        row = slice(moments.cross.offsets[target], moments.cross.offsets[target + 1])
        sources, sums = moments.cross.products[row], moments.cross.weights[row]
        chosen = _strongest(moments.diagonal, fitting, sources, sums)
        solution = _solution(moments, fitting.ridge, places, sources[chosen], sums[chosen])
        end = filled + len(chosen)
        products[filled:end] = sources[chosen]
        weights[filled:end] = solution
        lengths[target - first] = len(chosen)
        filled = end
    return lengths, products[:filled].copy(), weights[:filled].copy()


@kernel
def _strongest(
    diagonal: NDArray[np.float64], fitting: Fitting, sources: NDArray[np.uint32], sums: NDArray[np.float32]
) -> NDArray[np.int64]:
    """Return the rows of the predictors that explain most, each on its own."""
    explained = np.empty(len(sources))
    for row in range(len(sources)):
        explained[row] = sums[row] * sums[row] / (diagonal[sources[row]] + fitting.ridge)
    return top_n(sources, explained, Wanted(fitting.support, np.empty(0, np.uint32)))


@kernel
def _solution(
    moments: Moments,
    ridge: float,
    places: NDArray[np.int64],
    sources: NDArray[np.uint32],
    sums: NDArray[np.float32],
) -> NDArray[np.float64]:
    """Solve the normal equations of the chosen predictors; `places` is -1 everywhere, before and after."""
    n = len(sources)
    system = np.zeros((n, n))
    for row in range(n):
        places[sources[row]] = row
    for row in range(n):
        source = sources[row]
        system[row, row] = moments.diagonal[source] + ridge
        for entry in range(moments.gram.offsets[source], moments.gram.offsets[source + 1]):
            column = places[moments.gram.products[entry]]
            if column >= 0:
                system[row, column] = moments.gram.weights[entry]
    for row in range(n):
        places[sources[row]] = -1
    solution: NDArray[Any] = np.linalg.solve(system, sums.astype(np.float64))
    return solution


@kernel
def walked(rows: Relation, walk: Walk, scratch: CandidateSet, first: int, last: int) -> Rows:
    """Return the rows of products `first..last-1` after a random walk over `rows`, strongest first.

    The sum over k of go_on^k B^(k + 1), B being the rows brought to a sum of 1 (the S-Walk's power series; Choi et al.,
    WSDM 2022). So products speak for each other that never stood in one session.
    """
    lengths = np.zeros(last - first, np.int64)
    products = np.empty((last - first) * walk.kept, np.uint32)
    weights = np.empty(len(products), np.float32)
    filled = 0
    for product in range(first, last):
        reached, sums = np.array([product], np.uint32), np.ones(1)
        total, total_sums = np.empty(0, np.uint32), np.empty(0)
        factor = 1.0
        for _ in range(walk.steps):
            reached, sums = _step(rows, walk, scratch, reached, sums)
            total, total_sums = _sum(scratch, (total, total_sums), (reached, sums * factor))
            factor *= walk.go_on
        best = top_n(total, total_sums, Wanted(walk.kept, np.empty(0, np.uint32)))
        end = filled + len(best)
        products[filled:end] = total[best]
        weights[filled:end] = total_sums[best]
        lengths[product - first] = len(best)
        filled = end
    return lengths, products[:filled].copy(), weights[:filled].copy()


@kernel
def _step(
    rows: Relation, walk: Walk, scratch: CandidateSet, products: NDArray[np.uint32], sums: NDArray[np.float64]
) -> tuple[NDArray[np.uint32], NDArray[np.float64]]:
    """Return where a step from the given products leads, and how strongly; the strongest only."""
    slots, found, scores = scratch.slots, scratch.products, scratch.scores
    count = 0
    for place in range(len(products)):
        source = products[place]
        amount = sums[place] * walk.scales[source]
        for row in range(rows.offsets[source], rows.offsets[source + 1]):
            other = rows.products[row]
            slot = slots[other]
            if slot >= count or found[slot] != other:  # without a call, as in `candidate_set.tally`
                slot = count
                slots[other] = slot
                found[slot] = other
                scores[slot] = 0.0
                count += 1
            scores[slot] += amount * rows.weights[row]
    best = top_n(found[:count], scores[:count], Wanted(walk.kept, np.empty(0, np.uint32)))
    return found[best], scores[best]


@kernel
def _sum(
    scratch: CandidateSet,
    one: tuple[NDArray[np.uint32], NDArray[np.float64]],
    other: tuple[NDArray[np.uint32], NDArray[np.float64]],
) -> tuple[NDArray[np.uint32], NDArray[np.float64]]:
    """Return the sum of two sparse rows."""
    count = 0
    for products, sums in (one, other):
        for place in range(len(products)):
            slot = slot_of(scratch, count, products[place])
            if slot < 0:
                slot = count
                count = insert(scratch, count, products[place])
            scratch.scores[slot] += sums[place]
    return scratch.products[:count].copy(), scratch.scores[:count].copy()
