"""Which products meet in sessions, as the sparse matrix that linear models are solved with."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.kernels.jit import kernel
from active_customers.kernels.top_n import kth_largest


class Acts(NamedTuple):
    """Sessions end to end, and the inverse.

    Session `s` is `products[offsets[s]:offsets[s + 1]]`, oldest first, and counts `session_weights[s]` times, which is
    positive; `sessions` holds the session of each act, `is_first` whether its product is new to the session. Product
    `p` stands in the ascending rows `rows[row_offsets[p]:row_offsets[p + 1]]`.
    """

    offsets: NDArray[np.int64]
    products: NDArray[np.uint32]
    sessions: NDArray[np.uint32]
    is_first: NDArray[np.bool_]
    session_weights: NDArray[np.float32]
    row_offsets: NDArray[np.int64]
    rows: NDArray[np.int64]


class Gram(NamedTuple):
    """A symmetric, positive definite matrix: sparse rows of what is off the diagonal, and the diagonal."""

    offsets: NDArray[np.int64]
    products: NDArray[np.uint32]
    weights: NDArray[np.float32]
    diagonal: NDArray[np.float64]


class Meetings(NamedTuple):
    """Scratch memory, one place per product; all `sums` are 0 between products. `selection` is room for choosing."""

    sums: NDArray[np.float64]
    members: NDArray[np.uint32]
    selection: NDArray[np.float64]


def no_meetings(n_products: int) -> Meetings:
    """Allocate scratch memory for a catalogue of `n_products`: 20 bytes a product."""
    return Meetings(np.zeros(n_products), np.zeros(n_products, np.uint32), np.zeros(n_products))


@kernel
def first_acts(offsets: NDArray[np.int64], products: NDArray[np.uint32], n_products: int) -> NDArray[np.bool_]:
    """Return, per act, whether it is the session's first on its product."""
    is_first = np.zeros(len(products), np.bool_)
    last_seen = np.full(n_products, -1, np.int64)  # the session that each product was last met in
    for session in range(len(offsets) - 1):
        for row in range(offsets[session], offsets[session + 1]):
            is_first[row] = last_seen[products[row]] != session
            last_seen[products[row]] = session
    return is_first


@kernel
def thresholds(acts: Acts, rarity: NDArray[np.float64], kept: int, scratch: Meetings) -> NDArray[np.float64]:
    """Return, per product, the strength that exactly the `kept` products it meets most exceed; 0 if it meets no more.

    The strength of a meeting is the weight of the sessions shared times the `rarity` of the other product. Of those
    that tie at the threshold none exceeds it.
    """
    limits = np.zeros(len(rarity))
    for product in range(len(rarity)):
        count = _meet(acts, scratch, product)
        if count > kept:
            for slot, other in enumerate(scratch.members[:count]):
                scratch.selection[slot] = scratch.sums[other] * rarity[other]
            limits[product] = kth_largest(scratch.selection[:count], kept + 1)
        for other in scratch.members[:count]:
            scratch.sums[other] = 0.0
    return limits


@kernel
def meeting_rows(
    acts: Acts, rarity: NDArray[np.float64], limits: NDArray[np.float64], scratch: Meetings
) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.float32], NDArray[np.float64]]:
    """Return what the sessions that a pair shares weigh, row by row: offsets, products, weights, and what is left.

    A pair stays if it is strong for either of the two (see `thresholds`), so that the rows are symmetric and hold twice
    `kept` weights a product at most on average. The weights of all others are summed up per product.
    """
    offsets = np.zeros(len(rarity) + 1, np.int64)
    products = np.empty(1024, np.uint32)
    weights = np.empty(1024, np.float32)
    left = np.zeros(len(rarity))
    filled = 0
    for product in range(len(rarity)):
        count = _meet(acts, scratch, product)
        while filled + count > len(products):
            products = np.concatenate((products, np.empty_like(products)))
            weights = np.concatenate((weights, np.empty_like(weights)))
        for other in scratch.members[:count]:
            weight = scratch.sums[other]
            if weight * rarity[other] > limits[product] or weight * rarity[product] > limits[other]:
                products[filled] = other
                weights[filled] = weight
                filled += 1
            else:
                left[product] += weight
            scratch.sums[other] = 0.0
        offsets[product + 1] = filled
    return offsets, products[:filled], weights[:filled], left


@kernel
def _meet(acts: Acts, scratch: Meetings, product: int) -> int:
    """Sum up the weights of the sessions that each other product shares with this one; return how many there are."""
    sums, members = scratch.sums, scratch.members
    count = 0
    for row in acts.rows[acts.row_offsets[product] : acts.row_offsets[product + 1]]:
        if not acts.is_first[row]:
            continue
        session = acts.sessions[row]
        for place in range(acts.offsets[session], acts.offsets[session + 1]):
            other = acts.products[place]
            if not acts.is_first[place] or other == product:
                continue
            if sums[other] == 0.0:
                members[count] = other
                count += 1
            sums[other] += acts.session_weights[session]
    return count
