"""What the moment says of products, put into a ranking."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from active_customers.kernels.jit import kernel

Weights = NDArray[np.float32]
"""What each product's score is multiplied with; products beyond the end keep theirs. Empty: nothing is changed."""


@kernel
def weigh(
    slots: NDArray[np.int64], scores: NDArray[np.float64], products: NDArray[np.uint32], weights: Weights
) -> None:
    """Multiply the scores of ranked slots, and put both in order again; equal ones stay in theirs."""
    if len(weights) == 0:
        return
    for place in range(len(slots)):
        slot = slots[place]
        product = products[slot]
        score = scores[place] * (weights[product] if product < len(weights) else 1.0)
        at = place
        while at > 0 and scores[at - 1] < score:
            scores[at], slots[at] = scores[at - 1], slots[at - 1]
            at -= 1
        scores[at], slots[at] = score, slot
