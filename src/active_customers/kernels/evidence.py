"""What is counted for the reasons of an answer, by the sources that proposed its products."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from active_customers.core.recommendation import REASON_BITS, ReasonCode
from active_customers.kernels.answer_rows import Rows
from active_customers.kernels.hybrid import AFTER, BESIDE, N_VOTES, HybridScratch
from active_customers.kernels.item_knn import Relation
from active_customers.kernels.jit import kernel

_SESSION, _REVISIT = int(ReasonCode.SESSION), int(ReasonCode.REVISIT)
_TOGETHER, _BOUGHT = int(ReasonCode.VIEWED_TOGETHER), int(ReasonCode.BOUGHT_TOGETHER)


@kernel
def count_evidence(
    rows: Rows,
    size: int,
    scratch: HybridScratch,
    relations: tuple[tuple[Relation, ...], Relation],
    acts: NDArray[np.uint32],
) -> None:
    """Put a count beside each reason that has one, as `core.recommendation.COUNTED` says.

    The scratch memory is that which the products were just ranked in; `relations` are the hybrid's and what is bought
    together; `acts` are the products of the customer's acts.
    """
    of_hybrid, bought = relations
    for row in range(size):
        product, reason, evidence = rows.products[row], rows.reasons[row], rows.evidence[row]
        count = 0
        if reason == _SESSION:
            count = int(scratch.gathered[scratch.knn.candidates.slots[product], N_VOTES])
        elif reason == _REVISIT:
            for other in acts:
                count += other == product
        elif reason == _TOGETHER:
            count = _support(of_hybrid[BESIDE], evidence, product)
            if count == 0:
                count = _support(of_hybrid[AFTER], evidence, product)
        elif reason == _BOUGHT:
            count = _support(bought, evidence, product)
        rows.reasons[row] = reason | count << REASON_BITS


@kernel
def _support(relation: Relation, one: int, other: int) -> int:
    """Return how many sessions hold both products, 0 where they are not related."""
    if one + 1 >= len(relation.offsets):
        return 0
    for row in range(relation.offsets[one], relation.offsets[one + 1]):
        if relation.products[row] == other:
            return int(relation.support[row])
    return 0
