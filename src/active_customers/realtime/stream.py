"""Live suggestions: `GET /api/v1/recommendations/stream`, server-sent events (WHATWG HTML, section 9.2).

A worker follows the log while it has streams, so that it learns of an act whichever worker took it; it pushes a list
when the customer acted and the list is another one than before.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from contextlib import suppress
from hashlib import blake2b
from typing import Annotated, Any, NamedTuple
from urllib.parse import unquote_to_bytes

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from active_customers.core.config import Config
from active_customers.core.errors import ActiveCustomersError, ForbiddenError, InvalidValueError, OverloadedError
from active_customers.core.event import EventType, LogEntry
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.product import Standing
from active_customers.monitoring.metrics import STREAM_ENDS, STREAM_LISTS, STREAMS
from active_customers.realtime.access import Access, Scope
from active_customers.realtime.answers import AnswerEncoder
from active_customers.realtime.engine import Answer, Engine
from active_customers.realtime.hot_routes import ASGIScope, Receive, parse_query
from active_customers.realtime.language_headers import LanguageHeaders
from active_customers.realtime.problems import Headers, Reply, problem_of
from active_customers.realtime.schemas import Query
from active_customers.storage.base import Store

_log = logging.getLogger(__name__)

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

STREAM = "/api/v1/recommendations/stream"
TRANSPORT = "active_customers.transport"
"""The ASGI extension that holds the connection's transport, where the server gives it away."""

_HEADERS: Headers = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"private, no-store"),
    (b"x-accel-buffering", b"no"),  # nginx passes it on at once
]
_KEY = b"key="
_JOINED = "other_customer_id"
"""The detail of a login that names whoever acted before: their list is another one then, too."""
_COMMENT = b":\n\n"
_RETRY = b"retry: 2000\n"
"""Milliseconds until a browser connects again after it lost the connection."""
_GOOD_BYE = b"retry: 500\n\n"
"""The same where the service ends: another one is likely there by then, or soon."""

_ENTRIES_AT_ONCE = 500
"""Entries of the log that are looked at before others get their turn: some milliseconds."""
_STREAMS_AT_ONCE = 32
"""Streams that are seen to before others get their turn."""
_SEND_BUFFER = 32_768
"""Bytes that the system holds for a client that does not read (it doubles them); a list has some thousands."""
_RETRY_SECONDS = 5
"""When to come back where all streams are taken."""


class StreamConfig(Config):
    """Live suggestions, for each worker."""

    most_streams: Annotated[int, Field(ge=0)] = 4_000
    """Streams that are open at once; one more is answered 503 with `Retry-After`."""
    poll_ms: Annotated[float, Field(ge=1, le=1_000)] = 25.0
    """Milliseconds between looks for new events, while there are streams."""
    heartbeat_seconds: Annotated[float, Field(gt=0)] = 15.0
    """Seconds between comments that keep an idle stream open; a list that shows what may no longer be shown is replaced
    then."""
    slow_seconds: Annotated[float, Field(ge=1)] = 30.0
    """Seconds after which a client that reads nothing of what it is sent is disconnected."""


class _List(NamedTuple):
    """A list as it is shown: what stands for it, its products, and the body that an answer would have."""

    list_id: bytes
    products: NDArray[np.uint32]
    body: bytes


class _Stream:
    """One open stream: what it was asked for, the list that it shows, and what waits to be sent."""

    __slots__ = ("abort", "busy_since", "list_id", "products", "query", "sending", "unsent", "write")

    def __init__(self, query: Query, send: Send, transport: asyncio.Transport | None) -> None:
        self.query = query
        self.write = send
        self.abort: Callable[[], None] | None = None if transport is None else transport.abort
        self.list_id = b""
        self.products: NDArray[np.uint32] = np.empty(0, np.uint32)
        self.unsent: bytes | None = None
        self.sending: asyncio.Task[None] | None = None
        self.busy_since = 0.0


class Streams:
    """The open streams of one worker. All of it happens in one event loop."""

    def __init__(
        self,
        access: Access,
        answering: tuple[Engine, AnswerEncoder],
        store: Store,
        config: StreamConfig | None = None,
    ) -> None:
        self._access = access
        self._engine, self._encoder = answering
        self._headers = LanguageHeaders(self._encoder.languages, _HEADERS)
        self._log, self._sessions, self._customers = store.events, store.sessions, store.customers
        self._config = config or StreamConfig()
        self._by_id: dict[str, set[_Stream]] = {}
        self._numbers: dict[str, int] = {}
        """Of the ids with streams the customer's number: of joined ids one, which entries of the log have."""
        self._ids: dict[int, set[str]] = {}
        self._beats: dict[_Stream, float] = {}
        """When each is due for a heartbeat; the next one first."""
        self._busy: set[_Stream] = set()
        self._position = 0
        self._following: asyncio.Task[None] | None = None
        self._is_ending = False

    def __len__(self) -> int:
        return len(self._beats)

    async def serve(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """Serve one stream until the client goes or `end` is called; what is wrong is answered by a problem document.

        The first list leaves at once, unless `Last-Event-ID` says that the client has it.
        """
        try:
            query, headers = self._asked(scope)
            self._follow()  # before the list is made, so that no act falls between the two
            first = self._listed(query)
        except ActiveCustomersError as error:
            await _reply(send, problem_of(error))
            return
        except Exception:  # noqa: BLE001 - whatever it is, the caller gets an answer and the log the reason
            _log.exception("a stream could not be opened")
            await _reply(send, problem_of(ActiveCustomersError("something went wrong here: see the service's log")))
            return
        stream = _Stream(query, send, _prepared(scope, self._config.slow_seconds))
        self._open(stream)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            self._show(stream, first, known=_last_id(scope["headers"]))
            while (await receive())["type"] != "http.disconnect":
                pass
        finally:
            self._close(stream)

    def end(self) -> None:
        """End all streams and take no more: clients are told to connect again."""
        self._is_ending = True
        for stream in list(self._beats):
            if stream in self._busy:
                self._abort(stream, "stopping")
            else:
                self._send(stream, _GOOD_BYE)

    def _asked(self, scope: ASGIScope) -> tuple[Query, Headers]:
        """Return the query of a request that may have a stream, and the reply's headers.

        Raises as `problems.STATUSES` lists.
        """
        key, query_string = _without_key(scope["query_string"])
        if key is None:
            self._access.check(scope["headers"], Scope.PUBLIC)
        elif self._access.check([(b"x-api-key", key)], Scope.PUBLIC) > Scope.PUBLIC and not self._access.is_open:
            raise ForbiddenError("addresses end up in logs: send a public key in `key`, any other key in a header")
        query = parse_query(query_string)
        if query.strategy is not None:
            self._access.check(scope["headers"], Scope.SERVER)
        if query.cursor is not None:
            raise InvalidValueError("cursor", query.cursor, "a stream shows one list: ask GET for a list that goes on")
        if self._is_ending:
            raise OverloadedError("the service is stopping")
        if len(self) >= self._config.most_streams:
            STREAM_ENDS.labels("refused").inc()
            raise OverloadedError("all streams of this worker are taken (stream.most_streams)", _RETRY_SECONDS)
        languages = self._encoder.languages
        language = languages.asked(query.lang, scope["headers"])
        return query._replace(lang=languages.known[language].tag), self._headers.of(language, query.lang)

    def _listed(self, query: Query) -> _List:
        answer = self._engine.recommend(query)
        if answer.size:
            self._engine.trials.note(query, answer.assigned, lambda: self._encoder.token(query, answer))
        products = answer.rows.products[: answer.size].astype(np.uint32)
        return _List(
            _id_of(answer), products, self._encoder.encode(query, answer, self._encoder.languages.asked(query.lang, ()))
        )

    def _open(self, stream: _Stream) -> None:
        customer_id = stream.query.customer_id
        if customer_id not in self._by_id:
            self._by_id[customer_id] = set()
            self._point(customer_id)
        self._by_id[customer_id].add(stream)
        self._beats[stream] = time.monotonic() + self._config.heartbeat_seconds
        STREAMS.inc()

    def _close(self, stream: _Stream) -> None:
        del self._beats[stream]
        customer_id = stream.query.customer_id
        self._by_id[customer_id].discard(stream)
        if not self._by_id[customer_id]:
            del self._by_id[customer_id]
            self._forget(customer_id)
        self._busy.discard(stream)
        if stream.sending is not None:
            stream.sending.cancel()
        STREAMS.dec()

    def _point(self, customer_id: str) -> None:
        """Note whose streams those of an id are: it may be a new one, or lead to another customer than before."""
        self._forget(customer_id)
        number = self._numbers[customer_id] = self._sessions.find(customer_id)[0]
        self._ids.setdefault(number, set()).add(customer_id)

    def _forget(self, customer_id: str) -> None:
        number = self._numbers.pop(customer_id, None)
        if number is not None:
            self._ids[number].discard(customer_id)
            if not self._ids[number]:
                del self._ids[number]

    def _abort(self, stream: _Stream, reason: str) -> None:
        """Hang up on a client that does not read: nothing that is sent would reach it."""
        STREAM_ENDS.labels(reason).inc()
        self._busy.discard(stream)
        if stream.abort is not None:
            stream.abort()

    def _renew(self, stream: _Stream) -> None:
        """Show a stream's customer the list of this moment. What goes wrong with one list harms none of the others."""
        try:
            self._show(stream, self._listed(stream.query))
        except Exception:  # noqa: BLE001 - it is of one customer
            _log.exception("a live list could not be made and stays as it was")

    def _show(self, stream: _Stream, new: _List, known: bytes = b"") -> None:
        """Send a list if the client does not have it; `known` is the one that it says it has."""
        is_first, is_new = not stream.list_id, new.list_id not in (stream.list_id, known)
        stream.list_id, stream.products = new.list_id, new.products
        if is_new:
            STREAM_LISTS.inc()
            self._send(stream, b"%bid: %b\ndata: %b\n\n" % (_RETRY if is_first else b"", new.list_id, new.body))
        elif is_first:
            self._send(stream, _RETRY + b"\n")

    def _send(self, stream: _Stream, event: bytes) -> None:
        """Let an event leave; the newest takes the place of one that could not leave yet."""
        if self._is_ending and event is not _GOOD_BYE:
            return
        stream.unsent = event
        if stream.sending is None:
            stream.busy_since = time.monotonic()
            self._busy.add(stream)
            stream.sending = asyncio.get_running_loop().create_task(self._leave(stream))

    async def _leave(self, stream: _Stream) -> None:
        try:
            while (event := stream.unsent) is not None:
                stream.unsent = None
                is_last = event is _GOOD_BYE
                await stream.write({"type": "http.response.body", "body": event, "more_body": not is_last})
                stream.busy_since = time.monotonic()
        except (OSError, RuntimeError):  # the connection was lost meanwhile, which ends the stream
            _log.debug("a stream could not be written to", exc_info=True)
        finally:
            stream.sending = None
            self._busy.discard(stream)

    def _follow(self) -> None:
        """Look at the log from now on, while there are streams."""
        if self._following is None or self._following.done():
            self._position = self._log.next_position()
            self._following = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        pause = self._config.poll_ms / 1_000
        while True:
            await asyncio.sleep(pause)
            if not self._beats or self._is_ending:
                return
            try:
                await self._push()
                self._beat(time.monotonic())
            except Exception:  # noqa: BLE001 - the streams that wait outlive whatever one look meets
                _log.exception("live suggestions could not be looked after and will be again")
                await asyncio.sleep(1)

    async def _push(self) -> None:
        """Show their new lists to the customers who acted since the last look.

        What comes while it looks is left to the next look, or under a steady load it would never end.
        """
        end = self._log.next_position()
        while self._position < end and not self._is_ending:
            streams = [stream for customer_id in self._acted(end) for stream in self._by_id[customer_id]]
            for first in range(0, len(streams), _STREAMS_AT_ONCE):
                for stream in streams[first : first + _STREAMS_AT_ONCE]:
                    if stream in self._beats and not self._is_ending:  # it may have been closed meanwhile
                        self._renew(stream)
                self._beat(time.monotonic())
                await asyncio.sleep(0)
            self._beat(time.monotonic())
            await asyncio.sleep(0)

    def _acted(self, end: int) -> Iterable[str]:
        """Return the ids with streams whose customers acted, of some entries of the log before `end`, or little after.

        Where entries are missing (an import took their positions, or they went to the archive meanwhile) it may have
        been anybody.
        """
        start = self._position
        entries = self._log.read(start, _ENTRIES_AT_ONCE)
        read = entries[-1].position + 1 if entries else start
        self._position = read if len(entries) == _ENTRIES_AT_ONCE else max(read, end)
        is_whole = len(entries) == self._position - start
        if not is_whole or any(entry.event.event_type == EventType.ERASE for entry in entries):
            for customer_id in self._by_id:
                self._point(customer_id)
            return list(self._by_id)
        named = self._named(entries) & self._by_id.keys()
        for customer_id in named:
            self._point(customer_id)
        numbers = {entry.customer for entry in entries if entry.customer != NO_NUMBER} & self._ids.keys()
        return named.union(*(self._ids[number] for number in numbers))

    def _named(self, entries: Sequence[LogEntry]) -> set[str]:
        """Return the ids that entries name, and after a login all those that lead to the same customer now."""
        named = {entry.event.customer_id for entry in entries}
        for entry in entries:
            if entry.event.event_type == EventType.LOGIN:
                named.update(self._customers.ids(entry.event.customer_id))
            if _JOINED in entry.event.details:
                named.add(str(entry.event.details[_JOINED]))
        return named

    def _beat(self, now: float) -> None:
        """Send the heartbeats that are due, a few at a time, and hang up on those who do not read."""
        for stream in [each for each in self._busy if now - each.busy_since > self._config.slow_seconds]:
            self._abort(stream, "slow")
        for _ in range(_STREAMS_AT_ONCE):
            due = next(iter(self._beats.items()), None)
            if due is None or due[1] > now:
                return
            stream = due[0]
            del self._beats[stream]
            self._beats[stream] = now + self._config.heartbeat_seconds
            if _any_closed(stream.products, self._engine.cards.standing):
                self._renew(stream)
            elif stream.sending is None:
                self._send(stream, _COMMENT)


def _without_key(query_string: bytes) -> tuple[bytes | None, bytes]:
    """Return the API key in a query string, if there is one, and the rest: EventSource sends no headers."""
    if _KEY not in query_string:
        return None, query_string
    pairs = query_string.split(b"&")
    keys = [unquote_to_bytes(pair.removeprefix(_KEY)) for pair in pairs if pair.startswith(_KEY)]
    return (keys[0] if keys else None), b"&".join(pair for pair in pairs if not pair.startswith(_KEY))


def _last_id(headers: Headers) -> bytes:
    return next((value for name, value in headers if name == b"last-event-id"), b"")


def _id_of(answer: Answer) -> bytes:
    """Return what stands for a list: its products in their order, and why each is there."""
    rows, size = answer.rows, answer.size
    hasher = blake2b(digest_size=8)
    for column in (rows.products, rows.reasons, rows.evidence):
        hasher.update(np.ascontiguousarray(column[:size]).tobytes())
    return hasher.hexdigest().encode()


def _any_closed(products: NDArray[np.uint32], standing: NDArray[np.uint8]) -> bool:
    """Tell whether any of the products may no longer be shown."""
    return bool((standing[products[products < len(standing)]] > Standing.OPEN).any())


def _prepared(scope: ASGIScope, patience: float) -> asyncio.Transport | None:
    """Bound what the system holds for a client that does not read, and how long it waits for one that is gone."""
    transport: asyncio.Transport | None = scope.get("extensions", {}).get(TRANSPORT)
    connection = None if transport is None else transport.get_extra_info("socket")
    if connection is not None:
        with suppress(OSError):  # no TCP, or another system
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(patience * 1_000))
    return transport


async def _reply(send: Send, reply: Reply) -> None:
    headers = [*reply.headers, (b"content-length", b"%d" % len(reply.body))]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})
