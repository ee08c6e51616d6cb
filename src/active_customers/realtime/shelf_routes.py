"""The routes of shelves, each from the raw request to the raw reply: `GET /api/v1/homepage`, and those of products."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Annotated, Any, NamedTuple

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from active_customers.core.attribution import Shown, TokenSigner
from active_customers.core.clock import SECOND, format_time
from active_customers.core.errors import ActiveCustomersError
from active_customers.core.event import Channel, Context
from active_customers.core.identifiers import json_id
from active_customers.core.shelf import Shelf
from active_customers.experiments.assignment import NOT_ASSIGNED
from active_customers.monitoring.metrics import DEGRADED, REQUEST_SECONDS, REQUESTS
from active_customers.monitoring.tally import Tally, Timings
from active_customers.realtime.access import Access, Scope
from active_customers.realtime.answers import told
from active_customers.realtime.engine import Answer
from active_customers.realtime.hot_routes import JSON, ASGIScope, Receive, query_fields, split_customer
from active_customers.realtime.language_headers import LanguageHeaders
from active_customers.realtime.languages import PRODUCT
from active_customers.realtime.problems import Headers, Reply, problem_of
from active_customers.realtime.product_cards import ProductCards
from active_customers.realtime.schemas import (
    MAX_N,
    ChannelWord,
    Id,
    LanguageTag,
    Query,
    RecommendedProduct,
    Text,
    first_error,
)
from active_customers.realtime.shelves import HISTORY, MAX_ON_SHELF, NOT_TOLD, ShelfRow, Shelves, ShownPage


class HomepageQuery(BaseModel):
    """What a shop asks for a whole page."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    customer_id: Id
    """Who is looking, known or anonymous; an id never seen before is fine."""
    channel: ChannelWord = Channel.WEB
    """The medium of the page."""
    shelves: Annotated[int, Field(ge=1, le=len(Shelf))] = 6
    """How many shelves at most."""
    n: Annotated[int, Field(ge=1, le=MAX_ON_SHELF)] = 10
    """How many products on each at most."""
    lang: LanguageTag = ""
    """Language of titles and reasons, such as de; what `Accept-Language` says when it is missing."""


class ProductShelfQuery(BaseModel):
    """What a shop asks for one row."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    n: Annotated[int, Field(ge=1, le=MAX_N)] = 10
    """How many products at most."""
    customer_id: Id | None = None
    """Who is looking, so that the answer has a `recommendation_id`."""
    channel: ChannelWord = Field("web", validate_default=True)
    """The medium of the answer."""
    lang: LanguageTag = ""
    """Language of the reasons, such as de; what `Accept-Language` says when it is missing."""


class TrendingQuery(ProductShelfQuery):
    """What a shop asks for trends."""

    category: Text | None = None
    """Path of a category, such as `Kitchen > Pans`; what is below counts."""


class RecentQuery(ProductShelfQuery):
    """Whose looks are asked for."""

    customer_id: Id
    """Who is looking."""


class ShelfMetadata(BaseModel):
    """What an answer says about itself."""

    model_version: str
    timestamp: str
    channel: str
    strategy: str | None = None
    """By which strategy the shelf of recommendations was made; missing where nothing differs from what is set."""
    experiments: dict[str, str] | None = None
    """The customer's variant in each experiment that this page is of, by its name; missing where there is none."""
    degraded: list[str]
    """Empty, or what could not be done"""
    recommendation_id: str | None = None
    """To be sent with the events that follow; missing where no customer was named."""


class HomepageShelf(BaseModel):
    """One titled row of products."""

    code: str
    title: str
    recommendation_id: str
    """To be sent with the events that follow from this shelf."""
    products: list[RecommendedProduct]


class HomepageAnswer(BaseModel):
    """A page: its shelves in their order."""

    customer_id: int | str
    shelves: list[HomepageShelf]
    metadata: ShelfMetadata


class ShelfAnswer(BaseModel):
    """One row of products, best first."""

    recommendations: list[RecommendedProduct]
    metadata: ShelfMetadata


_OF_THE_ENGINE = (Shelf.FOR_YOU, Shelf.CATALOGUE)
"""Shelves that strategies make: a page without one is no exposure."""
STRANGER = "\0"
"""An id that no shop can send."""


class _Wishes(NamedTuple):
    channel: Channel
    shelves: int
    n: int
    lang: str


class ShelfCounts:
    """What is counted with every page, in the thread that answers."""

    def __init__(self) -> None:
        self.ok = Tally(REQUESTS.labels("homepage", "200"))
        self.seconds = Timings(REQUEST_SECONDS.labels("homepage"))

    def publish(self) -> None:
        """Hand it over to Prometheus; in one thread at a time."""
        self.ok.publish()
        self.seconds.publish()


class ShelfRoutes:
    """Answers for whole pages, and for the rows on the page of a product."""

    def __init__(self, access: Access, shelves: Shelves, cards: ProductCards, signer: TokenSigner) -> None:
        self.shelves = shelves
        self.counts = ShelfCounts()
        self._access = access
        self._cards = cards
        self._languages = cards.texts.languages
        self._headers = LanguageHeaders(self._languages, JSON)
        self._signer = signer

    def rehearse(self) -> None:
        """Put a page together for nobody, so that nobody waits for what is loaded on its first use."""
        self._page("nobody", self.shelves.page("nobody", Channel.WEB, (1, 1)), Channel.WEB, 0)

    async def homepage(self, scope: ASGIScope, _receive: Receive) -> Reply:
        """Answer with a page; what is wrong with the query comes back as a problem document."""
        return self.answer(scope["headers"], scope["query_string"])

    def answer(self, headers: Headers, query_string: bytes) -> Reply:
        """Answer a query from a request's headers and query string; it waits for nothing."""
        started = time.perf_counter()
        try:
            granted = self._access.check(headers, Scope.PUBLIC)
            customer, rest = split_customer(query_string)
            if customer is None:
                checked = _checked(query_fields(query_string))
                customer, wishes = checked.customer_id, _wishes_of(checked)
            else:
                wishes = _wishes(rest)
            page = self._page_for(customer, wishes, is_told=self._tells(granted, customer, headers))
            mine = next((shelf for shelf in page.shelves if shelf.shelf in _OF_THE_ENGINE), None)
            if mine is None:
                page = page._replace(assigned=NOT_ASSIGNED)
            language = self._languages.asked(wishes.lang, headers)
            body = self._page(customer, page, wishes.channel, language)
        except ActiveCustomersError as error:
            reply = problem_of(error)
            REQUESTS.labels("homepage", str(reply.status)).inc()
            return reply
        if mine is not None:
            query, where = Query(customer, Context.HOME, channel=wishes.channel), (Context.HOME, wishes.channel)
            shown = mine.rows.products[: mine.size].tolist()
            self.shelves.trials.note(query, page.assigned, lambda: self._sign(customer, page, where, shown))
        for reason in page.degraded:
            DEGRADED.labels(reason).inc()
        self.counts.ok.add()
        self.counts.seconds.add(time.perf_counter() - started)
        return Reply(200, self._headers.of(language, wishes.lang), body)

    def tells(self, customer: str, headers: Headers) -> bool:
        """Tell whether a request may know what a customer did.

        A key of the server scope may, and who has the customer's token; of a visitor whom nobody knows everybody who
        has the id. Raises as `Access.check` does.
        """
        return self._tells(self._access.check(headers, Scope.PUBLIC), customer, headers)

    def _tells(self, granted: Scope, customer: str, headers: Headers) -> bool:
        if granted >= Scope.SERVER or self._access.is_token_of(customer, headers):
            return True
        return not self.shelves.is_known(customer)

    def _page_for(self, customer: str, wishes: _Wishes, *, is_told: bool) -> ShownPage:
        """Return a page, without the shelves of a history that is not to be told; others come up for them."""
        if is_told:
            return self.shelves.page(customer, wishes.channel, (wishes.shelves, wishes.n))
        page = self.shelves.page(customer, wishes.channel, (len(Shelf), wishes.n))
        shelves = [row for row in page.shelves if row.shelf not in HISTORY]
        if not shelves:
            page = self.shelves.page(STRANGER, wishes.channel, (wishes.shelves, wishes.n))
            shelves = list(page.shelves)
        return page._replace(shelves=shelves[: wishes.shelves], degraded=[*page.degraded, NOT_TOLD])

    def row(self, answer: Answer, query: ProductShelfQuery, headers: Headers) -> Reply:
        """Return the reply that is one row of products, in the language that a request's headers ask for."""
        about: dict[str, Any] = {}
        if query.customer_id is not None:
            shown = answer.rows.products[: answer.size].tolist()
            about["recommendation_id"] = self._sign(query.customer_id, answer, (Context.BROWSE, query.channel), shown)
        language = self._languages.asked(query.lang, headers)
        rows = self._cards.texts.rows(answer.rows, answer.size, language)
        metadata = orjson.dumps(_metadata(answer.model_version, answer.now, query.channel, answer.degraded) | about)
        return Reply(
            200, self._headers.of(language, query.lang), b'{"recommendations":[%b],"metadata":%b}' % (rows, metadata)
        )

    def _page(self, customer: str, page: ShownPage, channel: Channel, language: int) -> bytes:
        shelves = b",".join([self._shelf(customer, page, (channel, language), shelf) for shelf in page.shelves])
        said = _metadata(page.model_version, page.now, channel, page.degraded) | told(page.assigned)
        metadata = orjson.dumps(said)
        return b'{"customer_id":%b,"shelves":[%b],"metadata":%b}' % (orjson.dumps(json_id(customer)), shelves, metadata)

    def _shelf(self, customer: str, page: ShownPage, how: tuple[Channel, int], shelf: ShelfRow) -> bytes:
        channel, language = how
        said = page if shelf.shelf in _OF_THE_ENGINE else page._replace(assigned=NOT_ASSIGNED)
        token = self._sign(customer, said, (Context.HOME, channel), shelf.rows.products[: shelf.size].tolist())
        return b'{"code":"%b","title":"%b","recommendation_id":"%b","products":[%b]}' % (
            _CODES[shelf.shelf],
            self._title(shelf, language),
            token.encode(),
            self._cards.texts.rows(shelf.rows, shelf.size, language),
        )

    def _title(self, shelf: ShelfRow, language: int) -> bytes:
        """Return a title as the inside of a JSON string."""
        spoken = self._languages.known[language]
        before, named, after = spoken.titles[shelf.title].partition(PRODUCT)
        if not named:
            return _inside(before)
        told = self._cards.card(shelf.about).told
        name = told.name[1:-1] if told.may_be_named else _inside(spoken.unnamed)
        return _inside(before) + name + _inside(after)

    def _sign(
        self, customer: str, said: Answer | ShownPage, where: tuple[Context, Channel], products: list[int]
    ) -> str:
        codes = said.assigned.codes()
        return self._signer.sign(Shown(customer, said.now, said.model_version, *where, products, variants=codes))


def _inside(text: str) -> bytes:
    return orjson.dumps(text)[1:-1]


_CODES = [shelf.word.encode() for shelf in Shelf]


def _metadata(version: str, now: int, channel: Channel, degraded: Any) -> dict[str, Any]:
    time_now = format_time(now // SECOND * SECOND)
    return {"model_version": version, "timestamp": time_now, "channel": channel.word, "degraded": list(degraded)}


@lru_cache(maxsize=1024)
def _wishes(rest: bytes) -> _Wishes:
    """Return what is asked for but for the customer, which repeats from request to request."""
    return _wishes_of(_checked({"customer_id": "anybody", **query_fields(rest)}))


def _wishes_of(query: HomepageQuery) -> _Wishes:
    return _Wishes(query.channel, query.shelves, query.n, query.lang)


def _checked(fields: dict[str, Any]) -> HomepageQuery:
    try:
        return HomepageQuery.model_validate(fields)
    except ValidationError as error:
        raise first_error(error, HomepageQuery) from error
