"""The ASGI application: the hot routes first, everything else through FastAPI."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from active_customers.core.errors import ActiveCustomersError
from active_customers.realtime.api import EVENTS, RECOMMENDATIONS, build_api
from active_customers.realtime.hot_routes import ASGIScope, Receive
from active_customers.realtime.problems import Headers, Reply, problem_of
from active_customers.realtime.shelf_api import HOMEPAGE
from active_customers.realtime.stream import STREAM
from active_customers.wiring import Services

_log = logging.getLogger(__name__)

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Application:
    """Dispatches the hot routes and streams before FastAPI's router, which costs several times more than they do."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._hot = {
            ("GET", RECOMMENDATIONS): services.hot.recommendations,
            ("POST", EVENTS): services.hot.events,
            ("POST", RECOMMENDATIONS): services.placements.answer,
            ("GET", HOMEPAGE): services.shelves.homepage,
        }
        answers = {RECOMMENDATIONS: services.hot.answer, HOMEPAGE: services.shelves.answer}
        self.at_once = {path.encode(): _answering_at_once(path, answer) for path, answer in answers.items()}
        """What a server may call instead, where it can (see `serving.http_protocol`)."""
        self._api = build_api(services)

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan of the process."""
        if scope["type"] == "http":
            route = self._hot.get((scope["method"], scope["path"]))
            if route is None:
                is_stream = (scope["method"], scope["path"]) == ("GET", STREAM)
                await (self._services.streams.serve if is_stream else self._api)(scope, receive, send)
                return
            try:
                reply = await route(scope, receive)
            except Exception:  # noqa: BLE001 - whatever it is, the caller gets an answer and the log the reason
                reply = _failed(scope["method"], scope["path"])
            await _send(send, reply)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self._services.parts.start()
            self._services.hot.rehearse()
            self._services.shelves.rehearse()
            self._services.explainer.rehearse()
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._services.parts.stop()
        await send({"type": "lifespan.shutdown.complete"})


def _answering_at_once(path: str, answer: Callable[[Headers, bytes], Reply]) -> Callable[[Headers, bytes], Reply]:
    """Return what answers a query as the ASGI route does."""

    def answer_at_once(headers: Headers, query_string: bytes) -> Reply:
        try:
            return answer(headers, query_string)
        except Exception:  # noqa: BLE001 - as above
            return _failed("GET", path)

    return answer_at_once


def _failed(method: str, path: str) -> Reply:
    """Log what is being handled; return the reply that tells of it."""
    _log.exception("%s %s failed", method, path)
    return problem_of(ActiveCustomersError("something went wrong here: see the log of the service"))


async def _send(send: Send, reply: Reply) -> None:
    headers = [*reply.headers, (b"content-length", b"%d" % len(reply.body))]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})


def build_app(services: Services, cors_origins: Sequence[str]) -> ASGIApp:
    """Return the application, behind a check of origins where pages of other origins may call it."""
    app = Application(services)
    if not cors_origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=cors_origins,
        allow_methods=["GET", "POST"],
        allow_headers=["authorization", "content-type", "x-api-key", "x-customer-token"],
    )
