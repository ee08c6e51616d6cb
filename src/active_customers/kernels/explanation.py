"""One question looked into: what every source says of one product, and how the ranker orders all that are ranked."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.core.recommendation import Goal
from active_customers.core.session import State
from active_customers.kernels import hybrid, item_knn
from active_customers.kernels.candidate_set import slot_of
from active_customers.kernels.contributions import add_contributions
from active_customers.kernels.embedding import compare_both, session_vector
from active_customers.kernels.jit import kernel
from active_customers.kernels.retrieval import Asked, gather, kept_out
from active_customers.kernels.state_sections import StateSections, read_sections
from active_customers.kernels.top_n import Wanted, is_closed, is_excluded, top_n
from active_customers.kernels.trees import Forest


class Findings(NamedTuple):
    """What was found out about one product.

    `sections` are what is read of the customer's state. `cart` are the products that go with the cart, best first, and
    `ranked` those of the hybrid, with their `logits`. `gathered` float32[`N_GATHERED`] is what sources say of the
    product, `numbers` float64 what `NUMBERS` names. Where the product is ranked, `columns` float32[f] describes it, and
    `shares` float64[f + 1] is what each column adds to the trees' sum, an unknown product's last; elsewhere both are
    empty.
    """

    sections: StateSections
    cart: NDArray[np.uint32]
    cart_scores: NDArray[np.float64]
    ranked: NDArray[np.uint32]
    logits: NDArray[np.float64]
    gathered: NDArray[np.float32]
    numbers: NDArray[np.float64]
    columns: NDArray[np.float32]
    shares: NDArray[np.float64]


NUMBERS = (
    "sessions",
    "live_sessions",
    "votes",
    "live_votes",
    "candidates",
    "place",
    "total",
    "taste",
    "newest_taste",
)
"""Near sessions of the model and of the live index; the product's votes of either; how many products are proposed that
may be shown, its place among them by the sum of what sources say (0 where none proposes it) and that sum; the cosines
to the session's vector and to that of its newest act."""
_SESSIONS, _LIVE_SESSIONS, _VOTES, _LIVE_VOTES, _CANDIDATES, _PLACE, _TOTAL, _TASTE, _NEWEST = range(len(NUMBERS))
_N_NUMBERS = len(NUMBERS)

_RETURN, _NEW = int(Goal.RETURN), int(Goal.NEW)


@kernel
def look_into(handed: Any, state: State, asked: Asked, product: int) -> Findings:
    """Go the way of `retrieval.retrieve` for an answer that takes as long as it needs, and look at one product."""
    sources, scratch = handed.content
    sections = read_sections(state, asked.products, asked.now, asked.goal in (_RETURN, _NEW))
    wanted = Wanted(asked.n, kept_out(state, asked), asked.standing)
    numbers = np.zeros(_N_NUMBERS)
    candidates = scratch.relation.candidates
    n_with_cart = 0
    if asked.is_cart and len(sections.cart) > 0:
        n_with_cart = item_knn.collect(sources.bought, sources.alike, scratch.relation, sections.cart)
    all_of_them = Wanted(n_with_cart, wanted.excluded, wanted.standing)
    with_cart = top_n(candidates.products[:n_with_cart], candidates.scores[:n_with_cart], all_of_them)
    cart, cart_scores = candidates.products[with_cart], candidates.scores[with_cart]
    if len(sections.products) == 0:
        nothing = np.zeros(0, np.float32)
        gathered = np.zeros(hybrid.N_GATHERED, np.float32)
        none, no_numbers = np.zeros(0, np.uint32), np.zeros(0)
        return Findings(sections, cart, cart_scores, none, no_numbers, gathered, numbers, nothing, no_numbers)
    acts, counts, voting = gather(sources, scratch.hybrid, scratch.live, (sections, asked))
    votes = scratch.hybrid.knn.votes.products
    numbers[_SESSIONS], numbers[_LIVE_SESSIONS] = voting.trained, voting.live
    numbers[_VOTES] = np.sum(votes[: voting.trained_votes] == product)
    numbers[_LIVE_VOTES] = np.sum(votes[voting.trained_votes : voting.votes] == product)
    counts = hybrid.relate(sources.hybrid, scratch.hybrid, acts, counts)
    n_ranked = max(sources.n_ranked, wanted.n)
    of_ranked = Wanted(n_ranked, wanted.excluded, wanted.standing)
    slots = hybrid.choose(scratch.hybrid, acts.goal, counts, of_ranked)
    gathered = _look_at(scratch.hybrid, (counts.found, product), wanted, numbers)
    _compare_taste(sources.hybrid, sections.products, product, numbers)
    hybrid.describe(sources.hybrid, scratch.hybrid, acts, counts.own, slots)
    forest = sources.forests[asked.goal]
    logits = hybrid.said(forest, scratch.hybrid, len(slots))
    columns, shares = _contributions(forest, scratch.hybrid, slots, product)
    ranked = scratch.hybrid.knn.candidates.products[hybrid.order(forest, scratch.hybrid, slots)]
    logits = np.sort(logits)[::-1].copy()
    return Findings(sections, cart, cart_scores, ranked, logits, gathered, numbers, columns, shares)


@kernel
def _look_at(
    scratch: hybrid.HybridScratch, what: tuple[int, int], wanted: Wanted, numbers: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return what was gathered of a product, and count the proposed ones; `what` is (slots, product)."""
    count, product = what
    candidates = scratch.knn.candidates
    slot = slot_of(candidates, count, product) if product < len(candidates.slots) else -1
    total = candidates.scores[slot] if slot >= 0 else 0.0
    n_allowed, n_before = 0, 0
    for other in range(count):
        number = candidates.products[other]
        if (
            candidates.scores[other] <= 0.0
            or is_closed(number, wanted.standing)
            or is_excluded(number, wanted.excluded)
        ):
            continue
        n_allowed += 1
        score = candidates.scores[other]
        n_before += score > total or (score == total and number < product)
    numbers[_CANDIDATES], numbers[_TOTAL] = n_allowed, total
    if slot < 0:
        return np.zeros(hybrid.N_GATHERED, np.float32)
    numbers[_PLACE] = n_before + 1 if total > 0.0 else 0
    gathered: NDArray[np.float32] = scratch.gathered[slot].copy()
    return gathered


@kernel
def _compare_taste(
    sources: hybrid.HybridSources, query: NDArray[np.uint32], product: int, numbers: NDArray[np.float64]
) -> None:
    """Compare a product's vector with the session's and with that of its newest act."""
    to_session, to_newest = np.zeros(1, np.float32), np.zeros(1, np.float32)
    session = session_vector(sources.vectors, sources.by_act, query)
    newest = session_vector(sources.vectors, sources.by_act, query[-1:])
    compare_both(sources.vectors, np.full(1, product, np.uint32), (session, newest), (to_session, to_newest))
    numbers[_TASTE], numbers[_NEWEST] = to_session[0], to_newest[0]


@kernel
def _contributions(
    forest: Forest, scratch: hybrid.HybridScratch, slots: NDArray[np.int64], product: int
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return the columns of a described product and what each adds; nothing for one that is not described."""
    for place in range(len(slots)):
        if scratch.knn.candidates.products[slots[place]] == product:
            columns = scratch.columns[:, place].copy()
            shares = np.zeros(len(columns) + 1)
            add_contributions(forest, columns, shares)
            return columns, shares
    return np.zeros(0, np.float32), np.zeros(0)
