"""Ridge regressions of every product on all the others, solved one by one without an inverse.

The problem is SLIST's (Choi et al., "Session-aware linear item-item models for session-based recommendation", WWW
2021); it is solved by coordinate descent with covariance updates (Friedman, Hastie and Tibshirani, "Regularization
paths for generalized linear models via coordinate descent", J. Stat. Software 2010), starting from nothing and
following the residual: a product costs what it is connected to, not what the catalogue holds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.kernels.gram import Acts, Gram
from active_customers.kernels.jit import kernel
from active_customers.kernels.strongest import Strongest, keep

MOST_ROUNDS = 1000
"""Rounds over the coordinates after which a regression is taken as it is."""


class Regression(NamedTuple):
    """What is regressed, and how exactly.

    A product is explained by all the products of its sessions (`share` of the squared error) and by those before it
    (the rest), which count `by_distance[d]` when they stand `d + 1` acts earlier, not at all beyond the table. Its own
    weight is at most `self_limit`. A coordinate that would move by less than `tolerance` stays. The weights that lead
    to a product are multiplied by its `scale`.
    """

    share: float
    by_distance: NDArray[np.float64]
    self_limit: float
    tolerance: float
    scale: NDArray[np.float64]


class Residuals(NamedTuple):
    """Scratch memory, one place per product: all but `members` is 0 between regressions."""

    residual: NDArray[np.float64]
    solution: NDArray[np.float64]
    is_member: NDArray[np.bool_]
    members: NDArray[np.uint32]


def no_residuals(n_products: int) -> Residuals:
    """Allocate scratch memory for a catalogue of `n_products`: 21 bytes a product."""
    return Residuals(
        np.zeros(n_products), np.zeros(n_products), np.zeros(n_products, np.bool_), np.zeros(n_products, np.uint32)
    )


@kernel
def regress(acts: Acts, gram: Gram, regression: Regression, scratch: Residuals, strongest: Strongest) -> None:
    """Solve for every product, and keep the largest positive weights of each source: what it leads to."""
    for product in range(len(gram.diagonal)):
        count = _descend(gram, regression, scratch, product, _aim(acts, regression, scratch, product))
        for source in scratch.members[:count]:
            weight = scratch.solution[source] * regression.scale[product]
            scratch.residual[source] = 0.0
            scratch.solution[source] = 0.0
            scratch.is_member[source] = False
            if weight > 0.0:
                keep(strongest, source, product, weight)


@kernel
def _aim(acts: Acts, regression: Regression, scratch: Residuals, product: int) -> int:
    """Set the residual to all that is to be explained of one product; return how many products share in it."""
    residual, is_member, members = scratch.residual, scratch.is_member, scratch.members
    count = 0
    for row in acts.rows[acts.row_offsets[product] : acts.row_offsets[product + 1]]:
        session = acts.sessions[row]
        weight = acts.session_weights[session]
        for other in range(acts.offsets[session], acts.offsets[session + 1]):
            amount = 0.0
            if acts.is_first[row] and acts.is_first[other]:
                amount += regression.share * weight
            distance = row - other - 1
            if 0 <= distance < len(regression.by_distance):
                amount += (1.0 - regression.share) * weight * regression.by_distance[distance]
            if amount == 0.0:
                continue
            source = acts.products[other]
            if not is_member[source]:
                is_member[source] = True
                members[count] = source
                count += 1
            residual[source] += amount
    return count


@kernel
def _descend(gram: Gram, regression: Regression, scratch: Residuals, product: int, first_count: int) -> int:
    """Move the coordinates, one by one, until none of them would move far; return how many products take part."""
    residual, solution, is_member, members = scratch
    count = first_count
    for _ in range(MOST_ROUNDS):
        has_moved = False
        slot = 0
        while slot < count:
            source = members[slot]
            slot += 1
            step = residual[source] / gram.diagonal[source]
            if source == product:
                step = min(step, regression.self_limit - solution[source])
            if abs(step) < regression.tolerance:
                continue
            has_moved = True
            solution[source] += step
            residual[source] -= step * gram.diagonal[source]
            for row in range(gram.offsets[source], gram.offsets[source + 1]):
                other = gram.products[row]
                if not is_member[other]:
                    is_member[other] = True
                    members[count] = other
                    count += 1
                residual[other] -= step * gram.weights[row]
        if not has_moved:
            break
    return count
