"""The engine, from a query to an answer, top to bottom; it only reads.

State of the customer -> what is asked -> all sources in one call -> answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np

from active_customers.core.clock import Clock
from active_customers.core.event import Context
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.recommendation import Goal, ReasonCode, Recommendation
from active_customers.core.session import H_BOUGHT, H_CART, CustomerState, State, empty_state
from active_customers.kernels.answer_rows import Rows
from active_customers.kernels.retrieval import STEP_DOWN, Asked, kept_out
from active_customers.kernels.state_sections import Numbers
from active_customers.models.base import NO_PRODUCTS
from active_customers.realtime.product_cards import ProductCards
from active_customers.realtime.schemas import Query
from active_customers.realtime.session_recommender import SessionRecommender
from active_customers.realtime.storefront import NARROW, Storefront
from active_customers.storage.base import Store

NO_MODEL = "none"
"""What `model_version` says before anything was trained."""

_MOST_LOOKED_THROUGH = 10_000
"""Products that are looked at to fill an answer up; bounds the time of the rarest case."""

GOALS = {
    Context.CART: Goal.CART,
    Context.CHECKOUT: Goal.PURCHASE,
    Context.EMAIL: Goal.RETURN,
    Context.PUSH: Goal.RETURN,
    Context.DISCOVER: Goal.NEW,
}
"""What an answer is for, by where it is shown; elsewhere the product to look at next."""

_NOTHING_DONE = empty_state()
_NOTHING_DONE.flags.writeable = False  # like the states that come from the store, so that kernels see one type


class Answer(NamedTuple):
    """What the engine found, best first; `degraded` says what it could not use.

    The first `size` of `rows` are used; they are the thread's own and good until its next question.
    """

    rows: Rows
    size: int
    degraded: list[str]
    model_version: str
    now: int

    def recommendations(self) -> list[Recommendation]:
        """Return the rows as values that last."""
        products, scores, reasons, evidence = (column[: self.size].tolist() for column in self.rows)
        return list(map(Recommendation, products, scores, map(ReasonCode, reasons), evidence))


class Engine:
    """Answers queries from the customers' states and the recommender in force.

    `recommender` is replaced, whole, by each later one. `standing` lists what the service cannot use at the moment, for
    every answer to say.
    """

    def __init__(
        self, store: Store, cards: ProductCards, clock: Clock, timer: Callable[[], int] = time.perf_counter_ns
    ) -> None:
        self._store = store
        self._cards = cards
        self._clock = clock
        self._timer = timer
        self.recommender = SessionRecommender()
        self.standing: Sequence[str] = ()
        self.storefront = Storefront(store.catalog, cards.table)

    def recommend(self, query: Query) -> Answer:
        """Return `query.n` products; fewer only when the shop has no more that may be shown."""
        deadline = self._timer() + query.deadline_ms * 1_000_000
        now = self._clock.now()
        recommender = self.recommender
        customer, state = self._store.sessions.find(query.customer_id)
        asked = self._asked(query, (customer, state), now, deadline)
        state = _NOTHING_DONE if state is None else state
        narrow = self.storefront.found(recommender, state, query, asked) if query.context in NARROW else None
        rows, size = narrow or recommender.retrieve(state, asked)
        if size < query.n and narrow is None:
            size = self._fill_up(rows, size, query.n, set(kept_out(state, asked).tolist()))
        manifest = recommender.manifest
        degraded = [*self.standing]
        if manifest is None:
            degraded.append("no_model")
        if query.context in NARROW and narrow is None:
            degraded.append(self.storefront.missing(query.context))
        if asked.is_late:
            degraded.append("deadline")
        if size == 0:
            degraded.append("no_products")
        return Answer(rows, size, degraded, NO_MODEL if manifest is None else manifest.version, now)

    def _asked(self, query: Query, known: tuple[int, State | None], now: int, deadline: int) -> Asked:
        """Put together what the sources need to know beside the customer's state."""
        customer, state = known
        is_cart = query.context in (Context.CART, Context.CHECKOUT)
        excluded = self._numbers(query.exclude)
        if is_cart and state is not None and state[H_CART]:
            excluded = np.concatenate((excluded, self.storefront.stand_ins(self.recommender, state, now)))
        return Asked(
            query.n,
            now,
            customer,
            query.context == Context.BROWSE and not query.product_id,
            is_cart,
            int(GOALS.get(query.context, Goal.NEXT)),
            self._timer() > deadline,
            self._numbers(query.product_id),
            excluded,
            NO_PRODUCTS if state is None or not state[H_BOUGHT] else self._replenishable(state),
            self._cards.standing,
        )

    def _replenishable(self, state: State) -> Numbers:
        """Return what the customer bought and may buy again and again."""
        bought = CustomerState.of(state).bought[:, 0].astype(np.uint32)
        flags = self._cards.table.columns().replenishable
        known = bought[bought < len(flags)]
        return known[flags[known] > 0]

    def _numbers(self, product_ids: Sequence[str]) -> Numbers:
        """Return the numbers of the products that the shop has told us of; others are passed over."""
        if not product_ids:
            return NO_PRODUCTS
        numbers = [self._store.catalog.product_number(product_id) for product_id in product_ids]
        return np.array([number for number in numbers if number != NO_NUMBER], np.uint32)

    def _fill_up(self, rows: Rows, size: int, n: int, passed_over: set[int]) -> int:
        """Fill up with the products that became known last, so that an answer is not empty on the first day.

        Returns how many rows there are then.
        """
        passed_over.update(rows.products[:size].tolist())
        for product, in_catalog in islice(self._cards.newest(), _MOST_LOOKED_THROUGH):
            if size == n:
                break
            if product not in passed_over:
                rows.products[size] = product
                rows.scores[size] = rows.scores[size - 1] * STEP_DOWN if size else 1.0
                rows.reasons[size] = ReasonCode.CATALOG if in_catalog else ReasonCode.SEEN
                rows.evidence[size] = NO_NUMBER
                size += 1
        return size
