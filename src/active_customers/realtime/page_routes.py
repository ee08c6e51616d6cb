"""The routes of pages as FastAPI declares them: all placements in one call, live suggestions, and what is ready."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from active_customers.realtime.access import Access
from active_customers.realtime.access import Scope as KeyScope
from active_customers.realtime.openapi import json_of, problems, ref, response_of, told
from active_customers.realtime.placements import PlacementAnswers, Placements, PlacementsIn
from active_customers.realtime.stream import STREAM, Streams
from active_customers.serving.readiness import Readiness, ReadinessReport

READINESS = "/api/v1/readiness"

PAGE_MODELS: tuple[type[BaseModel], ...] = (PlacementsIn, PlacementAnswers)


def page_router(recommendations: str, query: dict[str, Any], placements: Placements, streams: Streams) -> APIRouter:
    """Return the routes for lists of a page; `query` describes the parameters of one list."""
    router = APIRouter()
    answer = {"description": "What each placement is answered", "content": json_of(ref(PlacementAnswers))}
    body = {"required": True, "content": json_of(ref(PlacementsIn))}
    taking = {"requestBody": body, "responses": {"200": answer, **problems(("413", "The body is over 1 MiB"))}}

    @router.post(recommendations, summary="All lists of a page", openapi_extra=taking)
    async def page(request: Request) -> Response:
        """Return several lists in one call, in which no customer is shown a product twice, nor two of its variants.

        A placement that asks for something wrong is answered by its problem, and costs none of the others; 400 where
        all do. What the deadline left out is said in each list's `metadata.degraded`.
        """
        return response_of(await placements.answer(request.scope, request.receive))

    @router.get(STREAM, summary="What to show next, as it changes", openapi_extra=_streaming(query))
    async def stream() -> Response:
        """Send the list at once, and then each new one as the customer acts (server-sent events).

        Each event's `data` is the body of GET; its id stands for the list, so that who comes back with `Last-Event-ID`
        is sent only what they do not have.
        """
        return _Served(streams.serve)

    return router


def readiness_router(access: Access, readiness: Readiness) -> APIRouter:
    """Return the route that says what is active."""
    router = APIRouter()

    def needs_server_scope(request: Request) -> None:
        access.check(request.headers.raw, KeyScope.SERVER)

    closed = told(problems(), "401", "403", "503")

    @router.get(READINESS, summary="What is ready?", dependencies=[Depends(needs_server_scope)], responses=closed)
    def ready() -> ReadinessReport:
        """Return what answers are made of, and what each source still needs."""
        return readiness.report()

    return router


class _Served(Response):
    """A response that an ASGI callable gives itself."""

    def __init__(self, serve: Callable[[Any, Any, Any], Awaitable[None]]) -> None:
        super().__init__()
        self._serve = serve

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._serve(scope, receive, send)


def _streaming(query: dict[str, Any]) -> dict[str, Any]:
    key = {
        "name": "key",
        "in": "query",
        "required": False,
        "description": "A public API key: browsers' EventSource sends no headers.",
        "schema": {"type": "string"},
    }
    parameters = [each for each in query["parameters"] if each["name"] != "cursor"]
    answer = {"description": "Lists, as they change", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
    return {"parameters": [*parameters, key], "responses": {"200": answer, **problems()}}
