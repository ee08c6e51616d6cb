"""The hybrid: what every source says of a product, side by side, and trees that rank by all of it.

In three steps, so that the dear ones see few products: gather what the sources propose, choose the most promising by
the sum of what they say, describe and rank these.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.core.identifiers import NO_NUMBER
from active_customers.kernels import session_knn
from active_customers.kernels.candidate_set import CandidateSet, Votes, insert_query
from active_customers.kernels.embedding import session_vector
from active_customers.kernels.item_knn import Relation
from active_customers.kernels.jit import kernel
from active_customers.kernels.top_n import Wanted, top_n
from active_customers.kernels.trees import Forest, add_trees

KNN, KNN_AFTER, N_VOTES, STRONGEST = range(4)
"""What is gathered of near sessions: the sum of their votes, that of those which went on to the product, how many
voted, and the strongest of the votes."""
N_GATHERED = 4
"""Then two columns for each relation: the sum over the session's products, and the newest one's alone."""

N_KNN_FEATURES, N_RELATION_FEATURES, N_TASTE_FEATURES, N_SESSION_FEATURES, N_CONTEXT_FEATURES = 6, 5, 3, 3, 5


class HybridSources(NamedTuple):
    """What proposes and what is known, read-only.

    Row `r` of `by_place` weighs the i-th newest distinct product of the session in relation `r`, `blend` the sources
    (near sessions, then the relations) when the most promising are chosen; `facts` float32[n_products, f] is known of
    each product.
    """

    sessions: session_knn.SessionIndex
    knn: session_knn.Weighting
    relations: tuple[Relation, ...]
    by_place: NDArray[np.float64]
    blend: NDArray[np.float64]
    vectors: NDArray[np.float32]
    by_act: NDArray[np.float64]
    facts: NDArray[np.float32]


class Cascade(NamedTuple):
    """The trees, and what they look at: the first `first_trees` at all products, the others at the best `kept`."""

    forest: Forest
    first_trees: int
    kept: int


class HybridScratch(NamedTuple):
    """One thread's scratch memory: `gathered` has a row for each product that sources can propose in one question.

    `features` and `scores` have one for each product that is chosen.
    """

    knn: session_knn.KnnScratch
    gathered: NDArray[np.float32]
    features: NDArray[np.float32]
    scores: NDArray[np.float64]


@kernel
def propose(sources: HybridSources, scratch: HybridScratch, query: NDArray[np.uint32], n: int) -> NDArray[np.int64]:
    """Return the slots of the `n` most promising products, best first, described row by row in `scratch.features`.

    `query` holds product numbers, oldest first, all of them known.
    """
    n_query, count = gather(sources, scratch, query)
    slots = choose(sources, scratch, count, n)
    describe(sources, scratch, (query, n_query), slots)
    return slots


@kernel
def rank(
    sources: HybridSources, cascade: Cascade, scratch: HybridScratch, query: NDArray[np.uint32], n: int
) -> NDArray[np.int64]:
    """Return the slots of the most promising products in the order of the trees; their scores are in `scratch.scores`.

    All are ranked by the first trees, the best of them by all trees; the others stand behind, in their order.
    """
    slots = propose(sources, scratch, query, n)
    if len(cascade.forest.roots) == 0:
        for place in range(len(slots)):
            scratch.scores[place] = scratch.knn.candidates.scores[slots[place]]
        return slots
    features, scores = scratch.features, scratch.scores
    n_trees, first = len(cascade.forest.roots), min(cascade.first_trees, len(cascade.forest.roots))
    scores[: len(slots)] = 0.0
    add_trees(cascade.forest, (0, first), features, len(slots), scores)
    order = np.argsort(-scores[: len(slots)], kind="mergesort")
    n_best = min(cascade.kept, len(slots))
    best = order[:n_best]
    chosen = features[best]
    sums = scores[best]
    add_trees(cascade.forest, (first, n_trees), chosen, n_best, sums)
    again = np.argsort(-sums, kind="mergesort")
    below = min(0.0, sums[again[-1]] - scores[order[n_best]]) if n_best < len(slots) else 0.0
    rest = scores[order[n_best:]] + below
    scores[:n_best] = sums[again]
    scores[n_best : len(slots)] = rest
    order[:n_best] = best[again]
    return slots[order]


@kernel
def gather(sources: HybridSources, scratch: HybridScratch, query: NDArray[np.uint32]) -> tuple[int, int]:
    """Collect what sources say of every product that one of them proposes.

    Returns how many products of the session are used (slots 0, 1, ...), and how many slots there are.
    """
    knn, gathered, candidates = scratch.knn, scratch.gathered, scratch.knn.candidates
    n_query = insert_query(candidates, query, sources.by_place.shape[1])
    gathered[:n_query] = 0.0
    n_found = session_knn.find_sessions(sources.sessions, sources.knn, knn, min(n_query, len(sources.knn.by_place)))
    n_nearest = session_knn.keep_nearest(knn, n_found, sources.knn.neighbours)
    n_votes = session_knn.cast_votes(sources.sessions, sources.knn, knn, n_query, n_nearest)
    count = _tally(candidates, gathered, n_query, knn.votes, n_votes)
    for relation in range(len(sources.relations)):
        column = N_GATHERED + 2 * relation
        count = _add_relation(
            sources.relations[relation], sources.by_place[relation], candidates, gathered, (n_query, count, column)
        )
    return n_query, count


@kernel
def _tally(candidates: CandidateSet, gathered: NDArray[np.float32], count: int, votes: Votes, n_votes: int) -> int:
    """Add the votes of near sessions up, as `candidate_set.tally` does, in columns; return the new count."""
    slots, products, evidence = candidates.slots, candidates.products, candidates.evidence
    for vote in range(n_votes):
        product = votes.products[vote]
        slot = slots[product]
        if slot >= count or products[slot] != product:
            slot = count
            slots[product] = slot
            products[slot] = product
            evidence[slot] = NO_NUMBER
            gathered[slot, :] = 0.0
            count += 1
        amount = np.float32(votes.amounts[vote])
        gathered[slot, KNN] += amount
        gathered[slot, KNN_AFTER] += amount if votes.steps[vote] > 0 else np.float32(0.0)
        gathered[slot, N_VOTES] += np.float32(1.0)
        if amount > gathered[slot, STRONGEST]:
            gathered[slot, STRONGEST] = amount
            evidence[slot] = votes.evidence[vote]
    return count


@kernel
def _add_relation(
    relation: Relation,
    by_place: NDArray[np.float64],
    candidates: CandidateSet,
    gathered: NDArray[np.float32],
    where: tuple[int, int, int],
) -> int:
    """Add what the session's products are related to; `where` is (products of the session, slots, first column)."""
    slots, products, evidence = candidates.slots, candidates.products, candidates.evidence
    n_query, count, column = where
    for place in range(n_query):
        product = products[place]
        if product + 1 >= len(relation.offsets) or by_place[place] == 0.0:
            continue
        weight = np.float32(by_place[place])
        for row in range(relation.offsets[product], relation.offsets[product + 1]):
            other = relation.products[row]
            slot = slots[other]
            if slot >= count or products[slot] != other:
                slot = count
                slots[other] = slot
                products[slot] = other
                evidence[slot] = product
                gathered[slot, :] = 0.0
                count += 1
            elif evidence[slot] == NO_NUMBER:
                evidence[slot] = product
            gathered[slot, column] += weight * relation.weights[row]
            if place == 0:
                gathered[slot, column + 1] = relation.weights[row]
    return count


@kernel
def choose(sources: HybridSources, scratch: HybridScratch, count: int, n: int) -> NDArray[np.int64]:
    """Return the slots of the `n` most promising products: each source says at most its part of `blend`."""
    gathered, scores = scratch.gathered, scratch.knn.candidates.scores
    scores[:count] = 0.0
    for source in range(len(sources.blend)):
        column = KNN if source == 0 else N_GATHERED + 2 * (source - 1)
        best = np.float32(0.0)
        for slot in range(count):
            best = max(best, gathered[slot, column])
        if best > 0.0:
            factor = sources.blend[source] / best
            for slot in range(count):
                scores[slot] += factor * gathered[slot, column]
    return top_n(scratch.knn.candidates.products[:count], scores[:count], Wanted(n, np.empty(0, np.uint32)))


@kernel
def describe(
    sources: HybridSources,
    scratch: HybridScratch,
    asked: tuple[NDArray[np.uint32], int],
    slots: NDArray[np.int64],
) -> None:
    """Write what is known of the chosen products into the first rows of `scratch.features`."""
    gathered, features, candidates = scratch.gathered, scratch.features, scratch.knn.candidates
    query, n_query = asked
    _describe_sessions(gathered, features, slots)
    column = N_KNN_FEATURES
    for relation in range(len(sources.relations)):
        _describe_relation(gathered, features, slots, (N_GATHERED + 2 * relation, column))
        column += N_RELATION_FEATURES
    _describe_taste(sources, candidates.products, features, (query, slots), column)
    column += N_TASTE_FEATURES
    context = column + N_SESSION_FEATURES
    n_facts = sources.facts.shape[1]
    first_fact = context + N_CONTEXT_FEATURES
    longest = np.float32(len(query))
    repeats = np.float32(len(query) - n_query)
    newest_twice = np.float32(len(query) > 1 and query[-1] == query[-2])
    for place in range(len(slots)):
        slot = slots[place]
        product = candidates.products[slot]
        times, last = 0, 0
        if slot < n_query:
            for act in range(len(query)):
                if query[act] == product:
                    times += 1
                    last = len(query) - act
        features[place, column] = times
        features[place, column + 1] = last
        features[place, column + 2] = slot + 1 if slot < n_query else 0
        features[place, context] = longest
        features[place, context + 1] = n_query
        features[place, context + 2] = repeats
        features[place, context + 3] = newest_twice
        features[place, context + 4] = sources.facts[candidates.products[0], 0] if n_query > 0 else 0.0
        for fact in range(n_facts):
            features[place, first_fact + fact] = sources.facts[product, fact] if product < len(sources.facts) else 0.0


@kernel
def _describe_sessions(gathered: NDArray[np.float32], features: NDArray[np.float32], slots: NDArray[np.int64]) -> None:
    """Write what near sessions say: relative to the best, in full, what came after, votes, the strongest, the place."""
    best = np.float32(1e-30)
    values = np.empty(len(slots), np.float32)
    for place in range(len(slots)):
        values[place] = gathered[slots[place], KNN]
        best = max(best, values[place])
    for place in range(len(slots)):
        slot = slots[place]
        features[place, 0] = values[place] / best
        features[place, 1] = math.log(values[place] + np.float32(1e-3))
        features[place, 2] = gathered[slot, KNN_AFTER] / best
        features[place, 3] = gathered[slot, N_VOTES]
        features[place, 4] = gathered[slot, STRONGEST] / best
    _write_places(values, features, 5)


@kernel
def _describe_relation(
    gathered: NDArray[np.float32], features: NDArray[np.float32], slots: NDArray[np.int64], columns: tuple[int, int]
) -> None:
    """Write what a relation says: relative to the best and in full, the newest product's alone likewise, the place."""
    source, column = columns
    best, best_newest = np.float32(1e-30), np.float32(1e-30)
    values = np.empty(len(slots), np.float32)
    for place in range(len(slots)):
        values[place] = gathered[slots[place], source]
        best = max(best, values[place])
        best_newest = max(best_newest, gathered[slots[place], source + 1])
    for place in range(len(slots)):
        newest = gathered[slots[place], source + 1]
        features[place, column] = values[place] / best
        features[place, column + 1] = values[place]
        features[place, column + 2] = newest / best_newest
        features[place, column + 3] = newest
    _write_places(values, features, column + 4)


@kernel
def _describe_taste(
    sources: HybridSources,
    products: NDArray[np.uint32],
    features: NDArray[np.float32],
    asked: tuple[NDArray[np.uint32], NDArray[np.int64]],
    column: int,
) -> None:
    """Write how near each product's vector is to the session's and to the newest act's: cosines, and the place."""
    query, slots = asked
    vectors = sources.vectors
    session = session_vector(vectors, sources.by_act, query)
    newest = session_vector(vectors, sources.by_act, query[-1:])
    values = np.zeros(len(slots), np.float32)
    for place in range(len(slots)):
        product = products[slots[place]]
        near, near_newest = np.float32(0.0), np.float32(0.0)
        if product < len(vectors):
            for i in range(len(session)):
                near += session[i] * vectors[product, i]
                near_newest += newest[i] * vectors[product, i]
        values[place] = near
        features[place, column] = values[place]
        features[place, column + 1] = near_newest
    _write_places(values + np.float32(2.0), features, column + 2)


@kernel
def _write_places(values: NDArray[np.float32], features: NDArray[np.float32], column: int) -> None:
    """Write the place of each row by its value, the largest first; rows without a value share the last one."""
    order = np.argsort(-values)
    n_valued = 0
    for place in range(len(order)):
        row = order[place]
        n_valued += values[row] > 0.0
        features[row, column] = place if values[row] > 0.0 else n_valued
