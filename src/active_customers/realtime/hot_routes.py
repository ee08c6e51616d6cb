"""The two hot routes, each from the raw request to the raw reply; FastAPI declares these same functions."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes

import orjson
from pydantic import ValidationError

from active_customers.core.clock import Clock
from active_customers.core.errors import ActiveCustomersError, InvalidValueError, PayloadTooLargeError
from active_customers.core.event import Event, Receipt
from active_customers.monitoring.metrics import DEGRADED, EVENTS, REQUEST_SECONDS, REQUESTS
from active_customers.realtime.access import Access, Scope
from active_customers.realtime.answers import AnswerEncoder
from active_customers.realtime.engine import Engine
from active_customers.realtime.ingest import parse_body
from active_customers.realtime.problems import Headers, Reply, problem_of
from active_customers.realtime.schemas import REPEATABLE, RecommendationQuery, first_error

ASGIScope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

MAX_BODY = 1 << 20
"""Bytes of a body that are taken; a longer one is read on, thrown away and answered 413."""
MAX_READ = 8 << 20
"""Bytes after which the connection is closed instead."""

_JSON: Headers = [(b"content-type", b"application/json"), (b"cache-control", b"private, no-store")]

_GET_SECONDS = REQUEST_SECONDS.labels("recommendations")
_POST_SECONDS = REQUEST_SECONDS.labels("events")
_GET_OK = REQUESTS.labels("recommendations", "200")
_POST_OK = REQUESTS.labels("events", "202")
_ACCEPTED, _DUPLICATE, _REJECTED = (EVENTS.labels(status) for status in ("accepted", "duplicate", "rejected"))


class Appender(Protocol):
    """Where events go: the committer, or the link to it."""

    @property
    def is_running(self) -> bool:
        """Whether events can be appended."""
        ...

    async def append(self, events: Sequence[Event]) -> list[Receipt]:
        """Return the receipts of events once they are durable."""
        ...


class HotRoutes:
    """`GET /api/v1/recommendations` and `POST /api/v1/events`."""

    def __init__(
        self, access: Access, clock: Clock, answering: tuple[Engine, AnswerEncoder], appender: Appender
    ) -> None:
        self._access = access
        self._clock = clock
        self._engine, self._encoder = answering
        self._appender = appender

    async def recommendations(self, scope: ASGIScope, _receive: Receive) -> Reply:
        """Answer a query; what is wrong with it comes back as a problem document."""
        started = time.perf_counter()
        try:
            self._access.check(scope["headers"], Scope.PUBLIC)
            query = parse_query(scope["query_string"])
            answer = self._engine.recommend(query)
            body = self._encoder.encode(query, answer)
        except ActiveCustomersError as error:
            return _refused("recommendations", error)
        for reason in answer.degraded:
            DEGRADED.labels(reason).inc()
        _GET_OK.inc()
        _GET_SECONDS.observe(time.perf_counter() - started)
        return Reply(200, _JSON, body)

    async def events(self, scope: ASGIScope, receive: Receive) -> Reply:
        """Store what was posted; 202 means that it is on disk."""
        started = time.perf_counter()
        try:
            self._access.check(scope["headers"], Scope.PUBLIC)
            body = await read_body(receive)
            if body is None:
                return _TOO_LONG
            posted = parse_body(body, self._clock.now())
            events = posted.events()
            _REJECTED.inc(len(posted.outcomes) - len(events))
            receipts = await self._appender.append(events) if events else []
            answer = posted.answer(receipts)
        except ActiveCustomersError as error:
            return _refused("events", error)
        duplicates = sum(receipt.is_duplicate for receipt in receipts)
        _DUPLICATE.inc(duplicates)
        _ACCEPTED.inc(len(receipts) - duplicates)
        _POST_OK.inc()
        _POST_SECONDS.observe(time.perf_counter() - started)
        return Reply(202, _JSON, orjson.dumps(answer))


def _refused(route: str, error: ActiveCustomersError) -> Reply:
    reply = problem_of(error)
    REQUESTS.labels(route, str(reply.status)).inc()
    return reply


def _too_long() -> Reply:
    reply = problem_of(PayloadTooLargeError("the body", "1 MiB"))
    return Reply(reply.status, [*reply.headers, (b"connection", b"close")], reply.body)


_TOO_LONG = _too_long()


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


def parse_query(query_string: bytes) -> RecommendationQuery:
    """Return the query behind a URL; raises `InvalidValueError` naming the parameter."""
    fields: dict[str, Any] = {}
    for name, value in _pairs(query_string):
        if name in REPEATABLE:
            fields.setdefault(name, []).append(value)
        elif name in fields:
            raise InvalidValueError(name, value, "it takes one value: send it once")
        else:
            fields[name] = value
    try:
        return RecommendationQuery.model_validate(fields)
    except ValidationError as error:
        raise first_error(error, RecommendationQuery) from error


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
        raise InvalidValueError("query", query_string[:60], f"percent-encode UTF-8 ({error})") from error
