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
from active_customers.kernels.session_knn import KnnScratch, Weighting, keep_nearest
from active_customers.kernels.shared_memory import load
from active_customers.kernels.top_n import Wanted

_SPREAD = 2654435769
"""Odd, near 2^32 divided by the golden ratio: neighbouring numbers land far apart (Knuth, TAOCP 3, 6.4)."""


class LiveWeighting(NamedTuple):
    """How much things count; all tables are positive.

    `knn` is that of the trained model, its `by_distance` at least `acts_kept` long. A session of `i` distinct products
    counts `by_length[i]` times, less by one e-fold for each `recency` (microseconds) of its age, and never less than
    `least`. A product counts `rarity[p]` times, beyond that array by its live counts. Sessions whose last act stands
    below log position `since` do not count.
    """

    knn: Weighting
    by_length: NDArray[np.float64]
    recency: float
    least: float
    rarity: NDArray[np.float32]
    since: int


class LiveScratch(NamedTuple):
    """One thread's scratch memory: that of the trained model, and copies of the acts of the nearest sessions.

    Row `i` of `acts` holds the first `lengths[i]` acts of the `i`-th one. `table` has a power of two of places, at
    least twice as many as sessions can be found.
    """

    knn: KnnScratch
    acts: NDArray[np.uint32]
    lengths: NDArray[np.int64]
    table: NDArray[np.uint32]


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
    n_found = find_sessions(live, weighting, scratch, n_query, asker.customer)
    n_nearest = keep_nearest(scratch.knn, n_found, weighting.knn.neighbours)
    n_votes = cast_votes(live, weighting.knn, scratch, n_query, (n_nearest, 0))
    count = tally(candidates, n_query, scratch.knn.votes, n_votes)
    _weigh_products(live, weighting, candidates, count)
    if n_query > 0 and candidates.products[0] == asker.query[-1]:
        candidates.scores[0] *= weighting.knn.repeat
    return count


@kernel
def find_sessions(live: LiveArrays, weighting: LiveWeighting, scratch: LiveScratch, n_query: int, customer: int) -> int:
    """Collect the sessions of others that share a product with the query, with their similarities; return how many."""
    n_found = _find_sessions(live, weighting, scratch, n_query)
    return _weigh_sessions(live, weighting, scratch, n_found, customer)


@kernel
def _rarity(n_sessions: int, stored: int) -> float:
    """Return 1 + ln(sessions / sessions with the product); the two may not fit each other, being read one by one."""
    return 1.0 + math.log(max(n_sessions / max(float(stored), 1.0), 1.0))


@kernel
def rarity_of(live: LiveArrays, product: int) -> float:
    """Return what a product that the trained model does not know counts; 1 for one that the index does not hold."""
    return _rarity(load(live.header, N_SESSIONS), load(live.stored, product)) if product < len(live.stored) else 1.0


@kernel
def _weigh_products(live: LiveArrays, weighting: LiveWeighting, candidates: CandidateSet, count: int) -> None:
    """Multiply scores with the rarity of products: the trained model's where it has one, else the live one."""
    for slot in range(count):
        product = candidates.products[slot]
        known = product < len(weighting.rarity)
        candidates.scores[slot] *= weighting.rarity[product] if known else rarity_of(live, product)


@kernel
def _find_sessions(live: LiveArrays, weighting: LiveWeighting, scratch: LiveScratch, n_query: int) -> int:
    """Collect the sessions that share a product with the query, with what these weigh; return how many.

    They are gathered in a small hash table, since an array of all sessions would not stay near the processor.
    """
    rings, length, rarity, n_ends = live.rings, live.ring_length, weighting.rarity, len(live.ends)
    n_sessions = load(live.header, N_SESSIONS)
    n_slots = min(len(live.records) // RECORD, len(live.products) // live.acts_kept)
    table, sessions, similarity = scratch.table, scratch.knn.sessions, scratch.knn.similarity
    mask = np.uint32(len(table) - 1)
    table[:] = 0
    count = 0
    for place in range(n_query):
        product = scratch.knn.candidates.products[place]
        if product >= n_ends:
            continue
        weight = weighting.knn.by_place[place]
        weight *= rarity[product] if product < len(rarity) else _rarity(n_sessions, load(live.stored, product))
        end = load(live.ends, product)
        row = (end & 0xFFFF) % length
        for _ in range(_n_new(live, weighting.since, product, end)):
            row = row - 1 if row > 0 else length - 1
            session = load(rings, product * length + row)
            if session >= n_slots:
                continue
            entry = (session * np.uint32(_SPREAD)) >> np.uint32(16) & mask
            while table[entry] > 0 and sessions[table[entry] - 1] != session:
                entry = (entry + np.uint32(1)) & mask
            if table[entry] > 0:
                similarity[table[entry] - 1] += weight
                continue
            sessions[count] = session
            similarity[count] = weight
            count += 1
            table[entry] = count
    return count


@kernel
def _n_new(live: LiveArrays, since: int, product: int, end: int) -> int:
    """Return how many of the newest sessions in a product's list the model has not learned from, by bisection.

    A list is in the order in which sessions took the product up, which is almost that of their last acts.
    """
    n_slots = len(live.records) // RECORD
    low, high = 0, min(end >> 16, live.ring_length)
    while low < high:
        middle = (low + high) // 2
        row = ((end & 0xFFFF) - 1 - middle + 2 * live.ring_length) % live.ring_length
        session = np.int64(load(live.rings, product * live.ring_length + row))
        if session < n_slots and load(live.records, session * RECORD + POSITION) >= since:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def _weigh_sessions(live: LiveArrays, weighting: LiveWeighting, scratch: LiveScratch, count: int, customer: int) -> int:
    """Multiply similarities with recency and damping of length; drop the sessions that do not count."""
    records, by_length = live.records, weighting.by_length
    sessions, similarity = scratch.knn.sessions, scratch.knn.similarity
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
def cast_votes(
    live: LiveArrays, weighting: Weighting, scratch: LiveScratch, n_query: int, counts: tuple[int, int]
) -> int:
    """Let each near session vote for its products, as in `kernels.session_knn`; return the number of votes.

    `counts` are how many sessions there are, and how many votes of others stand before theirs. One loop without calls:
    a call for every session would cost more than its votes, in reference counts of arrays.
    """
    n_nearest, n_votes = counts
    _copy_acts(live, scratch, n_nearest)
    acts_kept = live.acts_kept
    slots, shared, acts = scratch.knn.candidates.slots, scratch.knn.candidates.products, scratch.acts
    voted, amounts, evidence, steps = scratch.knn.votes
    lengths, similarity, by_distance = scratch.lengths, scratch.knn.similarity, weighting.by_distance
    for near in range(n_nearest):
        weight, first = similarity[near], near * acts_kept
        end = first + lengths[near]
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
                amount = weight * by_distance[abs(act - anchor)]
                voted[n_votes] = acts[act]
                steps[n_votes] = act - anchor
                amounts[n_votes] = amount * weighting.revisit if act == anchor else amount
                evidence[n_votes] = acts[anchor]
                n_votes += 1
    return n_votes
