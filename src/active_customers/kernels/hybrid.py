"""The hybrid: what every source says of a product, side by side, and trees that rank by all of it.

In three steps, so that the dear ones see few products: gather what the sources propose, choose the most promising by
the sum of what they say, describe and rank these.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.core.event import EventType
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.recommendation import ReasonCode
from active_customers.kernels import session_knn
from active_customers.kernels.candidate_set import CandidateSet, Votes, insert_query
from active_customers.kernels.embedding import add_cosines, session_vector
from active_customers.kernels.item_knn import Relation
from active_customers.kernels.jit import kernel
from active_customers.kernels.top_n import Wanted, top_n
from active_customers.kernels.trees import Forest, add_trees

CONTENT, LINEAR, AFTER, BESIDE = range(4)
"""Relations of product to product: by what the catalogue says of them, by regression, by what came after, by what stood
in the same session. The later one has the word on evidence, so content speaks only where the history is silent."""
N_RELATIONS = 4

KNN, KNN_AFTER, N_VOTES, STRONGEST = range(4)
"""What is gathered of near sessions: the sum of their votes, that of those which went on to the product, how many
voted, and the strongest of the votes."""
FIRST_RELATION = 4
"""Then two columns for each relation: the sum over the session's products, and the newest one's alone."""
N_GATHERED = FIRST_RELATION + 2 * N_RELATIONS

_OF_SESSIONS, _OF_RELATION, _OF_TASTE, _OF_ACTS, _OF_CONTEXT = 6, 5, 3, 4, 7
N_FEATURES = _OF_SESSIONS + N_RELATIONS * _OF_RELATION + _OF_TASTE + _OF_ACTS + _OF_CONTEXT
"""What describes a product, beside the facts that are known of it by itself."""

_SILENT = 0.001
"""What the sum of all sources counts beside the share of the best one's votes, where there are no trees."""

MOST_RANKED = 1024
"""Products that are described, at most."""

STRENGTHS = np.zeros(256, np.float32)
"""How far each type of act goes towards buying."""
for _strength, _types in enumerate(
    (
        (EventType.VIEW, EventType.CLICK, EventType.EMAIL_CLICK, EventType.PUSH_CLICK),
        (EventType.WISHLIST_ADD,),
        (EventType.CART_ADD,),
        (EventType.PURCHASE,),
    ),
    1,
):
    STRENGTHS[list(_types)] = _strength

_SESSION, _TOGETHER = int(ReasonCode.SESSION), int(ReasonCode.VIEWED_TOGETHER)
_RELATED, _SIMILAR = int(ReasonCode.RELATED), int(ReasonCode.SIMILAR)


class Acts(NamedTuple):
    """What a customer did in a session, oldest first: product numbers and `EventType`s, [n] each."""

    products: NDArray[np.uint32]
    event_types: NDArray[np.uint8]


class HybridSources(NamedTuple):
    """What proposes and what is known, read-only.

    Row `r` of `by_place` weighs the i-th newest distinct product of the session in relation `r`, `blend` the sources
    (near sessions, then the relations) when the most promising are chosen; `facts` float32[n_products, f] is known of
    each product. Products may be missing from any of them.
    """

    sessions: session_knn.SessionIndex
    knn: session_knn.Weighting
    relations: tuple[Relation, ...]
    by_place: NDArray[np.float64]
    blend: NDArray[np.float64]
    vectors: NDArray[np.float32]
    by_act: NDArray[np.float64]
    facts: NDArray[np.float32]


class HybridScratch(NamedTuple):
    """One thread's scratch memory: `gathered` has a row for each product that sources can propose in one question.

    `columns` float32[features, `MOST_RANKED`] describes the chosen ones, `leaves` is for the trees, and the first of
    `scores` are the answer's.
    """

    knn: session_knn.KnnScratch
    gathered: NDArray[np.float32]
    columns: NDArray[np.float32]
    leaves: NDArray[np.uint32]
    scores: NDArray[np.float64]


@kernel
def rank(
    sources: HybridSources, forest: Forest, scratch: HybridScratch, acts: Acts, wanted: Wanted
) -> NDArray[np.int64]:
    """Return the slots of the `wanted.n` most promising products (at most `MOST_RANKED`) in the order of the trees.

    Their scores are in `scratch.scores`. Products of the acts that are in no source are passed over.
    """
    return order(forest, scratch, propose(sources, scratch, acts, wanted))


@kernel
def propose(sources: HybridSources, scratch: HybridScratch, acts: Acts, wanted: Wanted) -> NDArray[np.int64]:
    """Return the slots of the most promising products, the most promising first, described in `scratch.columns`."""
    n_query = insert_query(scratch.knn.candidates, acts.products, sources.by_place.shape[1])
    n_votes = _ask_sessions(sources, scratch.knn, n_query)
    count = count_votes(sources, scratch, acts, n_query, n_votes)
    return promising(sources, scratch, acts, (n_query, count), wanted)


@kernel
def _ask_sessions(sources: HybridSources, knn: session_knn.KnnScratch, n_query: int) -> int:
    """Let the nearest sessions vote; return the number of votes."""
    n_found = session_knn.find_sessions(sources.sessions, sources.knn, knn, min(n_query, len(sources.knn.by_place)))
    n_nearest = session_knn.keep_nearest(knn, n_found, sources.knn.neighbours)
    return session_knn.cast_votes(sources.sessions, sources.knn, knn, n_query, n_nearest)


@kernel
def count_votes(sources: HybridSources, scratch: HybridScratch, acts: Acts, n_query: int, n_votes: int) -> int:
    """Gather what near sessions voted for, once the acts' products are in the set; return how many slots there are.

    As in `session_knn` a product counts by its rarity (what the model does not know counts once), and that of the
    newest act as often as customers stay with one.
    """
    gathered, products, rarity = scratch.gathered, scratch.knn.candidates.products, sources.sessions.rarity
    gathered[:n_query] = 0.0
    count = _tally(scratch.knn.candidates, gathered, n_query, scratch.knn.votes, n_votes)
    for slot in range(count):
        if products[slot] < len(rarity):
            weigh_votes(gathered, slot, rarity[products[slot]])
    if n_query > 0 and products[0] == acts.products[-1]:
        weigh_votes(gathered, 0, sources.knn.repeat)
    return count


@kernel
def weigh_votes(gathered: NDArray[np.float32], slot: int, factor: float) -> None:
    """Multiply what near sessions say of a product."""
    for column in (KNN, KNN_AFTER, STRONGEST):
        gathered[slot, column] *= np.float32(factor)


@kernel
def promising(
    sources: HybridSources, scratch: HybridScratch, acts: Acts, counts: tuple[int, int], wanted: Wanted
) -> NDArray[np.int64]:
    """Do what `propose` does, once votes are counted; `counts` are the slots of the acts' products, and of all."""
    n_query, count = counts
    candidates, gathered = scratch.knn.candidates, scratch.gathered
    for relation in range(N_RELATIONS - 1, -1, -1):  # so that the evidence is what stood beside it, if anything did
        column = FIRST_RELATION + 2 * relation
        count = _add_relation(
            sources.relations[relation], sources.by_place[relation], candidates, gathered, (n_query, count, column)
        )
    slots = _choose(sources, scratch, count, wanted)
    _describe(sources, scratch, acts, n_query, slots)
    return slots


@kernel
def order(forest: Forest, scratch: HybridScratch, slots: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the described products' slots, best first.

    Scores are the trees' sums through the logistic function. Without trees near sessions decide, as they are the best
    source by far, and the sum of what all say where they are silent.
    """
    sums = np.zeros(len(slots))
    if len(forest.offsets) > 1:
        add_trees(forest, scratch.columns, scratch.leaves, sums)
        for row in range(len(slots)):
            sums[row] = 1.0 / (1.0 + math.exp(-min(max(sums[row], -30.0), 30.0)))
    else:
        for row in range(len(slots)):
            sums[row] = scratch.columns[0, row] + _SILENT * scratch.knn.candidates.scores[slots[row]]
    ordered = np.empty(len(slots), np.int64)
    for row in range(len(slots)):
        place = _place(sums, row)
        ordered[place] = slots[row]
        scratch.scores[place] = sums[row]
    return ordered


@kernel
def reason_of(scratch: HybridScratch, slot: int) -> int:
    """Return the `ReasonCode` that a product's evidence stands for."""
    gathered = scratch.gathered
    if gathered[slot, N_VOTES] > 0:
        return _SESSION
    beside, after = gathered[slot, FIRST_RELATION + 2 * BESIDE], gathered[slot, FIRST_RELATION + 2 * AFTER]
    if beside > 0 or after > 0:
        return _TOGETHER
    return _RELATED if gathered[slot, FIRST_RELATION + 2 * LINEAR] > 0 else _SIMILAR


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
def _choose(sources: HybridSources, scratch: HybridScratch, count: int, wanted: Wanted) -> NDArray[np.int64]:
    """Return the slots of the most promising products: each source says at most its part of `blend`."""
    gathered, scores = scratch.gathered, scratch.knn.candidates.scores
    best = np.zeros(1 + N_RELATIONS, np.float32)
    for slot in range(count):
        best[0] = max(best[0], gathered[slot, KNN])
        for relation in range(N_RELATIONS):
            best[1 + relation] = max(best[1 + relation], gathered[slot, FIRST_RELATION + 2 * relation])
    factors = np.zeros(len(best))
    for source in range(len(best)):
        factors[source] = sources.blend[source] / best[source] if best[source] > 0.0 else 0.0
    for slot in range(count):
        score = factors[0] * gathered[slot, KNN]
        for relation in range(N_RELATIONS):
            score += factors[1 + relation] * gathered[slot, FIRST_RELATION + 2 * relation]
        scores[slot] = score
    n = min(wanted.n, MOST_RANKED)
    return top_n(scratch.knn.candidates.products[:count], scores[:count], Wanted(n, wanted.excluded))


@kernel
def _describe(
    sources: HybridSources, scratch: HybridScratch, acts: Acts, n_query: int, slots: NDArray[np.int64]
) -> None:
    """Write what is known of the chosen products into the first places of `scratch.columns`."""
    gathered, columns, products = scratch.gathered, scratch.columns, scratch.knn.candidates.products
    _describe_sessions(gathered, columns, slots)
    first = _OF_SESSIONS
    for relation in range(N_RELATIONS):
        _describe_relation(gathered, columns, slots, (FIRST_RELATION + 2 * relation, first))
        first += _OF_RELATION
    _describe_taste(sources, products, columns, (acts.products, slots), first)
    first += _OF_TASTE
    _describe_acts(columns, acts, (products, n_query, slots), first)
    first += _OF_ACTS
    _describe_context(sources, columns, acts, (products, n_query, len(slots)), first)
    first += _OF_CONTEXT
    facts = sources.facts
    for place in range(len(slots)):
        product = products[slots[place]]
        for fact in range(facts.shape[1]):
            columns[first + fact, place] = facts[product, fact] if product < len(facts) else np.float32(0.0)


@kernel
def _describe_sessions(gathered: NDArray[np.float32], columns: NDArray[np.float32], slots: NDArray[np.int64]) -> None:
    """Write what near sessions say: relative to the best, in full, what came after, votes, the strongest, the place."""
    best = np.float32(1e-30)
    values = np.empty(len(slots), np.float32)
    for place in range(len(slots)):
        values[place] = gathered[slots[place], KNN]
        best = max(best, values[place])
    for place in range(len(slots)):
        slot = slots[place]
        columns[0, place] = values[place] / best
        columns[1, place] = math.log(values[place] + np.float32(1e-3))
        columns[2, place] = gathered[slot, KNN_AFTER] / best
        columns[3, place] = gathered[slot, N_VOTES]
        columns[4, place] = gathered[slot, STRONGEST] / best
    _write_places(values, columns[5])


@kernel
def _describe_relation(
    gathered: NDArray[np.float32], columns: NDArray[np.float32], slots: NDArray[np.int64], where: tuple[int, int]
) -> None:
    """Write what a relation says: relative to the best and in full, the newest product's alone likewise, the place."""
    source, first = where
    best, best_newest = np.float32(1e-30), np.float32(1e-30)
    values = np.empty(len(slots), np.float32)
    for place in range(len(slots)):
        values[place] = gathered[slots[place], source]
        best = max(best, values[place])
        best_newest = max(best_newest, gathered[slots[place], source + 1])
    for place in range(len(slots)):
        newest = gathered[slots[place], source + 1]
        columns[first, place] = values[place] / best
        columns[first + 1, place] = values[place]
        columns[first + 2, place] = newest / best_newest
        columns[first + 3, place] = newest
    _write_places(values, columns[first + 4])


@kernel
def _describe_taste(
    sources: HybridSources,
    products: NDArray[np.uint32],
    columns: NDArray[np.float32],
    asked: tuple[NDArray[np.uint32], NDArray[np.int64]],
    first: int,
) -> None:
    """Write how near each product's vector is to the session's and to the newest act's: cosines, and the place."""
    query, slots = asked
    session = session_vector(sources.vectors, sources.by_act, query)
    newest = session_vector(sources.vectors, sources.by_act, query[-1:])
    columns[first, : len(slots)] = 0.0
    columns[first + 1, : len(slots)] = 0.0
    chosen = products[slots]
    add_cosines(sources.vectors, chosen, session, columns[first])
    add_cosines(sources.vectors, chosen, newest, columns[first + 1])
    _write_places(columns[first, : len(slots)] + np.float32(2.0), columns[first + 2])


@kernel
def _describe_acts(
    columns: NDArray[np.float32],
    acts: Acts,
    chosen: tuple[NDArray[np.uint32], int, NDArray[np.int64]],
    first: int,
) -> None:
    """Write what was done with each product: how often, how many acts ago, its place from the newest, the most."""
    products, n_query, slots = chosen
    n_acts = len(acts.products)
    columns[first : first + _OF_ACTS, : len(slots)] = 0.0
    for place in range(len(slots)):
        slot = slots[place]
        if slot >= n_query:
            continue
        for act in range(n_acts):
            if acts.products[act] == products[slot]:
                columns[first, place] += 1
                columns[first + 1, place] = n_acts - act
                strength = STRENGTHS[acts.event_types[act]]
                columns[first + 3, place] = max(columns[first + 3, place], strength)
        columns[first + 2, place] = slot + 1


@kernel
def _describe_context(
    sources: HybridSources,
    columns: NDArray[np.float32],
    acts: Acts,
    counts: tuple[NDArray[np.uint32], int, int],
    first: int,
) -> None:
    """Write what is the same for all: how long and varied the session is, and what its newest act was."""
    products, n_query, n_chosen = counts
    n_acts = len(acts.products)
    known = n_query > 0 and products[0] < len(sources.facts)
    strongest = np.float32(0.0)
    for act in range(n_acts):
        strongest = max(strongest, STRENGTHS[acts.event_types[act]])
    columns[first, :n_chosen] = n_acts
    columns[first + 1, :n_chosen] = n_query
    columns[first + 2, :n_chosen] = n_acts - n_query
    columns[first + 3, :n_chosen] = n_acts > 1 and acts.products[-1] == acts.products[-2]
    columns[first + 4, :n_chosen] = sources.facts[products[0], 0] if known else np.float32(0.0)
    columns[first + 5, :n_chosen] = STRENGTHS[acts.event_types[-1]] if n_acts > 0 else np.float32(0.0)
    columns[first + 6, :n_chosen] = strongest


@kernel
def _write_places(values: NDArray[np.float32], column: NDArray[np.float32]) -> None:
    """Write the place of each row by its value, the largest first; rows without a value share the last one."""
    n_valued = np.sum(values > 0.0)
    for row in range(len(values)):
        column[row] = _place(values, row) if values[row] > 0.0 else n_valued


@kernel
def _place(values: NDArray[Any], row: int) -> int:
    """Return how many values come before a row's, the largest first, equal ones in their order.

    Counted anew for each row: for some tens of them that is many times faster than sorting.
    """
    value, before = values[row], 0
    for other in range(row):
        before += values[other] >= value
    for other in range(row + 1, len(values)):
        before += values[other] > value
    return before
