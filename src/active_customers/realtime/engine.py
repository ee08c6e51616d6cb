"""The engine, from a query to an answer, top to bottom; it only reads.

State of the customer -> what is asked -> all sources in one call -> the page that the shop wants -> answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.core.clock import HOUR, Clock
from active_customers.core.event import Context
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.recommendation import REASON_MASK, Goal, ReasonCode, Recommendation
from active_customers.core.session import H_BOUGHT, H_CART, CustomerState, State, empty_state
from active_customers.experiments.assignment import NOT_ASSIGNED, Assigned
from active_customers.kernels.answer_rows import Rows
from active_customers.kernels.arrange import POOL_BEYOND, Arranging, add_fitting, arrange, fill_up
from active_customers.kernels.retrieval import Asked, kept_out
from active_customers.kernels.state_sections import Numbers
from active_customers.models.base import NO_PRODUCTS
from active_customers.models.kernel_arguments import Prepared
from active_customers.realtime.free_delivery import FreeDelivery, Gap
from active_customers.realtime.product_cards import ProductCards
from active_customers.realtime.rotation import Rotation, copied, only_resting
from active_customers.realtime.rules import Applied, Rulebook
from active_customers.realtime.ruling import NO_FACTORS
from active_customers.realtime.schemas import MAX_N, Query
from active_customers.realtime.session_recommender import SessionRecommender
from active_customers.realtime.storefront import NARROW, Storefront
from active_customers.realtime.trials import Trials
from active_customers.storage.base import Store

NO_MODEL = "none"
"""What `model_version` says before anything was trained."""

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
    gap: Gap | None = None
    """On cart and checkout pages, what the cart lacks until its delivery is free."""
    assigned: Assigned = NOT_ASSIGNED
    """By which strategy it was made, and which variants of experiments that is."""

    def products(self) -> list[int]:
        """Return the product numbers, best first."""
        numbers: list[int] = self.rows.products[: self.size].tolist()
        return numbers

    def recommendations(self) -> list[Recommendation]:
        """Return the rows as values that last."""
        products, scores, reasons, evidence = (column[: self.size].tolist() for column in self.rows)
        codes = [ReasonCode(reason & REASON_MASK) for reason in reasons]
        return list(map(Recommendation, products, scores, codes, evidence))


class Way(NamedTuple):
    """How an answer is made: by which strategy, with what in force on the page, and by whom."""

    assigned: Assigned
    applied: Applied
    recommender: SessionRecommender


class Engine:
    """Answers queries from the customers' states, the recommender and the rules in force.

    `recommender` is replaced, whole, by each later one. `standing` lists what the service cannot use at the moment, for
    every answer to say. `factors` multiply the score of each product beside what rules say: float32 by product number,
    read-only, replaced whole; products beyond its end count once.
    """

    def __init__(
        self,
        store: Store,
        cards: ProductCards,
        clock: Clock,
        timer: Callable[[], int] = time.perf_counter_ns,
        rules: Rulebook | None = None,
    ) -> None:
        self._store = store
        self._cards = cards
        self._clock = clock
        self._timer = timer
        self._arrange = Prepared(arrange)
        self._fill_up = Prepared(fill_up)
        self._add_fitting = Prepared(add_fitting)
        self.rules = rules or Rulebook(store, cards.table, clock)
        self.recommender = SessionRecommender()
        self.standing: Sequence[str] = ()
        self.factors: NDArray[np.float32] = NO_FACTORS
        self.delivery: FreeDelivery | None = None
        self.rotation = Rotation()
        self.trials = Trials(store, clock)
        self.storefront = Storefront(store.catalog, cards.table)

    @property
    def cards(self) -> ProductCards:
        """What is true of products at this moment."""
        return self._cards

    def now(self) -> int:
        """Return the time that answers go by, in microseconds."""
        return self._clock.now()

    def recommend(self, query: Query, passed_over: Numbers = NO_PRODUCTS) -> Answer:
        """Return `query.n` products; fewer only when the shop has no more that may be shown.

        None of `passed_over` (product numbers in any order) is among them. Raises `InvalidValueError` where
        `query.filter` is none.
        """
        return self._answer(query, self.way(query), passed_over)

    def way(self, query: Query) -> Way:
        """Return how a query is answered; raises `InvalidValueError` for a filter or a strategy that is none."""
        assigned = self.trials.assigned(query)
        strategy = assigned.strategy
        applied = self.rules.applied(query.context, query.channel, query.filter, strategy.rules)
        return Way(assigned, applied, self.recommender.by(strategy.ranking))

    def follow_trials(self) -> None:
        """Take up what was changed, began or ended of strategies and experiments; `rules` take up what they want."""
        if self.trials.follow():
            self.rules.wishes = self.trials.rules_wishes()

    def rehearse(self, query: Query) -> Answer:
        """Answer a query on the way that most answers take, once a page was made of another and a cart looked at."""
        self.storefront.stand_ins(self.recommender, _NOTHING_DONE, self._clock.now())
        applied = self.rules.nothing()._replace(beyond=POOL_BEYOND, pins=True)
        self.rotation.rehearse(_NOTHING_DONE)
        way = Way(NOT_ASSIGNED, applied, self.recommender)
        self._with_resting(query, way, (self._answer(query, way), NO_PRODUCTS), NO_PRODUCTS)
        return self.recommend(query)

    def _answer(self, query: Query, way: Way, passed_over: Numbers = NO_PRODUCTS) -> Answer:
        """Answer without what the customer was shown too often, but where that leaves too few."""
        answer = self._found(query, way, passed_over)
        if answer.size < query.n:
            resting = self.rotation.resting(self._store.sessions.find(query.customer_id)[1], answer.now)
            if len(resting):
                return self._with_resting(query, way, (answer, passed_over), resting)
        return answer

    def _with_resting(self, query: Query, way: Way, so_far: tuple[Answer, Numbers], resting: Numbers) -> Answer:
        """Fill an answer up with what was shown too often, the least shown first: better again than nothing."""
        answer, passed_over = so_far
        kept = copied(answer.rows, answer.size)
        others = np.concatenate((passed_over, kept.products.astype(np.uint32)))
        wider = query._replace(n=min(max(query.n, len(resting)), MAX_N))
        again = self._found(wider, way, others, rotates=False)
        more = only_resting(copied(again.rows, again.size), resting)
        for column, values in zip(answer.rows, kept, strict=True):
            column[: answer.size] = values
        size = self._add_fitting(way.applied.handed, answer.rows, answer.size, more, query.n)
        lacking = {"no_products", "no_match"} if size else set()
        return answer._replace(size=size, degraded=[word for word in answer.degraded if word not in lacking])

    def _found(self, query: Query, way: Way, passed_over: Numbers = NO_PRODUCTS, *, rotates: bool = True) -> Answer:
        deadline = self._timer() + query.deadline_ms * 1_000_000
        now = self._clock.now()
        assigned, applied, recommender = way
        customer, state = self._store.sessions.find(query.customer_id)
        asked = self._asked(query, (customer, state), now, deadline)
        resting = self.rotation.resting(state, now) if rotates else NO_PRODUCTS
        if passed_over is not NO_PRODUCTS or resting is not NO_PRODUCTS:
            asked = asked._replace(excluded=np.concatenate((asked.excluded, passed_over, resting)))
        delivery = self.delivery if asked.is_cart else None
        gap = None if delivery is None or state is None else delivery.gap(state, now)
        beyond = applied.beyond or (POOL_BEYOND if len(self.factors) or gap is not None else 0)
        if beyond:
            asked = asked._replace(pool=query.n + beyond)
        if applied.standing is not None:
            asked = asked._replace(standing=applied.standing)
        state = _NOTHING_DONE if state is None else state
        narrow = self.storefront.found(recommender, state, query, asked) if query.context in NARROW else None
        rows, size = narrow or recommender.retrieve(state, asked, query.channel)
        if delivery is not None and gap is not None:
            delivery.prefer(rows, size, gap)
        if asked.pool or size < query.n:
            size = self._arranged(rows, size, (state, asked), applied, fills=narrow is None)
        manifest = recommender.manifest
        degraded = [*self.standing, *applied.missing]
        if manifest is None:
            degraded.append("no_model")
        if query.context in NARROW:
            degraded += self.storefront.missing(query.context, is_found=narrow is not None)
        if asked.is_late:
            degraded.append("deadline")
        if size == 0:
            degraded.append("no_products")
        version = NO_MODEL if manifest is None else manifest.version
        return Answer(rows, size, degraded, version, now, gap, assigned)

    def question(self, query: Query) -> tuple[State, Asked]:
        """Return the customer's state and what is asked beside it, for an answer that takes as long as it needs."""
        known, now = self._store.sessions.find(query.customer_id), self._clock.now()
        asked = self._asked(query, known, now, self._timer() + HOUR * 1000)
        resting = self.rotation.resting(known[1], now)
        if resting is not NO_PRODUCTS:
            asked = asked._replace(excluded=np.concatenate((asked.excluded, resting)))
        ruled = self.way(query).applied.standing
        state = _NOTHING_DONE if known[1] is None else known[1]
        return state, asked if ruled is None else asked._replace(standing=ruled)

    def rules_on(self, query: Query, product: int) -> list[str]:
        """Return the names of the rules that bear on a product (by number) in the answer to a query."""
        return self.rules.rules_on(self.way(query).applied, product)

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

    def _arranged(self, rows: Rows, size: int, about: tuple[State, Asked], applied: Applied, *, fills: bool) -> int:
        """Make the page that the shop wants of what was found, and fill it up if it `fills`; return its rows."""
        state, asked = about
        excluded = kept_out(state, asked) if applied.pins else NO_PRODUCTS
        arranging = Arranging(rows, asked.n, excluded, self._cards.standing, self.factors)
        if asked.pool:
            size = self._arrange(applied.handed, arranging, size)
        if fills and size < asked.n:
            arranging = arranging._replace(excluded=excluded if applied.pins else kept_out(state, asked))
            size = self._fill_up(applied.handed, arranging, size, self._store.catalog.n_products())
        return size
