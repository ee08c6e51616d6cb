"""From a customer's state to an answer in one call: every source in turn, until there are enough products.

One call, because a call from Python costs as much as a source does. What each source computes stands in its own file.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.recommendation import Goal, ReasonCode
from active_customers.core.session import State
from active_customers.kernels import hybrid, item_knn, live_knn, session_knn
from active_customers.kernels.answer_rows import Rows
from active_customers.kernels.candidate_set import CandidateSet, insert_query
from active_customers.kernels.context import Weights, weigh
from active_customers.kernels.evidence import count_evidence
from active_customers.kernels.jit import inlined_kernel, kernel
from active_customers.kernels.live_index import LiveArrays
from active_customers.kernels.state_sections import Numbers, StateSections, read_sections
from active_customers.kernels.top_n import ALL_OPEN, Wanted, is_closed, is_excluded, kth_largest, top_n
from active_customers.kernels.trees import Forest

_REVISIT = int(ReasonCode.REVISIT)
_RETURN, _NEW = int(Goal.RETURN), int(Goal.NEW)
_BOUGHT_TOGETHER = int(ReasonCode.BOUGHT_TOGETHER)

_LEAST_SHARE = 0.1
"""Of a source's best score, what its weakest product has at least: so that the next source still has room below."""
STEP_DOWN = 0.99
"""The best product of a source, as a share of the last one of the source before it."""


class Ranking(NamedTuple):
    """Products that suit anybody, best first: n products with their scores and `ReasonCode`s."""

    products: NDArray[np.uint32]
    scores: NDArray[np.float32]
    reasons: NDArray[np.uint8]


class Sources(NamedTuple):
    """Everything that proposes products, read-only.

    `forests` rank by `Goal`, `n_ranked` products at least; `alike` weighs the products of a cart. `weights` are what
    the hour says of products; what is `popular` is in the order that they give it.
    """

    hybrid: hybrid.HybridSources
    forests: tuple[Forest, ...]
    n_ranked: int
    live: LiveArrays
    weighting: live_knn.LiveWeighting
    bought: item_knn.Relation
    alike: NDArray[np.float64]
    popular: Ranking
    weights: Weights


class Voting(NamedTuple):
    """Who voted: near sessions of the model and of the live index, how many votes are the model's, and how many all."""

    trained: int
    live: int
    trained_votes: int
    votes: int


class Scratch(NamedTuple):
    """One thread's memory. The sources collect in the same candidate set, one after the other."""

    hybrid: hybrid.HybridScratch
    live: live_knn.LiveScratch
    relation: item_knn.RelationScratch
    rows: Rows


class Asked(NamedTuple):
    """What is asked beside the state: product numbers in any order, and how many answers.

    `products` are on the page. `excluded` must not come back; of what was bought, only `replenishable` may.
    `last_is_page` says that the page is that of the customer's newest act, `is_cart` that what goes with the cart comes
    first; `goal` is what the answer is for. Sessions of `customer` (`NO_NUMBER` for a stranger) are no news to them.
    `is_late` leaves only time for what is popular. `standing` is what `Wanted` goes by, at this moment. Where a page is
    to be chosen from more products, `pool` says how many.
    """

    n: int
    now: int
    customer: int
    last_is_page: bool
    is_cart: bool
    goal: int
    is_late: bool
    products: Numbers
    excluded: Numbers
    replenishable: Numbers
    standing: NDArray[np.uint8] = ALL_OPEN
    pool: int = 0


@kernel
def retrieve(handed: Any, state: State, asked: Asked) -> int:
    """Fill `scratch.rows` with at most `asked.n` products, or `asked.pool` if that is more; return how many there are.

    What is handed over (see `handover`) are the sources and one thread's scratch memory. On cart pages what is bought
    together comes first, then as elsewhere what the hybrid ranks; what is popular follows.
    """
    sources, scratch = handed.content
    sections = read_sections(state, asked.products, asked.now, _of_all_sessions(asked))
    wanted = Wanted(max(asked.n, asked.pool), _excluded(sections, asked), asked.standing)
    candidates, rows = scratch.relation.candidates, scratch.rows
    size = 0
    if asked.is_cart and len(sections.cart) > 0 and not asked.is_late:
        count = item_knn.collect(sources.bought, sources.alike, scratch.relation, sections.cart)
        size = _take(rows, size, (candidates, count), wanted, _BOUGHT_TOGETHER)
    if len(sections.products) > 0 and size < wanted.n and not asked.is_late:
        ranked = _ranked(sources, scratch.hybrid, scratch.live, (sections, asked), wanted)
        size = _take_slots(rows, size, scratch.hybrid, ranked, wanted.n)
    size = _take_ranked(rows, size, sources.popular, wanted)
    count_evidence(rows, size, scratch.hybrid, (sources.hybrid.relations, sources.bought), sections.products)
    return size


@kernel
def kept_out(state: State, asked: Asked) -> Numbers:
    """Return what must not be in the answer, ascending."""
    return _excluded(read_sections(state, asked.products, asked.now, _of_all_sessions(asked)), asked)


@kernel
def _of_all_sessions(asked: Asked) -> bool:
    """Whether what the customer did in earlier sessions counts, too."""
    return asked.goal in (_RETURN, _NEW)


@kernel
def _excluded(sections: StateSections, asked: Asked) -> Numbers:
    """Return what is in the cart, hidden, bought for good, on the page or excluded by the shop, ascending.

    Where only what is new is asked for, all that the customer acted on, too.
    """
    only_new = asked.goal == _NEW
    page = sections.products[-1:] if asked.last_is_page else asked.products
    page = sections.products if only_new else page
    n_most = len(sections.cart) + len(sections.hidden) + len(sections.bought) + len(page) + len(asked.excluded)
    excluded = np.empty(n_most, np.uint32)
    size = 0
    for group in (sections.cart, sections.hidden, page, asked.excluded):
        for product in group:
            excluded[size] = product
            size += 1
    for product in sections.bought:
        if only_new or not np.any(asked.replenishable == product):
            excluded[size] = product
            size += 1
    excluded = excluded[:size]
    excluded.sort()
    return excluded


@kernel
def _ranked(
    sources: Sources,
    scratch: hybrid.HybridScratch,
    live: live_knn.LiveScratch,
    about: tuple[StateSections, Asked],
    wanted: Wanted,
) -> NDArray[np.int64]:
    """Rank what the hybrid proposes; return the slots, best first.

    The nearest sessions of those the model was trained on and of those since vote in one set, with the weights of one
    model: as if the newest ones had been in its index.
    """
    acts, counts, _ = gather(sources, scratch, live, about)
    asked = about[1]
    n_ranked = max(sources.n_ranked, asked.n)  # a larger pool costs no more trees
    slots = hybrid.promising(sources.hybrid, scratch, acts, counts, Wanted(n_ranked, wanted.excluded, wanted.standing))
    ordered = hybrid.order(sources.forests[asked.goal], scratch, slots)
    weigh(ordered, scratch.scores, scratch.knn.candidates.products, sources.weights)
    return ordered


@inlined_kernel
def gather(
    sources: Sources, scratch: hybrid.HybridScratch, live: live_knn.LiveScratch, about: tuple[StateSections, Asked]
) -> tuple[hybrid.Acts, hybrid.Counts, Voting]:
    """Let near sessions vote; return the acts that are asked about, the counts so far, and who voted."""
    sections, asked = about
    trained, weighting = scratch.knn, sources.weighting
    knn = weighting.knn
    acts = hybrid.Acts(sections.products, sections.event_types, sections.times, asked.goal)
    n_own = insert_query(trained.candidates, sections.products, hybrid.MOST_OWN)
    n_query = hybrid.n_evidence(sources.hybrid, acts, n_own)
    n_shared = min(n_query, len(knn.by_place))
    n_trained = session_knn.find_sessions(sources.hybrid.sessions, knn, trained, n_shared)
    n_live = live_knn.find_sessions(sources.live, weighting, live, n_shared, asked.customer)
    n_trained, n_live = _keep_nearest(trained, live.knn, (n_trained, n_live), knn.neighbours)
    n_before = session_knn.cast_votes(sources.hybrid.sessions, knn, trained, n_query, n_trained)
    n_votes = live_knn.cast_votes(sources.live, knn, live, n_query, (n_live, n_before))
    counts = hybrid.count_votes(sources.hybrid, scratch, acts, hybrid.Counts(n_query, n_own, n_own), n_votes)
    for slot in range(counts.found):
        product = trained.candidates.products[slot]
        if product >= len(weighting.rarity):
            hybrid.weigh_votes(scratch.gathered, slot, live_knn.rarity_of(sources.live, product))
    return acts, counts, Voting(n_trained, n_live, n_before, n_votes)


@kernel
def _keep_nearest(
    trained: session_knn.KnnScratch, live: session_knn.KnnScratch, counts: tuple[int, int], k: int
) -> tuple[int, int]:
    """Keep the `k` nearest sessions of both kinds; return how many of each. Of equally near ones the live ones stay."""
    n_trained, n_live = counts
    if n_trained + n_live <= k:
        return n_trained, n_live
    selection = trained.selection[: n_trained + n_live]
    selection[:n_trained] = trained.similarity[:n_trained]
    selection[n_trained:] = live.similarity[:n_live]
    threshold = kth_largest(selection, k)
    ties = k - int(np.sum(selection > threshold))
    kept = session_knn.keep_above(live, n_live, threshold, ties)
    ties_left = max(ties - int(np.sum(live.similarity[:kept] == threshold)), 0)
    return session_knn.keep_above(trained, n_trained, threshold, ties_left), kept


@kernel
def _take(rows: Rows, size: int, found: tuple[CandidateSet, int], wanted: Wanted, reason: int) -> int:
    """Add a source's best products that are not there yet, with scores below those already chosen; return the new size.

    Its best one gets the least score so far (1 to begin with), the others their share of that: so scores fall through
    the whole answer.
    """
    candidates, count = found
    top, best, first = _below(rows, size), 0.0, size
    for slot in top_n(candidates.products[:count], candidates.scores[:count], wanted):
        product = candidates.products[slot]
        if size == wanted.n:
            break
        if _is_shown(rows.products, first, product):
            continue
        if best == 0.0:
            best = candidates.scores[slot]
        evidence = candidates.evidence[slot]
        rows.products[size] = product
        rows.scores[size] = top * (_LEAST_SHARE + (1.0 - _LEAST_SHARE) * candidates.scores[slot] / best)
        rows.reasons[size] = _REVISIT if evidence == product else reason
        rows.evidence[size] = evidence
        size += 1
    return size


@kernel
def _take_slots(rows: Rows, size: int, scratch: hybrid.HybridScratch, ranked: NDArray[np.int64], n: int) -> int:
    """Add what the hybrid ranked, as `_take` does what a source scored; return the new size."""
    candidates, top, best, first = scratch.knn.candidates, _below(rows, size), 0.0, size
    for place in range(len(ranked)):
        product = candidates.products[ranked[place]]
        if size == n:
            break
        if _is_shown(rows.products, first, product):
            continue
        if best == 0.0:
            best = scratch.scores[place]
        evidence = candidates.evidence[ranked[place]]
        rows.products[size] = product
        rows.scores[size] = top * (_LEAST_SHARE + (1.0 - _LEAST_SHARE) * scratch.scores[place] / best)
        rows.reasons[size] = _REVISIT if evidence == product else hybrid.reason_of(scratch.gathered, ranked[place])
        rows.evidence[size] = evidence
        size += 1
    return size


@kernel
def _take_ranked(rows: Rows, size: int, ranking: Ranking, wanted: Wanted) -> int:
    """Fill up with what is popular; return the new size."""
    top, best, first = _below(rows, size), 0.0, size
    for place in range(len(ranking.products)):
        if size == wanted.n:
            break
        product = ranking.products[place]
        if is_closed(product, wanted.standing) or is_excluded(product, wanted.excluded):
            continue
        if _is_shown(rows.products, first, product):
            continue
        if best == 0.0:
            best = ranking.scores[place]
        rows.products[size] = product
        rows.scores[size] = top * (_LEAST_SHARE + (1.0 - _LEAST_SHARE) * ranking.scores[place] / best)
        rows.reasons[size] = ranking.reasons[place]
        rows.evidence[size] = NO_NUMBER
        size += 1
    return size


@kernel
def _is_shown(products: NDArray[np.int64], size: int, product: int) -> bool:
    row = 0
    while row < size and products[row] != product:
        row += 1
    return row < size


@kernel
def _below(rows: Rows, size: int) -> float:
    """Return the score that the next product may have at most: 1 for the first, then less than all before it."""
    return rows.scores[size - 1] * STEP_DOWN if size > 0 else 1.0
