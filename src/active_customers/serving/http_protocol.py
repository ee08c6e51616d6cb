"""HTTP on a connection: uvicorn's, but replies leave whole and together, and queries are answered at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from active_customers.realtime.problems import Headers, Reply
from active_customers.realtime.stream import TRANSPORT

AtOnce = Mapping[bytes, Callable[[Headers, bytes], Reply]]
"""By path: what answers a GET from its headers (names in small letters) and its query string, without waiting."""


MOST_HELD = 16
"""Connections whose replies wait for each other at most; each is answered once, but for those that pipeline."""
MOST_BYTES = 16_384
"""What a connection holds; a larger reply leaves as it is written."""


class Departures:
    """The connections of one event loop whose writes leave together: when its turn ends, or when there are many.

    A write wakes the process that waits for it, which costs more than all else of sending. Of requests that came
    together the replies leave together: the peer is woken once.
    """

    def __init__(self) -> None:
        self._waiting: list[JoinedWrites] = []

    def add(self, writes: JoinedWrites) -> None:
        """Let a connection leave with the others."""
        self._waiting.append(writes)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._leave)
        elif len(self._waiting) >= MOST_HELD:
            self._leave()

    def _leave(self) -> None:
        waiting, self._waiting = self._waiting, []
        for writes in waiting:
            writes.flush()


class JoinedWrites(asyncio.Transport):
    """A transport that holds what is written until its `departures` leave, so that a reply leaves whole.

    Uvicorn writes head and body one after the other, and each write costs a system call and a packet.
    """

    def __init__(self, transport: asyncio.Transport, departures: Departures) -> None:
        super().__init__()
        self._transport = transport
        self._departures = departures
        self._held = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write with the next departure; at once, with all that is held, when it is much."""
        if len(self._held) + len(data) > MOST_BYTES:
            data, self._held = self._held + data, b""
            self._transport.write(data)
        elif self._held:
            self._held += data
        else:
            self._held = bytes(data)
            self._departures.add(self)

    def flush(self) -> None:
        """Write what is held; to nobody when the peer is gone."""
        data, self._held = self._held, b""
        if data and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """Close when everything is written."""
        self.flush()
        self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def is_closing(self) -> bool:
        """Tell whether it is closed or being closed."""
        return self._transport.is_closing()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand the connection to another protocol."""
        self._transport.set_protocol(protocol)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what is known about the connection."""
        return self._transport.get_extra_info(name, default)


class HttpProtocol(HttpToolsProtocol):
    """Uvicorn's protocol over `JoinedWrites`.

    Where the application names routes in `at_once`, a GET of one is answered within the parser's callback. A task, its
    context and the ASGI messages cost more than such an answer does; the bytes that leave are those of the ASGI route,
    once the request is whole. Whatever is out of the ordinary goes that way: other requests under way on the
    connection, a client that does not read, an upgrade, `Expect`.
    """

    def __init__(self, departures: Departures, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._departures = departures
        self._at_once: AtOnce = getattr(self.config.app, "at_once", {})
        self._route: Callable[[Headers, bytes], Reply] | None = None
        self._query = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection."""
        super().connection_made(transport)
        self.transport = JoinedWrites(transport, self._departures)

    def on_headers_complete(self) -> None:
        """Choose the way of a request. It may have come in one packet with the one before, whose answer set a timer."""
        self._unset_keepalive_if_required()
        path, _, query = self.url.partition(b"?")
        route = self._at_once.get(path)
        if route is None:
            self.scope["extensions"] = {TRANSPORT: self.transport}  # type: ignore[dict-item]
        if route is None or self.parser.get_method() != b"GET" or b"#" in query or self._is_out_of_the_ordinary():
            super().on_headers_complete()
        else:
            self._route, self._query = route, query

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body; that of a GET says nothing."""
        if self._route is None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Answer, or let the application know that a request is whole."""
        if self._route is None:
            super().on_message_complete()
            return
        route, self._route = self._route, None
        keeps_alive = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        self._reply(route(self.headers, self._query), keeps_alive=keeps_alive)

    def _is_out_of_the_ordinary(self) -> bool:
        is_under_way = self.cycle is not None and not self.cycle.response_complete
        return is_under_way or self.flow.write_paused or self.expect_100_continue or self.parser.should_upgrade()

    def _reply(self, reply: Reply, *, keeps_alive: bool) -> None:
        parts = [STATUS_LINE[reply.status]]
        for name, value in (*self.server_state.default_headers, *reply.headers):
            parts += (name, b": ", value, b"\r\n")
        parts.append(b"content-length: %d\r\n" % len(reply.body))
        parts.append(b"\r\n" if keeps_alive else b"connection: close\r\n\r\n")
        parts.append(reply.body)
        self.transport.write(b"".join(parts))
        if keeps_alive:
            self.on_response_complete()
        else:
            self.server_state.total_requests += 1
            self.transport.close()
