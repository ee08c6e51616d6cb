"""Nearest sessions: what sessions like this one went on to.

The algorithm joins three published ones: the index and the walk of VMIS-kNN (Kersbergen et al., SIGMOD 2022), the three
exponential decays of STAN (Garg et al., SIGIR 2019) and the rarity weights of VSTAN (Ludewig et al., UMUAI 2021).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.kernels.candidate_set import CandidateSet, Proposals, Votes, best, insert_query, tally
from active_customers.kernels.jit import kernel, unsigned
from active_customers.kernels.top_n import Wanted, kth_largest


class SessionIndex(NamedTuple):
    """Stored sessions, read-only.

    Product `p` stands in the sessions `postings[posting_offsets[p]:posting_offsets[p + 1]]`, newest first. Session `s`
    holds the distinct `products[offsets[s]:offsets[s + 1]]` at the ascending `positions` of their last acts. A session
    counts `session_weights[s]` times, a product `rarity[p]` times; both are positive, but for the weight of sessions
    that are to be passed over, which is 0.
    """

    posting_offsets: NDArray[np.int64]
    postings: NDArray[np.uint32]
    offsets: NDArray[np.int64]
    products: NDArray[np.uint32]
    positions: NDArray[np.int16]
    session_weights: NDArray[np.float32]
    rarity: NDArray[np.float32]


class Weighting(NamedTuple):
    """How much things count; the tables are positive.

    `by_place[i]` weighs the i-th newest distinct product of the query and its length is how many are used;
    `by_distance[d]` a product that stands `d` acts from the shared one; `revisit` multiplies a shared product as a
    candidate of its own, `repeat` the newest product of the query; `neighbours` sessions are used.
    """

    by_place: NDArray[np.float64]
    by_distance: NDArray[np.float64]
    revisit: float
    repeat: float
    neighbours: int


class KnnScratch(NamedTuple):
    """One thread's scratch memory: a sparse set of sessions (see `candidate_set`) and one of products."""

    session_slots: NDArray[np.int32]
    sessions: NDArray[np.uint32]
    similarity: NDArray[np.float64]
    selection: NDArray[np.float64]
    votes: Votes
    candidates: CandidateSet


@kernel
def recommend(
    index: SessionIndex, weighting: Weighting, scratch: KnnScratch, query: NDArray[np.uint32], wanted: Wanted
) -> Proposals:
    """Return what the nearest sessions propose for a query (product numbers, oldest first)."""
    count = collect(index, weighting, scratch, query)
    return best(scratch.candidates, count, wanted)


@kernel
def collect(index: SessionIndex, weighting: Weighting, scratch: KnnScratch, query: NDArray[np.uint32]) -> int:
    """Score every product of the nearest sessions into `scratch.candidates`; return how many there are."""
    candidates = scratch.candidates
    n_query = insert_query(candidates, query, len(weighting.by_place))
    n_found = find_sessions(index, weighting, scratch, n_query)
    n_nearest = keep_nearest(scratch, n_found, weighting.neighbours)
    n_votes = cast_votes(index, weighting, scratch, n_query, n_nearest)
    count = tally(candidates, n_query, scratch.votes, n_votes)
    for slot in range(count):
        candidates.scores[slot] *= index.rarity[candidates.products[slot]]
    if n_query > 0 and candidates.products[0] == query[-1]:
        candidates.scores[0] *= weighting.repeat
    return count


@kernel
def find_sessions(index: SessionIndex, weighting: Weighting, scratch: KnnScratch, n_query: int) -> int:
    """Collect the sessions that share a product with the query, with their similarities; return how many.

    The set of candidates holds the query's products, `n_query` of them; products beyond the index stand in no session.
    """
    offsets, postings, session_weights = index.posting_offsets, index.postings, index.session_weights
    slots, sessions, similarities = scratch.session_slots, scratch.sessions, scratch.similarity
    count = 0
    for place in range(n_query):
        product = scratch.candidates.products[place]
        if product >= len(index.rarity):
            continue
        weight = weighting.by_place[place] * index.rarity[product]
        for row in range(unsigned(offsets[product]), unsigned(offsets[product + 1])):
            session = postings[row]
            slot = unsigned(slots[session])
            if slot < count and sessions[slot] == session:
                similarities[slot] += weight
            else:
                slots[session] = count
                sessions[count] = session
                similarities[count] = weight
                count += 1
    kept = 0
    for found in range(unsigned(count)):
        similarity = similarities[found] * session_weights[sessions[found]]
        if similarity > 0.0:
            sessions[kept] = sessions[found]
            similarities[kept] = similarity
            kept += 1
    return kept


@kernel
def keep_nearest(scratch: KnnScratch, count: int, k: int) -> int:
    """Move the `k` nearest of the found sessions to the front; return how many there are.

    Of equally near sessions those found first stay: they share the newest product and are the newest themselves.
    """
    if count <= k:
        return count
    selection = scratch.selection[:count]
    selection[:] = scratch.similarity[:count]
    threshold = kth_largest(selection, k)
    ties = k - int(np.sum(scratch.similarity[:count] > threshold))
    return keep_above(scratch, count, threshold, ties)


@kernel
def keep_above(scratch: KnnScratch, count: int, threshold: float, ties: int) -> int:
    """Move the sessions that are nearer than a threshold, and the first `ties` at it, to the front; return how many."""
    sessions, similarities = scratch.sessions, scratch.similarity
    kept = 0
    for slot in range(count):
        similarity = similarities[slot]
        is_tie = similarity == threshold
        if similarity > threshold or (is_tie and ties > 0):
            ties -= is_tie
            sessions[kept] = sessions[slot]
            similarities[kept] = similarity
            kept += 1
    return kept


@kernel
def cast_votes(index: SessionIndex, weighting: Weighting, scratch: KnnScratch, n_query: int, n_nearest: int) -> int:
    """Let each near session vote for its products, by their distance from the newest one that the query shares.

    Written as one loop without calls for the reason given at `tally`. Returns the number of votes.
    """
    slots, shared = scratch.candidates.slots, scratch.candidates.products
    offsets, products, positions, by_distance = index.offsets, index.products, index.positions, weighting.by_distance
    sessions, similarity = scratch.sessions, scratch.similarity
    voted, amounts, evidence, steps = scratch.votes
    n_votes = 0
    for near in range(n_nearest):
        session, weight = sessions[near], similarity[near]
        first, end = offsets[session], offsets[session + 1]
        anchor = end - 1
        while anchor > first:
            slot = slots[products[anchor]]
            if slot < n_query and shared[slot] == products[anchor]:
                break
            anchor -= 1
        common, place = products[anchor], positions[anchor]
        for row in range(unsigned(first), unsigned(end)):
            step = positions[row] - place
            voted[n_votes] = products[row]
            steps[n_votes] = step
            amount = weight * by_distance[abs(step)]
            amounts[n_votes] = amount * weighting.revisit if row == anchor else amount
            evidence[n_votes] = common
            n_votes += 1
    return n_votes
