"""Nearest sessions of the live index: `kernels.session_knn` over arrays that change while they are read.

Whatever the writer is doing: no number that was read is used as an index before it was checked against the array;
a session's acts are copied, and the copy is used only if its version did not change meanwhile; a session that turns out
not to hold a product of the query is passed over. So an answer may miss what moved under it, and nothing worse.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.kernels.candidate_set import CandidateSet, Proposals, best, insert_query, tally
from active_customers.kernels.jit import kernel
from active_customers.kernels.live_index import (
    N_SESSIONS,
    NEWEST,
    POSITION,
    RECORD,
    SIZES,
    TIME,
    VERSION,
    LiveArrays,
)
from active_customers.kernels.session_knn import KnnScratch, Weighting, _keep_nearest
from active_customers.kernels.shared_memory import load
from active_customers.kernels.top_n import Wanted


class LiveWeighting(NamedTuple):
    """How much things count; all tables are positive.

    `knn` is that of the trained model, its `by_distance` at least `acts_kept` long. A session of `i` distinct products
    counts `by_length[i]` times, less by one e-fold for each `recency` (microseconds) of its age, and never less than
    `least`. A product counts `rarity[p]` times, beyond that array by its live counts. Sessions whose last act stands
    below log position `since` are passed over.
    """

    knn: Weighting
    by_length: NDArray[np.float64]
    recency: float
    least: float
    rarity: NDArray[np.float32]
    since: int


class LiveScratch(NamedTuple):
    """One thread's scratch memory: that of the trained model, and copies of the acts of the nearest sessions.

    Row `i` of `acts` holds the first `lengths[i]` acts of the `i`-th one.
    """

    knn: KnnScratch
    acts: NDArray[np.uint32]
    lengths: NDArray[np.int64]


class Asker(NamedTuple):
    """The query (product numbers, oldest first), and the customer whose own sessions do not count."""

    query: NDArray[np.uint32]
    customer: int


@kernel
def recommend(
    live: LiveArrays, weighting: LiveWeighting, scratch: LiveScratch, asker: Asker, wanted: Wanted
) -> Proposals:
    """Return what the nearest live sessions of other customers propose."""
    count = collect(live, weighting, scratch, asker)
    return best(scratch.knn.candidates, count, wanted)


@kernel
def collect(live: LiveArrays, weighting: LiveWeighting, scratch: LiveScratch, asker: Asker) -> int:
    """Score every product of the nearest sessions into the scratch memory's candidates; return how many there are."""
    candidates = scratch.knn.candidates
    n_query = insert_query(candidates, asker.query, len(weighting.knn.by_place))
    n_found = _find_sessions(live, weighting, scratch.knn, n_query, asker.customer)
    n_nearest = _keep_nearest(scratch.knn, n_found, weighting.knn.neighbours)
    _copy_acts(live, scratch, n_nearest)
    n_votes = _cast_votes(live.acts_kept, weighting.knn, scratch, n_query, n_nearest)
    count = tally(candidates, n_query, scratch.knn.votes, n_votes)
    _weigh_products(live, weighting.rarity, candidates, count)
    if n_query > 0 and candidates.products[0] == asker.query[-1]:
        candidates.scores[0] *= weighting.knn.repeat
    return count


@kernel
def _rarity(n_sessions: int, stored: int) -> float:
    """Return 1 + ln(sessions / sessions with the product); the two may not fit each other, being read one by one."""
    return 1.0 + math.log(max(n_sessions / max(float(stored), 1.0), 1.0))


@kernel
def _weigh_products(live: LiveArrays, rarity: NDArray[np.float32], candidates: CandidateSet, count: int) -> None:
    """Multiply scores with the rarity of products: the trained model's where it has one, else the live one."""
    products, scores, stored = candidates.products, candidates.scores, live.stored
    n_sessions = load(live.header, N_SESSIONS)
    for slot in range(count):
        product = products[slot]
        known = product < len(rarity)
        scores[slot] *= rarity[product] if known else _rarity(n_sessions, load(stored, product))


@kernel
def _find_sessions(live: LiveArrays, weighting: LiveWeighting, scratch: KnnScratch, n_query: int, customer: int) -> int:
    """Collect the sessions that share a product with the query, with their similarities; return how many."""
    rings, length, rarity = live.rings, live.ring_length, weighting.rarity
    n_sessions = load(live.header, N_SESSIONS)
    n_slots = min(len(live.records) // RECORD, len(live.products) // live.acts_kept)
    session_slots, sessions, similarity = scratch.session_slots, scratch.sessions, scratch.similarity
    count = 0
    for place in range(n_query):
        product = scratch.candidates.products[place]
        known = product < len(rarity)
        weight = weighting.knn.by_place[place]
        weight *= rarity[product] if known else _rarity(n_sessions, load(live.stored, product))
        end = load(live.ends, product)
        row = (end & 0xFFFF) % length
        for _ in range(min(end >> 16, length)):
            row = row - 1 if row > 0 else length - 1
            session = load(rings, product * length + row)
            if session >= n_slots:
                continue
            slot = session_slots[session]
            if slot < count and sessions[slot] == session:
                similarity[slot] += weight
                continue
            session_slots[session] = count
            sessions[count] = session
            similarity[count] = weight
            count += 1
    return _weigh_sessions(live, weighting, scratch, count, customer)


@kernel
def _weigh_sessions(live: LiveArrays, weighting: LiveWeighting, scratch: KnnScratch, count: int, customer: int) -> int:
    """Multiply similarities with recency and damping of length; drop the sessions that do not count."""
    records, by_length = live.records, weighting.by_length
    sessions, similarity = scratch.sessions, scratch.similarity
    newest = load(live.header, NEWEST)
    kept = 0
    for slot in range(count):
        record = np.int64(sessions[slot]) * RECORD
        sizes = load(records, record + SIZES)
        n_distinct = (sizes >> 16) & 0xFFFF
        is_own = (sizes >> 32) & 0xFFFFFFFF == customer
        if is_own or not 0 < n_distinct < len(by_length) or load(records, record + POSITION) < weighting.since:
            continue
        age = max(newest - load(records, record + TIME), 0)
        weight = max(math.exp(-age / weighting.recency) * by_length[n_distinct], weighting.least)
        sessions[kept] = sessions[slot]
        similarity[kept] = similarity[slot] * weight
        kept += 1
    return kept


@kernel
def _copy_acts(live: LiveArrays, scratch: LiveScratch, n_nearest: int) -> None:
    """Copy the acts of the near sessions; none of those that are changing right now."""
    records, products, acts_kept = live.records, live.products, live.acts_kept
    sessions, acts, lengths = scratch.knn.sessions, scratch.acts, scratch.lengths
    for near in range(n_nearest):
        session = np.int64(sessions[near])
        version = load(records, session * RECORD + VERSION)
        n_acts = min(load(records, session * RECORD + SIZES) & 0xFFFF, acts_kept)
        for act in range(n_acts):
            acts[near * acts_kept + act] = load(products, session * acts_kept + act)
        is_whole = version & 1 == 0 and load(records, session * RECORD + VERSION) == version
        lengths[near] = n_acts if is_whole else 0


@kernel
def _cast_votes(acts_kept: int, weighting: Weighting, scratch: LiveScratch, n_query: int, n_nearest: int) -> int:
    """Let each near session vote for its products, as in `kernels.session_knn`; return the number of votes.

    One loop without calls: a call for every session would cost more than its votes, in reference counts of arrays.
    """
    slots, shared, acts = scratch.knn.candidates.slots, scratch.knn.candidates.products, scratch.acts
    voted, amounts, evidence = scratch.knn.votes
    n_votes = 0
    for near in range(n_nearest):
        first = near * acts_kept
        end = first + scratch.lengths[near]
        anchor = end - 1
        while anchor >= first:
            product = acts[anchor]
            if product < len(slots) and slots[product] < n_query and shared[slots[product]] == product:
                break
            anchor -= 1
        if anchor < first:
            continue
        for act in range(first, end):
            if acts[act] < len(slots):
                amount = scratch.knn.similarity[near] * weighting.by_distance[abs(act - anchor)]
                voted[n_votes] = acts[act]
                amounts[n_votes] = amount * weighting.revisit if act == anchor else amount
                evidence[n_votes] = acts[anchor]
                n_votes += 1
    return n_votes
