"""Shelves: a page of titled rows for one customer, and the rows that stand on the page of a product.

What is shown comes from `kernels.shelves`, what the hybrid proposes from the engine, so that whatever closes products
or changes answers there counts here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from active_customers.core.clock import DAY, Clock
from active_customers.core.config import Config
from active_customers.core.errors import UnknownProductError
from active_customers.core.event import Channel, Context
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.product import Standing
from active_customers.core.recommendation import REASON_MASK, ReasonCode
from active_customers.core.session import H_BOUGHT, H_EVENTS, empty_state
from active_customers.core.shelf import Shelf
from active_customers.experiments.assignment import NOT_ASSIGNED, Assigned
from active_customers.kernels.answer_rows import Rows
from active_customers.kernels.candidate_set import Room, candidate_set, make_room
from active_customers.kernels.handover import hand_over
from active_customers.kernels.item_knn import RelationScratch
from active_customers.kernels.shelves import (
    MOST,
    N_SHELVES,
    Page,
    PageAsked,
    ShelfScratch,
    arrange,
    gather,
    looked_at,
)
from active_customers.kernels.state_sections import Numbers
from active_customers.kernels.top_n import Wanted, first_n
from active_customers.models.base import NO_PRODUCTS
from active_customers.models.kernel_arguments import PerThread, Prepared
from active_customers.realtime.engine import NO_MODEL, Answer, Engine
from active_customers.realtime.languages import BECAUSE_YOU_BOUGHT, TRENDING_ANYWHERE
from active_customers.realtime.product_cards import ProductCards
from active_customers.realtime.ruling import RULED_OUT
from active_customers.realtime.schemas import MAX_N, Query
from active_customers.realtime.session_recommender import SessionRecommender
from active_customers.realtime.storefront import Storefront
from active_customers.realtime.trials import Trials
from active_customers.storage.base import Store

MAX_ON_SHELF = 20
"""Products of one shelf."""

NOT_TOLD = "history"
"""What an answer lacks in which the history of a known customer is not told."""

HISTORY = frozenset({Shelf.CONTINUE, Shelf.BUY_AGAIN, Shelf.PRICE_DROP, Shelf.BECAUSE_YOU_VIEWED})
"""Shelves that tell what a customer looked at or bought."""

_OTHER_TITLES = {Shelf.TRENDING: TRENDING_ANYWHERE, Shelf.BECAUSE_YOU_VIEWED: BECAUSE_YOU_BOUGHT}
"""Titles for trends of the whole shop, and where the product was bought."""
_STANDS_STILL = 180 * DAY
"""Time without an act of anybody after which the shop is taken for one of the past, as alive as it was then."""

_IS_PERSONAL = np.ones(len(ReasonCode), np.bool_)
"""By reason, whether a product is recommended to this customer in particular, and belongs to no shelf of its own."""
_IS_PERSONAL[[ReasonCode.POPULAR, ReasonCode.TRENDING, ReasonCode.SEEN, ReasonCode.CATALOG, ReasonCode.REVISIT]] = False

_NOTHING_DONE = empty_state()
_NOTHING_DONE.flags.writeable = False


class ShelvesConfig(Config):
    """What the shelves of a page go by."""

    half_life_days: Annotated[float, Field(gt=0)] = 7.0
    """Age at which an act speaks half as much for the shelf that it leads to."""
    lately_days: Annotated[float, Field(gt=0)] = 30.0
    """Age of a look beyond which nobody is asked to continue there."""
    interval_days: Annotated[float, Field(gt=0)] = 30.0
    """Days after which what was bought on one day only, and is replenishable, is due again."""
    due_from: Annotated[float, Field(ge=0)] = 0.25
    """Share of the interval between a customer's purchases of a product that must have passed until it is due again."""
    new_days: Annotated[float, Field(gt=0)] = 30.0
    """Days since its release for which a product counts as new."""


class ShelfRow(NamedTuple):
    """One shelf of a page: its title (see `languages.TITLES`) may name the product `about`; `rows` are its products."""

    shelf: Shelf
    title: str
    about: int
    rows: Rows
    size: int


class ShownPage(NamedTuple):
    """A page: shelves in the order of the page."""

    shelves: Sequence[ShelfRow]
    degraded: Sequence[str]
    model_version: str
    now: int
    assigned: Assigned = NOT_ASSIGNED
    """By what was answered the shelf that the engine fills; it is none where there is no such shelf."""


class Shelves:
    """Puts pages together from the customers' states, the engine and the catalogue; it only reads."""

    def __init__(
        self, store: Store, cards: ProductCards, engine: Engine, clock: Clock, config: ShelvesConfig | None = None
    ) -> None:
        self._store = store
        self._cards = cards
        self._engine = engine
        self._clock = clock
        self._config = config or ShelvesConfig()
        self._gather, self._arrange = Prepared(gather), Prepared(arrange)
        self._desk = PerThread(_Desk)

    @property
    def storefront(self) -> Storefront:
        """What the engine's answers and shelves know of the catalogue."""
        return self._engine.storefront

    @property
    def trials(self) -> Trials:
        """The experiments in force."""
        return self._engine.trials

    def page(self, customer_id: str, channel: Channel, wanted: tuple[int, int]) -> ShownPage:
        """Return a page; `wanted` are shelves, and products of each (`MAX_ON_SHELF` at most)."""
        now, desk = self._clock.now(), self._desk.get()
        _, state = self._store.sessions.find(customer_id)
        recommender, kinds = self._engine.recommender, self._engine.storefront.kinds
        table = kinds.handed()
        sources = desk.handed(recommender, max(recommender.n_products, kinds.n_products))
        asked = self._asked(now, channel, self._engine.rotation.resting(state, now))
        self._gather(sources, table, _NOTHING_DONE if state is None else state, asked)
        assigned = NOT_ASSIGNED
        if state is not None and state[H_EVENTS]:
            assigned = self._add_hybrid(desk.page, (customer_id, channel), wanted[1])
        n_shelves = self._arrange(desk.page, table, wanted, desk.rows, desk.shelves)
        if not n_shelves:
            n_shelves, assigned = self._fill(desk, (customer_id, channel), wanted[1])
        shelves = list(self._shelves(desk, n_shelves))
        degraded = self._lacking([] if n_shelves else ["no_products"])
        return ShownPage(shelves, degraded, self._version(), now, assigned)

    def similar(self, product_id: str, n: int, channel: Channel) -> Answer:
        """Return what is nearest to a product; raises `UnknownProductError`."""
        product, standing = self._number(product_id), self._standing(Context.BROWSE, channel)
        recommender = self._engine.recommender
        wanted = Wanted(n, np.array([product], np.uint32), standing)
        found = self._engine.storefront.nearest(recommender, product, wanted, by_price=False)
        return self._answer(*(found or (self._desk.get().rows, 0)))

    def bought_together(self, product_id: str, n: int, channel: Channel) -> Answer:
        """Return what is bought together with a product; raises `UnknownProductError`."""
        product, standing = self._number(product_id), self._standing(Context.BROWSE, channel)
        items, rows = self._engine.recommender.items, self._desk.get().rows
        related = items.bought_with(np.array([product]), len(rows.products))
        is_open = [not self._is_closed(number, standing) for number in related.products.tolist()]
        products, scores = related.products[is_open][:n], related.scores[is_open][:n]
        _write(rows, products, scores / scores[:1].max(initial=0.0) if len(scores) else scores)
        rows.reasons[: len(products)], rows.evidence[: len(products)] = ReasonCode.BOUGHT_TOGETHER, product
        return self._answer(rows, len(products))

    def trending(self, category: str | None, n: int, channel: Channel) -> Answer:
        """Return what more and more customers look at, in a category and below it, where one is given.

        Where nothing is trending, what is popular there; `degraded` says `no_trend` then.
        """
        standing, rows = self._standing(Context.BROWSE, channel), self._desk.get().rows
        sources = self._engine.recommender.shelf_sources
        members = None if category is None else self._engine.storefront.members(category)
        size, degraded = 0, []
        for ranking in (sources.trending, sources.popular):
            chosen = ranking.products if members is None else ranking.products[np.isin(ranking.products, members)]
            products = first_n(chosen, Wanted(n, NO_PRODUCTS, standing))
            size = len(products)
            if size:
                places = {product: place for place, product in enumerate(ranking.products.tolist())}
                at = [places[product] for product in products.tolist()]
                _write(rows, products, ranking.scores[at] / ranking.scores[at].max())
                rows.reasons[:size], rows.evidence[:size] = ranking.reasons[at], NO_NUMBER
                break
            degraded = ["no_trend"]
        return self._answer(rows, size, degraded)

    def recently_viewed(self, customer_id: str, n: int, channel: Channel) -> Answer:
        """Return what a customer acted on last and may be shown, the newest first; of a stranger nothing."""
        standing, rows = self._standing(Context.BROWSE, channel), self._desk.get().rows
        state = self._store.sessions.state(customer_id)
        products = NO_PRODUCTS if state is None else looked_at(state, NO_PRODUCTS, standing, n)
        _write(rows, products, 0.99 ** np.arange(len(products)))
        rows.reasons[: len(products)], rows.evidence[: len(products)] = ReasonCode.REVISIT, products
        return self._answer(rows, len(products))

    def nothing_told(self, _n: int, _channel: Channel) -> Answer:
        """Return what is answered about a customer's history to who may not know it."""
        return self._answer(self._desk.get().rows, 0, [NOT_TOLD])

    def is_known(self, customer_id: str) -> bool:
        """Tell whether an id is somebody's who logged in or bought something, and no visitor's whom nobody knows."""
        state = self._store.sessions.state(customer_id)
        has_bought = state is not None and state[H_BOUGHT] > 0
        return has_bought or self._store.customers.known_as(customer_id) is not None

    def _standing(self, context: Context, channel: Channel) -> NDArray[np.uint8]:
        """Return what is closed, by the table of this moment or by rules: the one place where all shelves ask for it.

        What a rule closed stays so until rules are looked after again; what the table closes counts at once.
        """
        applied, standing = self._engine.rules.applied(context, channel), self._cards.standing
        if applied.standing is None:
            return standing
        n_known = self._store.catalog.n_products() if applied.ruling.known_only else 0
        both = np.full(max(len(standing), len(applied.standing), n_known), RULED_OUT if n_known else 0, np.uint8)
        both[: len(applied.standing)] = applied.standing
        np.maximum(both[: len(standing)], standing, out=both[: len(standing)])
        both.flags.writeable = False  # like the table's own, so that kernels see one type
        return both

    def _asked(self, now: int, channel: Channel, resting: Numbers) -> PageAsked:
        config = self._config
        newest = self._engine.recommender.newest
        return PageAsked(
            newest if 0 < newest < now - _STANDS_STILL else now,
            self._standing(Context.HOME, channel),
            config.half_life_days * DAY,
            config.lately_days * DAY,
            config.interval_days * DAY,
            config.due_from,
            config.new_days * DAY,
            self._engine.storefront.nearness,
            NO_PRODUCTS,
            resting,
        )

    def _add_hybrid(self, page: Page, asker: tuple[str, Channel], n: int) -> Assigned:
        """Put what the hybrid proposes into the page: twice as much as is shown, for other shelves come first."""
        customer, channel = asker
        asked = min(2 * n, MOST)
        answer = self._engine.recommend(Query(customer, Context.HOME, asked, channel))
        _put(page, Shelf.FOR_YOU, _personal(answer))
        return answer.assigned

    def _fill(self, desk: _Desk, asker: tuple[str, Channel], n: int) -> tuple[int, Assigned]:
        """Show what the engine shows to anybody, where no shelf has anything: the shop's first day."""
        customer, channel = asker
        answer = self._engine.recommend(Query(customer, Context.HOME, n, channel))
        rows, size = answer.rows, answer.size
        for mine, theirs in zip(desk.rows, rows, strict=True):
            mine[:size] = theirs[:size]
        desk.shelves[0] = Shelf.CATALOGUE, size
        return (1 if size else 0), answer.assigned

    def _shelves(self, desk: _Desk, n_shelves: int) -> Iterator[ShelfRow]:
        first = 0
        for number, end in desk.shelves[:n_shelves].tolist():
            shelf, about = Shelf(number), int(desk.page.about[number])
            title = _OTHER_TITLES[shelf] if desk.page.other[number] else shelf.word
            yield ShelfRow(shelf, title, about, Rows._make(column[first:end] for column in desk.rows), end - first)
            first = end

    def _number(self, product_id: str) -> int:
        """Return the number of a product that may be named."""
        number, standing = self._store.catalog.product_number(product_id), self._cards.standing
        secret = number < len(standing) and standing[number] in (Standing.HIDDEN, Standing.DELETED)
        if number == NO_NUMBER or secret:
            raise UnknownProductError(f"there is no product {product_id}: store it, or post an event about it, first")
        return number

    @staticmethod
    def _is_closed(product: int, standing: Any) -> bool:
        return bool(product < len(standing) and standing[product] > Standing.OPEN)

    def _answer(self, rows: Rows, size: int, degraded: Sequence[str] = ()) -> Answer:
        return Answer(rows, size, self._lacking(degraded), self._version(), self._clock.now())

    def _lacking(self, more: Sequence[str]) -> list[str]:
        """Return what an answer says that it could not use."""
        return [*self._engine.standing, *([] if self._engine.recommender.manifest else ["no_model"]), *more]

    def _version(self) -> str:
        manifest = self._engine.recommender.manifest
        return NO_MODEL if manifest is None else manifest.version


class _Desk:
    """What one thread works with: the page, its rows, and sources and scratch memory as kernels take them."""

    def __init__(self) -> None:
        shape = N_SHELVES, MOST
        self.page = Page(
            np.zeros(shape, np.int64),
            np.zeros(shape),
            np.zeros(shape, np.int64),
            np.zeros(shape, np.int64),
            np.zeros(N_SHELVES, np.int64),
            np.zeros(N_SHELVES),
            np.zeros(N_SHELVES, np.int64),
            np.zeros(N_SHELVES, np.int64),
        )
        most = max(N_SHELVES * MAX_ON_SHELF, MAX_N)
        self.rows = Rows(np.zeros(most, np.int64), np.zeros(most), np.zeros(most, np.int64), np.zeros(most, np.int64))
        self.shelves = np.zeros((N_SHELVES, 2), np.int64)
        self._room = Room(0, 0)
        self._scratch: ShelfScratch | None = None
        self._of: Any = None
        self._handed: Any = None

    def handed(self, recommender: SessionRecommender, n_products: int) -> Any:
        """Return sources and scratch memory handed over, anew where the sources are others or products have come."""
        sources = recommender.shelf_sources
        if self._of is not sources or n_products > self._room.products:
            room = recommender.items.room
            grows = room.votes > self._room.votes or max(n_products, room.products) > self._room.products
            if grows or self._scratch is None:
                self._room = Room(room.votes, 2 * max(n_products, room.products))
                nearest = candidate_set(self._room.products)
                self._scratch = ShelfScratch(RelationScratch(*make_room(self._room)), nearest, self.page)
            self._of, self._handed = sources, hand_over((sources, self._scratch))
        return self._handed


def _personal(answer: Answer) -> Rows:
    """Return copies of those rows of an answer that are for this customer."""
    chosen = np.flatnonzero(_IS_PERSONAL[answer.rows.reasons[: answer.size] & REASON_MASK])
    return Rows._make(column[chosen] for column in answer.rows)


def _put(page: Page, shelf: Shelf, rows: Rows) -> None:
    size = len(rows.products)
    page.counts[shelf] = size
    for column, values in zip(page[:4], rows, strict=True):
        column[shelf, :size] = values


def _write(rows: Rows, products: Any, scores: Any) -> None:
    rows.products[: len(products)], rows.scores[: len(products)] = products, scores
