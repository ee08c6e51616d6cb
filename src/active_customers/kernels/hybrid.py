"""The hybrid: what every source says of a product, side by side, and trees that rank by all of it.

In three steps, so that the dear ones see few products: gather what the sources propose, choose the most promising by
the sum of what they say, describe and rank these.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.core.clock import DAY
from active_customers.core.event import EventType
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.recommendation import Goal, ReasonCode
from active_customers.kernels import session_knn
from active_customers.kernels.candidate_set import CandidateSet, Votes, insert_query
from active_customers.kernels.embedding import compare_both, session_vector
from active_customers.kernels.item_knn import Relation
from active_customers.kernels.jit import inlined_kernel, kernel, summing_kernel, unsigned
from active_customers.kernels.top_n import Wanted, top_n
from active_customers.kernels.trees import Forest, add_trees

CONTENT, LINEAR, AFTER, BESIDE = range(4)
"""Relations of product to product: by what the catalogue says of them, by regression, by what came after, by what stood
in the same session. The later one has the word on evidence, so content speaks only where the history is silent."""
N_RELATIONS = 4

KNN, OWN = range(2)
"""What the sources say stands first in what is gathered: the sum of near sessions' votes, at how many moments the
customer acted on it themselves."""
FIRST_SUM = 2
"""Then a column for each relation: the sum over the session's products."""
N_SAID = 8
"""These and empty ones: as many as a processor compares at once."""
KNN_AFTER, N_VOTES, STRONGEST = range(N_SAID, N_SAID + 3)
"""Of near sessions: the sum of the votes of those which went on to the product, how many voted, the strongest vote."""
FIRST_NEWEST = N_SAID + 3
"""What each relation says of the newest product alone."""
N_GATHERED = 16
"""The last one is empty: a row is what a processor fetches at once."""

_OF_SESSIONS, _OF_RELATION, _OF_TASTE, _OF_ACTS, _OF_CONTEXT = 7, 5, 3, 8, 7
N_FEATURES = _OF_SESSIONS + N_RELATIONS * _OF_RELATION + _OF_TASTE + _OF_ACTS + _OF_CONTEXT
"""What describes a product, beside the facts that are known of it by itself."""

MOST_OWN = 512
"""Products of a customer's acts that may come back, at most: the newest."""

GUESS = 6
"""The column of the first guess: the best source decides, and the sum of what all say where it is silent. Trees learn
what is wrong with it, so that few of them, or none, are no loss."""

_DECIDING = np.array([KNN, KNN, KNN, OWN, FIRST_SUM + BESIDE])
"""The column of the source that decides in the first guess, by `Goal`: near sessions within a visit, at the next one
what the customer acted on most often, and where only what is new is asked for what stood beside that."""
_MOST = np.array([1.0, 1.0, 1.0, 10.0, 10.0])
"""What it counts in the sum of all sources, each other at most 1."""

assert len(_DECIDING) == len(_MOST) == len(Goal)  # noqa: S101 - read by goal in kernels, which check no bounds

_SILENT = 0.001
"""What the sum of all sources counts in the first guess, beside the share of the best one's votes or moments."""
_LEAST = 0.01
"""The share of the best one's that none count as."""

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
_RETURN, _NEW = int(Goal.RETURN), int(Goal.NEW)


class Acts(NamedTuple):
    """What a customer did, oldest first: product numbers, `EventType`s and times in microseconds, [n] each.

    `goal` is what the answer is for. Where that is what is new, all these products are evidence, by how far each act
    went towards buying and not by how long ago it was, and none is a candidate: what comes next in a visit follows from
    its newest acts; what somebody will buy for the first time, from all that they ever bought.
    """

    products: NDArray[np.uint32]
    event_types: NDArray[np.uint8]
    times: NDArray[np.int64]
    goal: int


class Counts(NamedTuple):
    """How many slots there are: those of the products that sources are asked with, of all the acts' products, and all.

    Each are the first of the next.
    """

    asked: int
    own: int
    found: int


class HybridSources(NamedTuple):
    """What proposes and what is known, read-only.

    Row `r` of `by_place` weighs the i-th newest distinct product of the acts in relation `r`; `facts`
    float32[n_products, f] is known of each product. Products may be missing from any of them. `worth` float64[256]
    says by `EventType` what an act tells of what the customer will want for the first time.
    """

    sessions: session_knn.SessionIndex
    knn: session_knn.Weighting
    relations: tuple[Relation, ...]
    by_place: NDArray[np.float64]
    vectors: NDArray[np.float32]
    by_act: NDArray[np.float64]
    facts: NDArray[np.float32]
    worth: NDArray[np.float64]


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
    n_own = insert_query(scratch.knn.candidates, acts.products, MOST_OWN)
    n_asked = n_evidence(sources, acts, n_own)
    n_votes = _ask_sessions(sources, scratch.knn, n_asked)
    counts = count_votes(sources, scratch, acts, Counts(n_asked, n_own, n_own), n_votes)
    return promising(sources, scratch, acts, counts, wanted)


@kernel
def n_evidence(sources: HybridSources, acts: Acts, n_own: int) -> int:
    """Return how many of the acts' products the sources are asked with."""
    return n_own if acts.goal == _NEW else min(n_own, sources.by_place.shape[1])


@kernel
def _ask_sessions(sources: HybridSources, knn: session_knn.KnnScratch, n_query: int) -> int:
    """Let the nearest sessions vote; return the number of votes."""
    n_found = session_knn.find_sessions(sources.sessions, sources.knn, knn, min(n_query, len(sources.knn.by_place)))
    n_nearest = session_knn.keep_nearest(knn, n_found, sources.knn.neighbours)
    return session_knn.cast_votes(sources.sessions, sources.knn, knn, n_query, n_nearest)


@kernel
def count_votes(sources: HybridSources, scratch: HybridScratch, acts: Acts, counts: Counts, n_votes: int) -> Counts:
    """Gather the own acts and what near sessions voted for, once the acts' products are in the set; return the counts.

    As in `session_knn` a product counts by its rarity (what the model does not know counts once), and that of the
    newest act as often as customers stay with one.
    """
    gathered, products, rarity = scratch.gathered, scratch.knn.candidates.products, sources.sessions.rarity
    _remember(scratch.knn.candidates, gathered, acts, counts.own)
    count = _tally(scratch.knn.candidates, gathered, counts.own, scratch.knn.votes, n_votes)
    for slot in range(count):
        if products[slot] < len(rarity):
            weigh_votes(gathered, slot, rarity[products[slot]])
    if counts.own > 0 and products[0] == acts.products[-1]:
        weigh_votes(gathered, 0, sources.knn.repeat)
        gathered[0, OWN] *= np.float32(1.0 if acts.goal == _RETURN else sources.knn.repeat)
    return Counts(counts.asked, counts.own, count)


@kernel
def _remember(candidates: CandidateSet, gathered: NDArray[np.float32], acts: Acts, n_own: int) -> None:
    """Count the moments that each of the acts' products was acted on at; its evidence is itself."""
    gathered[:n_own] = 0.0
    moments = np.zeros(n_own, np.int64)
    for slot in range(n_own):
        candidates.evidence[slot] = candidates.products[slot]
    for act in range(len(acts.products)):
        product = acts.products[act]
        slot = candidates.slots[product] if product < len(candidates.slots) else n_own
        if slot < n_own and candidates.products[slot] == product:
            is_new = gathered[slot, OWN] == 0.0 or moments[slot] != acts.times[act]
            gathered[slot, OWN] += np.float32(is_new)
            moments[slot] = acts.times[act]


@kernel
def weigh_votes(gathered: NDArray[np.float32], slot: int, factor: float) -> None:
    """Multiply what near sessions say of a product."""
    for column in (KNN, KNN_AFTER, STRONGEST):
        gathered[slot, column] *= np.float32(factor)


@kernel
def promising(
    sources: HybridSources, scratch: HybridScratch, acts: Acts, counts: Counts, wanted: Wanted
) -> NDArray[np.int64]:
    """Do what `propose` does, once votes are counted."""
    counts = relate(sources, scratch, acts, counts)
    slots = choose(scratch, acts.goal, counts, wanted)
    describe(sources, scratch, acts, counts.own, slots)
    return slots


@inlined_kernel
def relate(sources: HybridSources, scratch: HybridScratch, acts: Acts, counts: Counts) -> Counts:
    """Gather what the products that sources are asked with are related to; return the counts with what that adds."""
    n_asked, n_own, count = counts
    candidates, gathered = scratch.knn.candidates, scratch.gathered
    for relation in range(N_RELATIONS - 1, -1, -1):  # so that the evidence is what stood beside it, if anything did
        weights = _by_worth(sources.worth, candidates, acts, n_own) if acts.goal == _NEW else sources.by_place[relation]
        count = _add_relation(sources.relations[relation], weights, candidates, gathered, (n_asked, count, relation))
    return Counts(n_asked, n_own, count)


@kernel
def _by_worth(worth: NDArray[np.float64], candidates: CandidateSet, acts: Acts, n_own: int) -> NDArray[np.float64]:
    """Return what each of the acts' products says by the most that was done with it."""
    weights = np.zeros(n_own)
    for act in range(len(acts.products)):
        product = acts.products[act]
        slot = candidates.slots[product] if product < len(candidates.slots) else n_own
        if slot < n_own and candidates.products[slot] == product:
            weights[slot] = max(weights[slot], worth[acts.event_types[act]])
    return weights


@kernel
def order(forest: Forest, scratch: HybridScratch, slots: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the described products' slots, best first.

    Scores are the first guess and the trees' sums through the logistic function.
    """
    sums = said(forest, scratch, len(slots))
    ordered = np.empty(len(slots), np.int64)
    for row in range(len(slots)):
        place = _place(sums, row)
        ordered[place] = slots[row]
        scratch.scores[place] = 1.0 / (1.0 + math.exp(-min(max(sums[row], -30.0), 30.0)))
    return ordered


@inlined_kernel
def said(forest: Forest, scratch: HybridScratch, n: int) -> NDArray[np.float64]:
    """Return the first guess and the trees' sums for the first `n` described products."""
    sums = np.empty(n)
    for row in range(n):
        sums[row] = scratch.columns[GUESS, row]
    add_trees(forest, scratch.columns, scratch.leaves, sums)
    return sums


@kernel
def reason_of(gathered: NDArray[np.float32], slot: int) -> int:
    """Return the `ReasonCode` that a product's evidence stands for, by `HybridScratch.gathered`.

    It takes one array: counting the references of a whole scratch memory for each product would cost more than this.
    """
    if gathered[slot, N_VOTES] > 0:
        return _SESSION
    beside, after = gathered[slot, FIRST_SUM + BESIDE], gathered[slot, FIRST_SUM + AFTER]
    if beside > 0 or after > 0:
        return _TOGETHER
    return _RELATED if gathered[slot, FIRST_SUM + LINEAR] > 0 else _SIMILAR


@kernel
def _tally(candidates: CandidateSet, gathered: NDArray[np.float32], count: int, votes: Votes, n_votes: int) -> int:
    """Add the votes of near sessions up, as `candidate_set.tally` does, in columns; return the new count."""
    slots, products, evidence = candidates.slots, candidates.products, candidates.evidence
    voted, amounts, given, steps = votes
    for vote in range(unsigned(n_votes)):
        product, amount = voted[vote], np.float32(amounts[vote])
        slot = unsigned(slots[product])
        if slot >= count or products[slot] != product:
            slot = unsigned(count)
            slots[product] = slot
            products[slot] = product
            evidence[slot] = NO_NUMBER
            gathered[slot, :] = 0.0
            count += 1
        gathered[slot, KNN] += amount
        gathered[slot, KNN_AFTER] += amount if steps[vote] > 0 else np.float32(0.0)
        gathered[slot, N_VOTES] += np.float32(1.0)
        strongest = gathered[slot, STRONGEST]
        is_strongest = amount > strongest  # without branches, which nobody could predict
        gathered[slot, STRONGEST] = amount if is_strongest else strongest
        evidence[slot] = given[vote] if is_strongest else evidence[slot]
    return count


@kernel
def _add_relation(
    relation: Relation,
    by_place: NDArray[np.float64],
    candidates: CandidateSet,
    gathered: NDArray[np.float32],
    where: tuple[int, int, int],
) -> int:
    """Add what the session's products are related to; `where` is (products of the session, slots, relation)."""
    slots, products, evidence = candidates.slots, candidates.products, candidates.evidence
    offsets, related, weights = relation.offsets, relation.products, relation.weights
    n_query, count, number = where
    said, alone = unsigned(FIRST_SUM + number), unsigned(FIRST_NEWEST + number)
    for place in range(n_query):
        product = products[place]
        if product + 1 >= len(offsets) or by_place[place] == 0.0:
            continue
        factor = np.float32(by_place[place])
        for row in range(unsigned(offsets[product]), unsigned(offsets[product + 1])):
            other, weight = related[row], weights[row]
            slot = unsigned(slots[other])
            if slot >= count or products[slot] != other:
                slot = unsigned(count)
                slots[other] = slot
                products[slot] = other
                evidence[slot] = product
                gathered[slot, :] = 0.0
                count += 1
            elif evidence[slot] == NO_NUMBER:
                evidence[slot] = product
            gathered[slot, said] += factor * weight
            if place == 0:
                gathered[slot, alone] = weight
    return count


@kernel
def choose(scratch: HybridScratch, goal: int, counts: Counts, wanted: Wanted) -> NDArray[np.int64]:
    """Return the slots of the most promising products, where the source that decides says most."""
    first, count = counts.own if goal == _NEW else 0, counts.found
    gathered, scores = scratch.gathered, scratch.knn.candidates.scores
    best = np.zeros(N_SAID, np.float32)
    scores[:first] = 0.0
    for slot in range(first, count):
        for column in range(N_SAID):
            best[column] = max(best[column], gathered[slot, column])
    factors = np.zeros(N_SAID, np.float32)
    for column in range(N_SAID):
        factors[column] = np.float32(1.0) / best[column] if best[column] > 0.0 else np.float32(0.0)
    factors[_DECIDING[goal]] *= np.float32(_MOST[goal])
    _add_up(gathered, factors, scores, (first, count))
    n = min(wanted.n, MOST_RANKED)
    return top_n(scratch.knn.candidates.products[:count], scores[:count], Wanted(n, wanted.excluded, wanted.standing))


@summing_kernel
def _add_up(
    gathered: NDArray[np.float32], factors: NDArray[np.float32], sums: NDArray[np.float64], slots: tuple[int, int]
) -> None:
    """Weigh what the sources say of each slot and add it up."""
    for slot in range(slots[0], slots[1]):
        total = np.float32(0.0)
        for column in range(N_SAID):
            total += factors[column] * gathered[slot, column]
        sums[slot] = total


@kernel
def describe(sources: HybridSources, scratch: HybridScratch, acts: Acts, n_own: int, slots: NDArray[np.int64]) -> None:
    """Write what is known of the chosen products into the first places of `scratch.columns`."""
    gathered, columns, products = scratch.gathered, scratch.columns, scratch.knn.candidates.products
    _describe_sessions(scratch, slots)
    _guess(scratch, slots, _DECIDING[acts.goal])
    first = _OF_SESSIONS
    for relation in range(N_RELATIONS):
        _describe_relation(gathered, columns, slots, (relation, first))
        first += _OF_RELATION
    _describe_taste(sources, products, columns, (acts.products, slots), first)
    first += _OF_TASTE
    _describe_acts(columns, acts, scratch, (n_own, slots), first)
    first += _OF_ACTS
    _describe_context(sources, columns, acts, (products, n_own, len(slots)), first)
    first += _OF_CONTEXT
    facts = sources.facts
    for place in range(len(slots)):
        product = products[slots[place]]
        for fact in range(facts.shape[1]):
            columns[first + fact, place] = facts[product, fact] if product < len(facts) else np.float32(0.0)


@kernel
def _describe_sessions(scratch: HybridScratch, slots: NDArray[np.int64]) -> None:
    """Write what near sessions say: relative to the best, in full, what came after, votes, the strongest, the place."""
    gathered, columns = scratch.gathered, scratch.columns
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
def _guess(scratch: HybridScratch, slots: NDArray[np.int64], column: int) -> None:
    """Write the first guess, in which what is gathered in one column decides."""
    gathered, guesses, totals = scratch.gathered, scratch.columns[GUESS], scratch.knn.candidates.scores
    best = np.float32(1e-30)
    for slot in slots:
        best = max(best, gathered[slot, column])
    for place in range(len(slots)):
        slot = slots[place]
        guesses[place] = math.log(_LEAST + gathered[slot, column] / best + _SILENT * totals[slot])


@kernel
def _describe_relation(
    gathered: NDArray[np.float32], columns: NDArray[np.float32], slots: NDArray[np.int64], where: tuple[int, int]
) -> None:
    """Write what a relation says: relative to the best and in full, the newest product's alone likewise, the place."""
    relation, first = where
    said, alone = FIRST_SUM + relation, FIRST_NEWEST + relation
    best, best_newest = np.float32(1e-30), np.float32(1e-30)
    values = np.empty(len(slots), np.float32)
    for place in range(len(slots)):
        values[place] = gathered[slots[place], said]
        best = max(best, values[place])
        best_newest = max(best_newest, gathered[slots[place], alone])
    for place in range(len(slots)):
        newest = gathered[slots[place], alone]
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
    compare_both(sources.vectors, products[slots], (session, newest), (columns[first], columns[first + 1]))
    _write_places(columns[first, : len(slots)] + np.float32(2.0), columns[first + 2])


@kernel
def _describe_acts(
    columns: NDArray[np.float32],
    acts: Acts,
    scratch: HybridScratch,
    chosen: tuple[int, NDArray[np.int64]],
    first: int,
) -> None:
    """Write what the customer did with each product.

    How often, how many acts ago, its place from the newest, the most that was done with it, at how many moments, how
    many days before the newest act, the mean days between its moments, and how many times these the last one is past.
    """
    n_own, slots = chosen
    candidates, gathered, n_acts = scratch.knn.candidates, scratch.gathered, len(acts.products)
    columns[first : first + _OF_ACTS, : len(slots)] = 0.0
    places = np.full(n_own, -1, np.int64)
    begun = np.zeros(n_own, np.int64)
    for place in range(len(slots)):
        if slots[place] < n_own:
            places[slots[place]] = place
    for act in range(n_acts):
        product = acts.products[act]
        slot = candidates.slots[product] if product < len(candidates.slots) else n_own
        if slot >= n_own or candidates.products[slot] != product or places[slot] < 0:
            continue
        place = places[slot]
        begun[slot] = acts.times[act] if columns[first, place] == 0.0 else begun[slot]
        columns[first, place] += 1
        columns[first + 1, place] = n_acts - act
        columns[first + 2, place] = slot + 1
        columns[first + 3, place] = max(columns[first + 3, place], STRENGTHS[acts.event_types[act]])
        moments = gathered[slot, OWN]
        columns[first + 4, place] = moments
        columns[first + 5, place] = (acts.times[n_acts - 1] - acts.times[act]) / DAY
        gap = (acts.times[act] - begun[slot]) / DAY / max(moments - 1.0, 1.0)
        columns[first + 6, place] = gap
        columns[first + 7, place] = columns[first + 5, place] / gap if gap > 0.0 else np.float32(0.0)


@kernel
def _describe_context(
    sources: HybridSources,
    columns: NDArray[np.float32],
    acts: Acts,
    counts: tuple[NDArray[np.uint32], int, int],
    first: int,
) -> None:
    """Write what is the same for all: how long and varied the session is, and what its newest act was."""
    products, n_own, n_chosen = counts
    n_acts = len(acts.products)
    known = n_own > 0 and products[0] < len(sources.facts)
    strongest = np.float32(0.0)
    for act in range(n_acts):
        strongest = max(strongest, STRENGTHS[acts.event_types[act]])
    columns[first, :n_chosen] = n_acts
    columns[first + 1, :n_chosen] = n_own
    columns[first + 2, :n_chosen] = n_acts - n_own
    columns[first + 3, :n_chosen] = n_acts > 1 and acts.products[-1] == acts.products[-2]
    columns[first + 4, :n_chosen] = sources.facts[products[0], 0] if known else np.float32(0.0)
    columns[first + 5, :n_chosen] = STRENGTHS[acts.event_types[-1]] if n_acts > 0 else np.float32(0.0)
    columns[first + 6, :n_chosen] = strongest


@kernel
def _write_places(values: NDArray[np.float32], column: NDArray[np.float32]) -> None:
    """Write the place of each row by its value, the largest first; rows without a value share the last one."""
    n_valued = 0
    for row in range(len(values)):
        n_valued += values[row] > 0.0
    for row in range(len(values)):
        column[row] = _place(values, row) if values[row] > 0.0 else n_valued


@kernel
def _place(values: NDArray[Any], row: int) -> int:
    """Return how many values come before a row's, the largest first, equal ones in their order.

    Counted anew for each row: for some tens of them that is many times faster than sorting. Counts are as wide as the
    values, so that a processor compares as many at once as it can hold.
    """
    value, larger, equal = values[row], np.int32(0), np.int32(0)
    for other in range(len(values)):
        larger = np.int32(larger + np.int32(values[other] > value))
    for other in range(row):
        equal = np.int32(equal + np.int32(values[other] == value))
    return int(larger) + int(equal)
