"""The two hot routes, each from the raw request to the raw reply; FastAPI declares these same functions."""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from functools import lru_cache
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes

import orjson
from pydantic import ValidationError

from active_customers.core.clock import Clock
from active_customers.core.errors import ActiveCustomersError, InvalidValueError, PayloadTooLargeError
from active_customers.core.event import Event, Receipt
from active_customers.core.identifiers import MAX_ID_LENGTH
from active_customers.monitoring.metrics import DEGRADED, EVENTS, REQUEST_SECONDS, REQUESTS
from active_customers.monitoring.tally import Tally, Timings
from active_customers.realtime.access import Access, Scope
from active_customers.realtime.answers import AnswerEncoder
from active_customers.realtime.engine import Engine
from active_customers.realtime.ingest import parse_body, without_joins
from active_customers.realtime.language_headers import LanguageHeaders
from active_customers.realtime.pages import Pages
from active_customers.realtime.problems import Headers, Reply, problem_of
from active_customers.realtime.schemas import REPEATABLE, Query, RecommendationQuery, first_error

ASGIScope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

MAX_BODY = 1 << 20
"""Bytes of a body that are taken; a longer one is read on, thrown away and answered 413."""
MAX_READ = 8 << 20
"""Bytes after which the connection is closed instead."""

JSON: Headers = [(b"content-type", b"application/json"), (b"cache-control", b"private, no-store")]


_CUSTOMER = b"customer_id="
_LONGEST_KEPT = 512
"""Bytes of a query string that may be kept; there are 4,096 of them, and anybody can make some up."""


class Appender(Protocol):
    """Where events go: the committer, or the link to it."""

    @property
    def is_running(self) -> bool:
        """Whether events can be appended."""
        ...

    @property
    def is_full(self) -> bool:
        """Whether the last commit found no room on the disk."""
        ...

    async def append(self, events: Sequence[Event]) -> list[Receipt]:
        """Return the receipts of events once they are durable."""
        ...


class Counts:
    """What is counted with every request, in the thread that answers."""

    def __init__(self) -> None:
        self.get_ok = Tally(REQUESTS.labels("recommendations", "200"))
        self.get_seconds = Timings(REQUEST_SECONDS.labels("recommendations"))
        self.post_ok = Tally(REQUESTS.labels("events", "202"))
        self.post_seconds = Timings(REQUEST_SECONDS.labels("events"))
        self.accepted, self.duplicate, self.rejected, self.not_kept = (
            Tally(EVENTS.labels(status)) for status in ("accepted", "duplicate", "rejected", "not_kept")
        )
        self._publishing = threading.Lock()

    def publish(self) -> None:
        """Hand it over to Prometheus; from any thread, now and then."""
        with self._publishing:
            for tally in (self.get_ok, self.post_ok, self.accepted, self.duplicate, self.rejected, self.not_kept):
                tally.publish()
            for timings in (self.get_seconds, self.post_seconds):
                timings.publish()


class HotRoutes:
    """`GET /api/v1/recommendations` and `POST /api/v1/events`."""

    def __init__(
        self,
        access: Access,
        clock: Clock,
        answering: tuple[Engine, AnswerEncoder],
        appender: Appender,
        counts: Counts | None = None,
    ) -> None:
        self._access = access
        self._clock = clock
        self._engine, self._encoder = answering
        self._pages = Pages(*answering)
        self._appender = appender
        self.counts = counts or Counts()
        languages = self._languages = self._encoder.languages
        self._headers = LanguageHeaders(languages, JSON)

    def rehearse(self) -> None:
        """Answer a query that nobody asked, so that nobody waits for what is loaded on its first use."""
        self._encoder.encode(Query("nobody"), self._engine.rehearse(Query("nobody")))

    async def recommendations(self, scope: ASGIScope, _receive: Receive) -> Reply:
        """Answer a query; what is wrong with it comes back as a problem document."""
        return self.answer(scope["headers"], scope["query_string"])

    def answer(self, headers: Headers, query_string: bytes) -> Reply:
        """Answer a query from a request's headers and query string; it waits for nothing."""
        started = time.perf_counter()
        try:
            self._access.check(headers, Scope.PUBLIC)
            query = parse_query(query_string)
            if query.strategy is not None:
                self._access.check(headers, Scope.SERVER)
            language = self._languages.asked(query.lang, headers)
            if query.cursor is None:
                answer = self._engine.recommend(query)
                body = self._encoder.encode(query, answer, language)
            else:
                body, answer = self._pages.answered(query, language=language)
        except ActiveCustomersError as error:
            return _refused("recommendations", error)
        if answer.size:
            self._engine.trials.note(query, answer.assigned, lambda: self._encoder.token(query, answer))
        for reason in answer.degraded:
            DEGRADED.labels(reason).inc()
        self.counts.get_ok.add()
        self.counts.get_seconds.add(time.perf_counter() - started)
        return Reply(200, self._headers.of(language, query.lang), body)

    async def events(self, scope: ASGIScope, receive: Receive) -> Reply:
        """Store what was posted; 202 means that it is on disk."""
        started = time.perf_counter()
        try:
            granted = self._access.check(scope["headers"], Scope.PUBLIC)
            body = await read_body(receive)
            if body is None:
                return TOO_LONG
            posted = parse_body(body, self._clock.now())
            if granted < Scope.SERVER:
                posted = without_joins(posted)
            events = posted.events()
            self.counts.rejected.add(posted.n_rejected())
            receipts = await self._appender.append(events) if events else []
            answer = posted.answer(receipts)
        except ActiveCustomersError as error:
            return _refused("events", error)
        duplicates = sum(receipt.is_duplicate for receipt in receipts)
        not_kept = sum(not receipt.is_kept for receipt in receipts)
        self.counts.duplicate.add(duplicates)
        self.counts.not_kept.add(not_kept)
        self.counts.accepted.add(len(receipts) - duplicates - not_kept)
        self.counts.post_ok.add()
        self.counts.post_seconds.add(time.perf_counter() - started)
        return Reply(202, JSON, orjson.dumps(answer))


def _refused(route: str, error: ActiveCustomersError) -> Reply:
    reply = problem_of(error)
    REQUESTS.labels(route, str(reply.status)).inc()
    return reply


def _too_long() -> Reply:
    reply = problem_of(PayloadTooLargeError("the body", "1 MiB"))
    return Reply(reply.status, [*reply.headers, (b"connection", b"close")], reply.body)


TOO_LONG = _too_long()


async def read_body(receive: Receive) -> bytes | None:
    """Return a request's body; None when it goes on after `MAX_READ` bytes.

    Raises `PayloadTooLargeError` for one over `MAX_BODY` that did end: the connection stays usable.
    """
    message = await receive()
    if not message.get("more_body", False) and len(message.get("body", b"")) <= MAX_BODY:
        whole: bytes = message.get("body", b"")
        return whole
    parts: list[bytes] = []
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            return None
        part = message.get("body", b"")
        size += len(part)
        if size > MAX_READ:
            return None
        if size <= MAX_BODY:
            parts.append(part)
        if not message.get("more_body", False):
            break
        message = await receive()
    if size > MAX_BODY:
        raise PayloadTooLargeError("the body", "1 MiB")
    return b"".join(parts)


def parse_query(query_string: bytes) -> Query:
    """Return the query behind a URL; raises `InvalidValueError` naming the parameter.

    All but the customer repeats from request to request, so what was made of it is kept.
    """
    customer, rest = split_customer(query_string)
    return _checked(query_fields(query_string)) if customer is None else Query(customer, *_wishes(rest))


def split_customer(query_string: bytes) -> tuple[str | None, bytes]:
    """Return the customer of a plain query string and the rest, which may be kept; None where it is not plain."""
    if query_string.startswith(_CUSTOMER) and len(query_string) <= _LONGEST_KEPT and b"%" not in query_string:
        customer, _, rest = query_string[len(_CUSTOMER) :].partition(b"&")
        is_plain = customer.translate(None, b"-_.~").isalnum() and len(customer) <= MAX_ID_LENGTH
        if is_plain and _CUSTOMER not in rest:
            return customer.decode(), rest
    return None, query_string


@lru_cache(maxsize=4096)
def _wishes(rest: bytes) -> tuple[Any, ...]:
    """Return the fields of a query but for its customer."""
    return _checked({"customer_id": "anybody", **query_fields(rest)})[1:]


def query_fields(query_string: bytes) -> dict[str, Any]:
    """Return the parameters of a query string; raises `InvalidValueError` for one that stands there twice."""
    fields: dict[str, Any] = {}
    for name, value in _pairs(query_string):
        if name in REPEATABLE:
            fields.setdefault(name, []).append(value)
        elif name in fields:
            raise InvalidValueError(name, value, "it takes one value: send it once")
        else:
            fields[name] = value
    return fields


def _checked(fields: dict[str, Any]) -> Query:
    try:
        query = RecommendationQuery.model_validate(fields)
    except ValidationError as error:
        raise first_error(error, RecommendationQuery) from error
    return Query.of(query)


def _pairs(query_string: bytes) -> list[tuple[str, str]]:
    """Return names and values of a query string; raises `InvalidValueError` for what is no percent-encoded UTF-8."""
    if not query_string:
        return []
    try:
        if b"%" not in query_string and b"+" not in query_string:
            halves = [pair.partition("=") for pair in query_string.decode("ascii").split("&") if pair]
            return [(name, value) for name, _, value in halves]
        parts = [pair.partition(b"=") for pair in query_string.replace(b"+", b" ").split(b"&") if pair]
        return [(unquote_to_bytes(name).decode(), unquote_to_bytes(value).decode()) for name, _, value in parts]
    except UnicodeDecodeError as error:
        raise InvalidValueError("query", query_string[:60], "percent-encode text in UTF-8") from error
