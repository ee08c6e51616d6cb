"""The routes of shelves as FastAPI declares them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from active_customers.core.errors import ActiveCustomersError
from active_customers.core.event import Channel
from active_customers.monitoring.metrics import DEGRADED, REQUESTS
from active_customers.realtime.access import Access, Scope
from active_customers.realtime.engine import Answer
from active_customers.realtime.openapi import json_of, parameters_of, problems, ref, response_of
from active_customers.realtime.problems import problem_of
from active_customers.realtime.schemas import Id
from active_customers.realtime.shelf_routes import (
    HomepageAnswer,
    HomepageQuery,
    HomepageShelf,
    ProductShelfQuery,
    RecentQuery,
    ShelfAnswer,
    ShelfRoutes,
    TrendingQuery,
)

HOMEPAGE = "/api/v1/homepage"

SHELF_MODELS: tuple[type[BaseModel], ...] = (HomepageAnswer, HomepageShelf, ShelfAnswer)

_UNKNOWN = ("404", "There is no such product")


def shelf_router(access: Access, routes: ShelfRoutes) -> APIRouter:
    """Return the routes of pages and of rows."""
    router = APIRouter()

    @router.get(HOMEPAGE, summary="A whole page of shelves", openapi_extra=_page_description())
    async def homepage(request: Request) -> Response:
        """Return titled shelves of products, chosen and ordered for this customer; no product stands there twice.

        Shelves that tell what a known customer did need a key of the server scope or `X-Customer-Token`.
        Reading stores nothing. Send the `recommendation_id` of a shelf back with the events that follow from it.
        """
        return response_of(await routes.homepage(request.scope, request.receive))

    _add_rows(router, access, routes)
    return router


def _add_rows(router: APIRouter, access: Access, routes: ShelfRoutes) -> None:
    shelves = routes.shelves

    def row(request: Request, wanted: ProductShelfQuery, answer: Callable[[int, Channel], Answer]) -> Response:
        name = request.url.path.removeprefix("/api/v1/").partition("/")[0]
        try:
            access.check(request.headers.raw, Scope.PUBLIC)
            found = answer(wanted.n, wanted.channel)
        except ActiveCustomersError as error:
            REQUESTS.labels(name, str(problem_of(error).status)).inc()
            raise
        REQUESTS.labels(name, "200").inc()
        for reason in found.degraded:
            DEGRADED.labels(reason).inc()
        return response_of(routes.row(found, wanted, request.headers.raw))

    # On the loop's thread, whose texts they share with the hot routes; none of them waits for anything.

    @router.get("/api/v1/similar/{product_id:path}", summary="What is like a product", openapi_extra=_row(_UNKNOWN))
    async def similar(request: Request, product_id: Id, wanted: Annotated[ProductShelfQuery, Query()]) -> Response:
        """Return what is looked at together with a product, described alike, or of its category; no variants of it."""
        return row(request, wanted, partial(shelves.similar, product_id))

    @router.get(
        "/api/v1/bought-together/{product_id:path}", summary="What goes with a product", openapi_extra=_row(_UNKNOWN)
    )
    async def bought_together(
        request: Request, product_id: Id, wanted: Annotated[ProductShelfQuery, Query()]
    ) -> Response:
        """Return what at least two sessions bought together with a product; what was given back does not count."""
        return row(request, wanted, partial(shelves.bought_together, product_id))

    @router.get("/api/v1/trending", summary="What more and more customers look at", openapi_extra=_row())
    async def trending(request: Request, wanted: Annotated[TrendingQuery, Query()]) -> Response:
        """Return trends of the shop or a category; where there are none, what is popular, and `no_trend` is said."""
        return row(request, wanted, partial(shelves.trending, wanted.category))

    @router.get("/api/v1/recently-viewed", summary="What a customer looked at", openapi_extra=_row())
    async def recently_viewed(request: Request, wanted: Annotated[RecentQuery, Query()]) -> Response:
        """Return what a customer acted on last, the newest first, as far as it may be shown.

        Of a customer who logged in or bought something: with a key of the server scope or `X-Customer-Token`; else
        nothing, and `degraded` says `history`.
        """
        is_told = routes.tells(wanted.customer_id, request.headers.raw)
        if not is_told:
            return row(request, wanted, shelves.nothing_told)
        return row(request, wanted, partial(shelves.recently_viewed, wanted.customer_id))


def _row(*more: tuple[str, str]) -> dict[str, Any]:
    answer = {"description": "The products, best first", "content": json_of(ref(ShelfAnswer))}
    return {"responses": {"200": answer, **problems(*more)}}


def _page_description() -> dict[str, Any]:
    answer = {"description": "The page", "content": json_of(ref(HomepageAnswer))}
    return {"parameters": parameters_of(HomepageQuery), "responses": {"200": answer, **problems()}}
