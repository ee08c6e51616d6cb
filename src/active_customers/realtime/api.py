"""The API as FastAPI declares it: the OpenAPI document, health, metrics, and the hot routes' own functions."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from threading import BoundedSemaphore
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, StreamingResponse

from active_customers import __version__
from active_customers.batch.customer_export import CustomerDocument, CustomerExport
from active_customers.core.errors import ActiveCustomersError, InvalidValueError, OverloadedError
from active_customers.monitoring.exposition import exposition
from active_customers.realtime.access import Access, Scope
from active_customers.realtime.experiment_routes import EXPERIMENT_MODELS, experiment_router
from active_customers.realtime.explain_routes import explain_router
from active_customers.realtime.hot_routes import Counts, HotRoutes
from active_customers.realtime.openapi import REF, json_of, parameters_of, problems, ref, response_of, told
from active_customers.realtime.page_routes import PAGE_MODELS, page_router, readiness_router
from active_customers.realtime.problems import problem, problem_of
from active_customers.realtime.product_routes import PRODUCT_MODELS, product_router
from active_customers.realtime.rule_routes import RULE_MODELS, rule_router
from active_customers.realtime.schemas import (
    EventBatch,
    EventIn,
    EventResult,
    EventResults,
    Problem,
    RecommendationAnswer,
    RecommendationQuery,
    in_our_words,
)
from active_customers.realtime.shelf_api import SHELF_MODELS, shelf_router
from active_customers.serving.clock_control import ClockControl, ClockMove, ClockReport
from active_customers.serving.eraser import Eraser, ErasureReceipt, checked_id
from active_customers.serving.health import Health, HealthReport
from active_customers.wiring import Services

RECOMMENDATIONS = "/api/v1/recommendations"
EVENTS = "/api/v1/events"
CUSTOMER = "/api/v1/customers/{customer_id:path}"
CLOCK = "/admin/clock"

EXPORTS_AT_ONCE = 2
"""Exports of customers that a process makes at a time."""


def build_api(parts: Services) -> FastAPI:
    """Return the FastAPI application over the parts of a service."""
    app = FastAPIOffline(  # its pages load nothing from elsewhere, so that they work in a closed network, too
        title="Active Customers",
        version=__version__,
        summary="Real-time product recommendations for online shops.",
        redoc_url=None,
    )
    app.include_router(_hot_router(parts.hot))
    app.include_router(page_router(RECOMMENDATIONS, _get_description(), parts.placements, parts.streams))
    app.include_router(readiness_router(parts.access, parts.readiness))
    app.include_router(_operations_router(parts.access, parts.health, parts.hot.counts))
    app.include_router(_customers_router(parts.access, parts.eraser, parts.export))
    app.include_router(product_router(parts.access, parts.products))
    app.include_router(rule_router(parts.access, parts.rules))
    app.include_router(experiment_router(parts.access, parts.experiments, parts.prove))
    app.include_router(explain_router(parts.access, parts.explainer))
    app.include_router(shelf_router(parts.access, parts.shelves))
    app.include_router(_clock_router(parts.access, parts.clock))
    _report_problems(app)
    _describe(app)
    return app


def _hot_router(hot: HotRoutes) -> APIRouter:
    router = APIRouter()

    @router.get(RECOMMENDATIONS, summary="What to show next", openapi_extra=_get_description())
    async def recommendations(request: Request) -> Response:
        """Return the products to show a customer now, best first, each with its reason.

        Reading stores nothing. What the customer did a moment ago, as far as it was posted, is already known.
        """
        return response_of(await hot.recommendations(request.scope, request.receive))

    @router.post(EVENTS, summary="What customers did", openapi_extra=_post_description())
    async def events(request: Request) -> Response:
        """Store one event, or a batch. 202 means: on disk, and in the next answer for that customer.

        A retry with the same `event_id`, or with a byte-identical body within 10 minutes, is a duplicate and changes
        nothing.
        """
        return response_of(await hot.events(request.scope, request.receive))

    return router


def _operations_router(access: Access, health: Health, counts: Counts) -> APIRouter:
    router = APIRouter()

    def needs_server_scope(request: Request) -> None:
        access.check(request.headers.raw, Scope.SERVER)

    unwell: dict[int | str, dict[str, Any]] = {503: {"model": HealthReport, "description": "Something does not run"}}
    closed = told(problems(), "401", "403")

    @router.get("/healthz", summary="Is the process alive?", responses=unwell)
    async def healthz(response: Response) -> HealthReport:
        """Answer 200 while every part of the service runs, 503 otherwise."""
        report = health.report()
        response.status_code = 200 if report.alive else 503
        return report

    @router.get("/readyz", summary="Can it answer and store?", responses=unwell)
    async def readyz(response: Response) -> HealthReport:
        """Answer 200 when requests can be sent here, 503 otherwise; `degraded` says what is missing."""
        report = health.report()
        response.status_code = 200 if report.ready else 503
        return report

    @router.get(
        "/metrics",
        summary="Metrics for Prometheus",
        dependencies=[Depends(needs_server_scope)],
        response_class=PlainTextResponse,
        responses=closed,
    )
    async def metrics() -> Response:
        """Return the metrics of the service; those of other workers are a second old."""
        counts.publish()
        return Response(exposition(), media_type=CONTENT_TYPE_LATEST)

    return router


def _customers_router(access: Access, eraser: Eraser, export: CustomerExport) -> APIRouter:
    router = APIRouter()

    unknown = ("404", "Nothing is held about this customer")
    refusals = told(problems(unknown, ("507", "The disk is full")))
    held = told(problems(unknown), "400", "401", "403", "404", "503")
    held[200] = {"model": CustomerDocument, "description": "What is held"}
    exporting = BoundedSemaphore(EXPORTS_AT_ONCE)

    def needs_server_scope(request: Request) -> None:
        access.check(request.headers.raw, Scope.SERVER)

    @router.get(
        CUSTOMER,
        summary="Everything held about a customer",
        dependencies=[Depends(needs_server_scope)],
        response_class=StreamingResponse,
        responses=held,
    )
    def export_customer(customer_id: str) -> StreamingResponse:
        """Return who a customer is, their session state, and all their events of log and archive, in one document.

        It reads the whole archive, so only two are made at a time.
        """
        customer = checked_id(customer_id)
        if not exporting.acquire(blocking=False):
            raise OverloadedError(f"{EXPORTS_AT_ONCE} exports are under way", retry_after=5)
        pieces = _released(export.document(customer), exporting)
        first = next(pieces)
        headers = {"cache-control": "no-store"}
        return StreamingResponse(chain([first], pieces), media_type="application/json", headers=headers)

    @router.delete(
        CUSTOMER,
        summary="Erase a customer",
        dependencies=[_needs_admin_scope(access)],
        responses=refusals,
    )
    def erase(customer_id: str) -> ErasureReceipt:
        """Erase everything held about a customer, and return the receipt; asking again returns it again.

        When this returns the customer is unknown. What is left on disk is overwritten until `archive_due`.
        """
        return eraser.erase(customer_id)

    return router


def _released(pieces: Iterator[bytes], semaphore: BoundedSemaphore) -> Iterator[bytes]:
    """Yield pieces; let the next one in when they end, fail, or are given up."""
    try:
        yield from pieces
    finally:
        semaphore.release()


def _clock_router(access: Access, clock: ClockControl) -> APIRouter:
    router = APIRouter(dependencies=[_needs_admin_scope(access)])
    found = problems(("409", "The service goes by the machine's clock"))
    closed, refusals = told(found, "401", "403"), told(found, "400", "401", "403", "409")

    @router.get(CLOCK, summary="What time is it here?", responses=closed)
    def look() -> ClockReport:
        """Return the time that the service goes by."""
        return clock.report()

    @router.post(CLOCK, summary="Move a simulated clock", responses=refusals)
    def move(wanted: ClockMove) -> ClockReport:
        """Move the clock of `serve --clock simulated` to a time, or on by some seconds; it never goes back.

        When this returns, all processes of the service go by the new time.
        """
        return clock.move(wanted)

    return router


def _needs_admin_scope(access: Access) -> Any:
    def check(request: Request) -> None:
        access.check(request.headers.raw, Scope.ADMIN)

    return Depends(check)


def _report_problems(app: FastAPI) -> None:
    """Answer every error as a problem document."""

    async def on_own_error(_request: Request, error: Exception) -> Response:
        unforeseen = ActiveCustomersError("something went wrong here: see the log of the service")
        return response_of(problem_of(error if isinstance(error, ActiveCustomersError) else unforeseen))

    async def on_http_error(_request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        headers = [(k.lower().encode(), v.encode()) for k, v in (getattr(error, "headers", None) or {}).items()]
        titles = {404: "Not found", 405: "Method not allowed"}
        details = {404: "there is nothing here: /docs lists what there is", 405: "see /docs for this route's methods"}
        title = titles.get(status, "HTTP error")
        return response_of(problem(status, title, details.get(status, str(getattr(error, "detail", ""))), headers))

    async def on_invalid(_request: Request, error: Exception) -> Response:
        first = error.errors()[0] if isinstance(error, RequestValidationError) else {"loc": ("body",), "msg": ""}
        field = ".".join(map(str, first["loc"][1:]))
        if first.get("type") in ("json_invalid", "model_attributes_type"):
            wrong = InvalidValueError("body", first.get("input"), "send a JSON object, as application/json")
        else:
            wrong = InvalidValueError(field or "body", first.get("input"), in_our_words(str(first["msg"])))
        return response_of(problem_of(wrong))

    app.add_exception_handler(ActiveCustomersError, on_own_error)
    app.add_exception_handler(Exception, on_own_error)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(RequestValidationError, on_invalid)


# The hot routes parse their own input, so the OpenAPI document takes its shapes from the same Pydantic models here.

_MODELS: tuple[type[BaseModel], ...] = (
    EventIn,
    EventBatch,
    EventResult,
    EventResults,
    RecommendationAnswer,
    Problem,
    *PAGE_MODELS,
    *PRODUCT_MODELS,
    *RULE_MODELS,
    *EXPERIMENT_MODELS,
    *SHELF_MODELS,
)


def _get_description() -> dict[str, Any]:
    parameters = parameters_of(RecommendationQuery)
    answer = {"description": "The products to show", "content": json_of(ref(RecommendationAnswer))}
    return {"parameters": parameters, "responses": {"200": answer, **problems()}}


def _post_description() -> dict[str, Any]:
    stored = {"anyOf": [ref(EventResult), ref(EventResults)]}
    answer = {"description": "Stored, or known already", "content": json_of(stored)}
    body = {"required": True, "content": json_of({"anyOf": [ref(EventIn), ref(EventBatch)]})}
    refusals = problems(("413", "The body is over 1 MiB"), ("507", "The disk is full"))
    return {"requestBody": body, "responses": {"202": answer, **refusals}}


def _describe(app: FastAPI) -> None:
    """Add the hot routes' models to the OpenAPI document, and take out the answers they never give."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            _, definitions = models_json_schema([(model, "validation") for model in _MODELS], ref_template=REF)
            document.setdefault("components", {}).setdefault("schemas", {}).update(definitions["$defs"])
            document["paths"][EVENTS]["post"]["responses"].pop("200", None)
            for operations in document["paths"].values():
                for operation in operations.values():
                    operation["responses"].pop("422", None)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
