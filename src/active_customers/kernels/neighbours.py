"""Nearest sessions as published: one loop for VS-kNN, STAN and VSTAN, which differ in what weighs how much."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.kernels.candidate_set import CandidateSet, insert, slot_of
from active_customers.kernels.jit import kernel
from active_customers.kernels.top_n import kth_largest


class StoredSessions(NamedTuple):
    """Sessions in order of time. Session `s` holds distinct `products[offsets[s]:offsets[s + 1]]`.

    `positions` are those of their last acts, ascending. Product `p` stands in the sessions
    `postings[posting_offsets[p]:posting_offsets[p + 1]]`. `days` float64[s] are the times of the last acts.
    """

    posting_offsets: NDArray[np.int64]
    postings: NDArray[np.uint32]
    offsets: NDArray[np.int64]
    products: NDArray[np.uint32]
    positions: NDArray[np.int64]
    days: NDArray[np.float64]


class Rule(NamedTuple):
    """What weighs how much.

    Of the sessions that share a product the `sample` newest are looked at, of these the `nearest` vote. A session's
    similarity fades by one e-fold in `fade_days` and is divided by the root of its length if `by_length`; its votes
    count `by_step[s]` times, `s` (from 1) being how far back in the query its newest shared product stands, and
    `by_distance[d]` times at `d` acts from that session's own newest shared product. `factors` float64[n] multiply
    products.
    """

    sample: int
    nearest: int
    fade_days: float
    by_length: bool
    by_step: NDArray[np.float64]
    by_distance: NDArray[np.float64]
    factors: NDArray[np.float64]


class NeighbourScratch(NamedTuple):
    """Scratch memory: a sparse set of sessions, and one of products."""

    slots: NDArray[np.int64]
    sessions: NDArray[np.int64]
    similarity: NDArray[np.float64]
    steps: NDArray[np.int64]
    candidates: CandidateSet


class Weighed(NamedTuple):
    """The query: distinct products, newest first; their weights; how far back their last acts stand, from 1; when."""

    products: NDArray[np.uint32]
    weights: NDArray[np.float64]
    steps: NDArray[np.int64]
    days: float


@kernel
def vote(stored: StoredSessions, rule: Rule, scratch: NeighbourScratch, query: Weighed) -> int:
    """Score the products of the nearest sessions into the candidates; return how many there are.

    Of equally near ones those found first vote: they share the newest product and are the newest themselves.
    """
    candidates = scratch.candidates
    n_query = 0
    for product in query.products:
        n_query = insert(candidates, n_query, product)
    n_found = _keep_newest(scratch, _find(stored, scratch, query), rule.sample)
    for slot in range(n_found):
        session = scratch.sessions[slot]
        age = max(query.days - stored.days[session], 0.0)
        similarity = scratch.similarity[slot] * math.exp(-age / rule.fade_days)
        length = stored.offsets[session + 1] - stored.offsets[session]
        scratch.similarity[slot] = similarity / math.sqrt(length) if rule.by_length else similarity
    threshold, ties = 0.0, n_found
    if n_found > rule.nearest:
        threshold = kth_largest(scratch.similarity[:n_found].copy(), rule.nearest)
        ties = rule.nearest - int(np.sum(scratch.similarity[:n_found] > threshold))
    count = n_query
    for slot in range(n_found):
        similarity = scratch.similarity[slot]
        if similarity > threshold or (similarity == threshold and ties > 0):
            ties -= similarity == threshold
            count = _vote_once(stored, rule, scratch, (slot, n_query, count))
    for slot in range(count):
        candidates.scores[slot] *= rule.factors[candidates.products[slot]]
    return count


@kernel
def _find(stored: StoredSessions, scratch: NeighbourScratch, query: Weighed) -> int:
    """Collect the sessions that share a product, with the weights of those they share; return how many."""
    count = 0
    for place in range(len(query.products)):
        product = query.products[place]
        for row in range(stored.posting_offsets[product], stored.posting_offsets[product + 1]):
            session = np.int64(stored.postings[row])
            slot = scratch.slots[session]
            if slot < count and scratch.sessions[slot] == session:
                scratch.similarity[slot] += query.weights[place]
                continue
            scratch.slots[session] = count
            scratch.sessions[count] = session
            scratch.similarity[count] = query.weights[place]
            scratch.steps[count] = query.steps[place]
            count += 1
    return count


@kernel
def _keep_newest(scratch: NeighbourScratch, count: int, sample: int) -> int:
    """Keep the newest sessions, which have the highest numbers; return how many."""
    if count <= sample:
        return count
    threshold = kth_largest(scratch.sessions[:count].astype(np.float64), sample)
    kept = 0
    for slot in range(count):
        if scratch.sessions[slot] >= threshold:
            scratch.sessions[kept] = scratch.sessions[slot]
            scratch.similarity[kept] = scratch.similarity[slot]
            scratch.steps[kept] = scratch.steps[slot]
            kept += 1
    return kept


@kernel
def _vote_once(stored: StoredSessions, rule: Rule, scratch: NeighbourScratch, where: tuple[int, int, int]) -> int:
    """Let the session in a slot vote; `where` is that slot, how many products are the query's, how many there are."""
    voter, n_query, count = where
    candidates, session = scratch.candidates, scratch.sessions[voter]
    first, end = stored.offsets[session], stored.offsets[session + 1]
    anchor = end - 1
    while slot_of(candidates, n_query, stored.products[anchor]) < 0:
        anchor -= 1
    amount = scratch.similarity[voter] * rule.by_step[min(scratch.steps[voter], len(rule.by_step) - 1)]
    for row in range(first, end):
        product = stored.products[row]
        slot = slot_of(candidates, count, product)
        if slot < 0:
            slot = count
            count = insert(candidates, count, product)
        distance = min(abs(stored.positions[row] - stored.positions[anchor]), len(rule.by_distance) - 1)
        vote_of_it = amount * rule.by_distance[distance]
        candidates.scores[slot] += vote_of_it
        if vote_of_it > candidates.strongest[slot]:
            candidates.strongest[slot] = vote_of_it
            candidates.evidence[slot] = stored.products[anchor]
    return count
