"""Which products have most in common, by the tokens that describe them: cosines over inverted lists."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.kernels.candidate_set import CandidateSet, insert
from active_customers.kernels.jit import kernel
from active_customers.kernels.top_n import ALL_OPEN, Wanted, top_n


class Described(NamedTuple):
    """Weighted tokens by product, the rarest of each first, every row of length 1; and products by token.

    Product `p` has `tokens[offsets[p]:offsets[p + 1]]` with `weights`; token `t` stands in the products
    `postings[posting_offsets[t]:posting_offsets[t + 1]]`, where it weighs `posting_weights`.
    """

    offsets: NDArray[np.int64]
    tokens: NDArray[np.uint32]
    weights: NDArray[np.float32]
    posting_offsets: NDArray[np.int64]
    postings: NDArray[np.uint32]
    posting_weights: NDArray[np.float32]


class Nearest(NamedTuple):
    """How many neighbours a product keeps, and how many places of inverted lists it may look at to find them."""

    kept: int
    most_looks: int


@kernel
def similar_rows(
    described: Described, nearest: Nearest, candidates: CandidateSet, first: int, last: int
) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.float32]]:
    """Return the nearest products of products `first..last-1`: the lengths of rows, then products and cosines.

    A product's tokens are gone through from the rarest on; the first one that would take more than `most_looks`, and
    all after it, add nothing. So the work is at most `most_looks` a product, however common tokens are.
    """
    lengths = np.zeros(last - first, np.int64)
    products = np.empty((last - first) * nearest.kept, np.uint32)
    weights = np.empty(len(products), np.float32)
    nothing = np.empty(0, np.uint32)
    filled = 0
    for product in range(first, last):
        count = _meet(described, candidates, product, nearest.most_looks)
        candidates.scores[0] = 0.0  # nobody's neighbour is the product itself
        chosen = top_n(candidates.products[:count], candidates.scores[:count], Wanted(nearest.kept, nothing, ALL_OPEN))
        for slot in chosen:
            products[filled] = candidates.products[slot]
            weights[filled] = candidates.scores[slot]
            filled += 1
        lengths[product - first] = len(chosen)
    return lengths, products[:filled].copy(), weights[:filled].copy()


@kernel
def _meet(described: Described, candidates: CandidateSet, product: int, most_looks: int) -> int:
    """Sum up what the product, in slot 0, has in common with others; return how many slots there are.

    Without calls inside the loop, as in `candidate_set.tally`, which is many times faster.
    """
    slots, products, scores = candidates.slots, candidates.products, candidates.scores
    postings, posting_weights = described.postings, described.posting_weights
    count = insert(candidates, 0, product)
    looks = 0
    for row in range(described.offsets[product], described.offsets[product + 1]):
        token, weight = described.tokens[row], described.weights[row]
        begin, end = described.posting_offsets[token], described.posting_offsets[token + 1]
        looks += end - begin
        if looks > most_looks:
            break
        for place in range(begin, end):
            other = postings[place]
            slot = slots[other]
            if slot >= count or products[slot] != other:
                slot = count
                slots[other] = slot
                products[slot] = other
                scores[slot] = 0.0
                count += 1
            scores[slot] += weight * posting_weights[place]
    return count
