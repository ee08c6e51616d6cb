"""The engine, from a query to an answer, top to bottom; it only reads.

State of the customer -> question -> sources in turn until there are enough products -> answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from active_customers.core.clock import Clock
from active_customers.core.event import Context
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.recommendation import ReasonCode, Recommendation
from active_customers.core.session import SessionQuery, empty_state
from active_customers.kernels.state_sections import Numbers, StateSections, read_sections
from active_customers.models.base import NO_PRODUCTS
from active_customers.realtime.product_cards import ProductCards
from active_customers.realtime.schemas import RecommendationQuery
from active_customers.realtime.session_recommender import Proposals, Question, SessionRecommender
from active_customers.storage.base import Store

NO_MODEL = "none"
"""What `model_version` says before anything was trained."""


_MOST_LOOKED_THROUGH = 10_000
"""Products that are looked at to fill an answer up; bounds the time of the rarest case."""
_LEAST_SHARE = 0.1
"""Of a source's best score, what its weakest product has at least: so that the next source still has room below."""

_STEP_DOWN = 0.99
"""The best product of a source, as a share of the last one of the source before it."""

_NOTHING_DONE = empty_state()
_NOTHING_DONE.flags.writeable = False  # like the states that come from the store, so that kernels see one type


class Answer(NamedTuple):
    """What the engine found, best first; `degraded` says what it could not use."""

    recommendations: list[Recommendation]
    degraded: list[str]
    model_version: str
    now: int


class Engine:
    """Answers queries from the customers' states and the models in force.

    `recommender` is None until a model is published and is replaced, whole, by each later one.
    """

    def __init__(
        self, store: Store, cards: ProductCards, clock: Clock, timer: Callable[[], int] = time.perf_counter_ns
    ) -> None:
        self._store = store
        self._cards = cards
        self._clock = clock
        self._timer = timer
        self.recommender: SessionRecommender | None = None

    def recommend(self, query: RecommendationQuery) -> Answer:
        """Return `query.n` products; fewer only when the shop has no more that may be shown."""
        deadline = self._timer() + query.deadline_ms * 1_000_000
        now = self._clock.now()
        recommender = self.recommender
        question = self._question(query, now)
        chosen: dict[int, Recommendation] = {}
        degraded: list[str] = []
        if recommender is None:
            degraded.append("no_model")
        else:
            for proposals in recommender.sources(question, query.n):
                _take(chosen, proposals, query.n)
                if len(chosen) == query.n:
                    break
                if self._timer() > deadline:
                    degraded.append("deadline")
                    break
            if len(chosen) < query.n:
                _take(chosen, recommender.popular(question, query.n), query.n)
        if len(chosen) < query.n:
            self._take_from_catalog(chosen, question, query.n)
        if not chosen:
            degraded.append("no_products")
        version = NO_MODEL if recommender is None else recommender.manifest.version
        return Answer(list(chosen.values()), degraded, version, now)

    def _question(self, query: RecommendationQuery, now: int) -> Question:
        """Put together what the sources need to know."""
        stored = self._store.sessions.state(query.customer_id)
        asked = self._numbers(query.product_id)
        state = read_sections(_NOTHING_DONE if stored is None else stored, asked, now)
        on_page = state.products[-1:] if query.context == Context.BROWSE and not query.product_id else asked
        return Question(
            query.context,
            SessionQuery(state.products, state.event_types, state.times, now),
            state.cart,
            self._excluded(state, (on_page, self._numbers(query.exclude))),
        )

    def _excluded(self, state: StateSections, also: tuple[Numbers, Numbers]) -> Numbers:
        """Return what must not be proposed: in the cart, hidden, bought for good, on the page, or named by the shop."""
        bought = [product for product in state.bought.tolist() if not self._cards.card(product).replenishable]
        groups = [group for group in (state.cart, state.hidden, *also) if len(group)]
        if not groups and not bought:
            return NO_PRODUCTS
        return np.sort(np.concatenate((*groups, np.array(bought, np.uint32))))

    def _numbers(self, product_ids: Sequence[str]) -> Numbers:
        """Return the numbers of the products that the shop has told us of; others are passed over."""
        if not product_ids:
            return NO_PRODUCTS
        numbers = [self._store.catalog.product_number(product_id) for product_id in product_ids]
        return np.array([number for number in numbers if number != NO_NUMBER], np.uint32)

    def _take_from_catalog(self, chosen: dict[int, Recommendation], question: Question, n: int) -> None:
        """Fill up with the products that became known last, so that an answer is not empty on the first day.

        Where there is a catalogue only its products are shown: any other id may be a slip, or a stranger's.
        """
        passed_over = {*question.excluded.tolist(), *chosen}
        newest = self._store.catalog.n_products() - 1
        for product in range(newest, max(newest - _MOST_LOOKED_THROUGH, -1), -1):
            if len(chosen) == n:
                return
            in_catalog = self._cards.card(product).in_catalog
            if product not in passed_over and (in_catalog or not self._cards.has_catalog):
                reason = ReasonCode.CATALOG if in_catalog else ReasonCode.SEEN
                chosen[product] = Recommendation(product, _below(chosen), reason)


def _take(chosen: dict[int, Recommendation], proposals: Proposals, n: int) -> None:
    """Add a source's products that are not there yet, with scores below those already chosen.

    Its best one gets the least score so far (1 to begin with), the others their share of that: so scores fall through
    the whole answer.
    """
    products, scores, evidences = proposals.candidates
    rows = zip(products.tolist(), scores.tolist(), evidences.tolist(), proposals.reasons, strict=True)
    top, best = _below(chosen), 0.0
    for product, score, evidence, reason in rows:
        if len(chosen) == n:
            return
        if product not in chosen:
            best = best or score
            share = _LEAST_SHARE + (1 - _LEAST_SHARE) * score / best
            true_reason = ReasonCode.REVISIT if evidence == product else reason
            chosen[product] = Recommendation(product, top * share, true_reason, evidence)


def _below(chosen: dict[int, Recommendation]) -> float:
    """Return the score that the next product may have at most: 1 for the first, then less than all before it."""
    return next(reversed(chosen.values())).score * _STEP_DOWN if chosen else 1.0
