"""Item to item: which products stand together in sessions, and what that says about the next one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.kernels.candidate_set import (
    CandidateSet,
    Proposals,
    Votes,
    best,
    insert,
    insert_query,
    slot_of,
    tally,
)
from active_customers.kernels.jit import kernel
from active_customers.kernels.top_n import ALL_OPEN, Wanted, top_n


class Relation(NamedTuple):
    """Related products, row by row: those of product `p` are `products[offsets[p]:offsets[p + 1]]`, strongest first.

    `support` counts the sessions in which both were acted on in full strength.
    """

    offsets: NDArray[np.int64]
    products: NDArray[np.uint32]
    weights: NDArray[np.float32]
    support: NDArray[np.uint32]


class Baskets(NamedTuple):
    """Sessions to count pairs in: rows of distinct products with positions and strengths in (0, 1], and the inverse.

    Product `p` stands in the rows `rows[row_offsets[p]:row_offsets[p + 1]]`; `sessions` is the session of each row.
    """

    offsets: NDArray[np.int64]
    products: NDArray[np.uint32]
    positions: NDArray[np.int16]
    strengths: NDArray[np.float32]
    sessions: NDArray[np.uint32]
    row_offsets: NDArray[np.int64]
    rows: NDArray[np.int64]


class Pairing(NamedTuple):
    """How a pair counts: by distance in acts (not at all beyond the table) and by session.

    A sum over sessions is divided by (df_a * df_b) ** damping, df being how many sessions hold a product; a
    pair counts if `min_support` sessions acted on both in full strength; `kept` products stay in a row. With `forward`
    a product is only related to those that came after it.
    """

    by_distance: NDArray[np.float64]
    session_weights: NDArray[np.float32]
    damping: float
    kept: int
    min_support: int
    forward: bool = False


class PairScratch(NamedTuple):
    """Scratch memory of `related_rows`."""

    candidates: CandidateSet
    support: NDArray[np.uint32]


@kernel
def related_rows(
    baskets: Baskets, pairing: Pairing, scratch: PairScratch, first: int, last: int
) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.float32], NDArray[np.uint32]]:
    """Return the rows of products `first..last-1`: their lengths, then products, weights and support end to end."""
    lengths = np.zeros(last - first, np.int64)
    products = np.empty((last - first) * pairing.kept, np.uint32)
    weights = np.empty(len(products), np.float32)
    support = np.empty(len(products), np.uint32)
    nothing = np.empty(0, np.uint32)
    filled = 0
    for product in range(first, last):
        count = _count_pairs(baskets, pairing, scratch, product)
        _normalise(baskets, pairing, scratch, product, count)
        candidates = scratch.candidates
        chosen = top_n(candidates.products[:count], candidates.scores[:count], Wanted(pairing.kept, nothing, ALL_OPEN))
        for slot in chosen:
            products[filled] = candidates.products[slot]
            weights[filled] = candidates.scores[slot]
            support[filled] = scratch.support[slot]
            filled += 1
        lengths[product - first] = len(chosen)
    return lengths, products[:filled].copy(), weights[:filled].copy(), support[:filled].copy()


@kernel
def _count_pairs(baskets: Baskets, pairing: Pairing, scratch: PairScratch, product: int) -> int:
    """Sum up the pairs of one product over its sessions; return how many products it met."""
    candidates = scratch.candidates
    count = 0
    for row in baskets.rows[baskets.row_offsets[product] : baskets.row_offsets[product + 1]]:
        session = baskets.sessions[row]
        for other in range(baskets.offsets[session], baskets.offsets[session + 1]):
            step = baskets.positions[other] - baskets.positions[row]
            distance = abs(step)
            if other == row or distance >= len(pairing.by_distance) or (pairing.forward and step < 0):
                continue
            strength = min(baskets.strengths[row], baskets.strengths[other])
            slot = slot_of(candidates, count, baskets.products[other])
            if slot < 0:
                slot = count
                count = insert(candidates, count, baskets.products[other])
                scratch.support[slot] = 0
            amount = strength * pairing.by_distance[distance] * pairing.session_weights[session]
            candidates.scores[slot] += amount
            scratch.support[slot] += strength >= 1.0
    return count


@kernel
def _normalise(baskets: Baskets, pairing: Pairing, scratch: PairScratch, product: int, count: int) -> None:
    """Damp the sums of often seen products; pairs acted on in full strength too rarely count nothing."""
    candidates = scratch.candidates
    own = baskets.row_offsets[product + 1] - baskets.row_offsets[product]
    for slot in range(count):
        other = candidates.products[slot]
        seen = baskets.row_offsets[other + 1] - baskets.row_offsets[other]
        proven = scratch.support[slot] >= pairing.min_support
        candidates.scores[slot] *= (float(own) * float(seen)) ** -pairing.damping if proven else 0.0


class RelationScratch(NamedTuple):
    """One thread's scratch memory for questions; there is room for the votes of all the products asked with."""

    votes: Votes
    candidates: CandidateSet


@kernel
def recommend(
    relation: Relation,
    by_place: NDArray[np.float64],
    scratch: RelationScratch,
    query: NDArray[np.uint32],
    wanted: Wanted,
) -> Proposals:
    """Return what the query's products (oldest first) are related to."""
    count = collect(relation, by_place, scratch, query)
    return best(scratch.candidates, count, wanted)


@kernel
def collect(
    relation: Relation, by_place: NDArray[np.float64], scratch: RelationScratch, query: NDArray[np.uint32]
) -> int:
    """Score everything related to the query's distinct products, the i-th newest weighing `by_place[i]`.

    The set may be larger than the relation's catalogue: products beyond it are related to nothing.
    """
    candidates, votes = scratch.candidates, scratch.votes
    n_query = insert_query(candidates, query, len(by_place))
    n_votes = 0
    for place in range(n_query):
        product = candidates.products[place]
        if product + 1 >= len(relation.offsets):
            continue
        for row in range(relation.offsets[product], relation.offsets[product + 1]):
            votes.products[n_votes] = relation.products[row]
            votes.amounts[n_votes] = by_place[place] * relation.weights[row]
            votes.evidence[n_votes] = product
            n_votes += 1
    return tally(candidates, n_query, votes, n_votes)
