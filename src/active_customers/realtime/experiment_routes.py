"""The routes of strategies and experiments: ordinary FastAPI, but that bodies are read and checked here."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict

from active_customers.batch.experiment_results import not_for_bandits
from active_customers.core.errors import OverloadedError
from active_customers.experiments.experiment_schema import ExperimentIn, VariantIn
from active_customers.experiments.strategy_schema import StrategyIn
from active_customers.realtime.access import Access, Scope
from active_customers.realtime.changing import body_of, changed
from active_customers.realtime.experiment_changes import ExperimentChanges, Saved
from active_customers.realtime.openapi import STORING, answering, document, taking

STRATEGIES = "/api/v1/strategies"
EXPERIMENTS = "/api/v1/experiments"
_NAME = "/{name:path}"

_UNKNOWN = ("404", "There is none of that name")
_NO_PATH = ("404", "This is the path of none: a name has printable characters only")

DryRun = Annotated[bool, Query(description="Check and tell what would happen, and change nothing.")]
Version = Annotated[int | None, Query(ge=1, description="The newest when it is missing.")]
Because = Annotated[str, Query(max_length=1_000, description="Why, for those who read it later.")]


Prove = Callable[[str, int], dict[str, Any]]
"""Returns what an experiment proves, by name and version."""


class StrategySet(BaseModel):
    """All strategies of a shop."""

    strategies: list[StrategyIn]


class ExperimentOut(ExperimentIn):
    """An experiment as it stands."""

    version: int
    number: int
    """What stands for it in a `recommendation_id`."""
    status: Literal["scheduled", "running", "ended"]
    changed: str
    """When it was stored last."""
    stopped_because: str | None = None


class ExperimentSet(BaseModel):
    """All experiments of a shop, those that ended included."""

    experiments: list[ExperimentOut]


class ExperimentProof(BaseModel):
    """What an experiment proves at a time; docs/experiment_results.md says what each figure means."""

    model_config = ConfigDict(extra="allow")

    experiment: str
    version: int
    control: str
    as_of: str
    primary: str
    """The figure that it is decided by."""
    decisions: dict[str, str]
    """By variant: better, worse, not yet known, or not to be trusted."""
    should_stop: list[str]
    """Variants that do harm."""
    customers: dict[str, int]
    sample_ratio: dict[str, Any]
    effects: list[dict[str, Any]]
    guardrails: list[dict[str, Any]]
    left_out: dict[str, int]
    """What was not counted, by why."""
    lost_share: float
    """Share of exposures that never reached the log."""


_RETRY_SECONDS = 5

EXPERIMENT_MODELS: tuple[type[BaseModel], ...] = (
    StrategyIn,
    StrategySet,
    ExperimentIn,
    ExperimentOut,
    ExperimentSet,
    ExperimentProof,
    VariantIn,
    Saved,
)


def experiment_router(access: Access, changes: ExperimentChanges, prove: Prove) -> APIRouter:
    """Return the routes that read and change strategies and experiments; all need the server scope."""
    router = APIRouter()
    _add_results(router, access, changes, prove)
    _add_strategies(router, access, changes)
    _add_reading(router, access, changes)
    _add_changing(router, access, changes)
    return router


def _add_strategies(router: APIRouter, access: Access, changes: ExperimentChanges) -> None:
    @router.get(STRATEGIES, summary="All strategies", openapi_extra=answering(StrategySet))
    def all_strategies(request: Request) -> Response:
        """Return all strategies by name."""
        access.check(request.headers.raw, Scope.SERVER)
        return document(changes.strategies())

    @router.get(STRATEGIES + _NAME, summary="One strategy", openapi_extra=answering(StrategyIn, _UNKNOWN))
    def strategy(name: str, request: Request) -> Response:
        """Return a strategy."""
        access.check(request.headers.raw, Scope.SERVER)
        return document(changes.strategy(name))

    @router.put(STRATEGIES + _NAME, summary="Store a strategy", openapi_extra=taking(StrategyIn, Saved, _NO_PATH))
    async def put_strategy(name: str, request: Request, dry_run: DryRun = False) -> Response:
        """Store a strategy, whatever had its name before, unless an experiment that has not ended answers by it."""
        return await changed(changes.put_strategy, name, await body_of(request, access), dry_run=dry_run)

    @router.delete(
        STRATEGIES + _NAME, summary="Delete a strategy", openapi_extra=answering(Saved, _UNKNOWN, STORING[1])
    )
    async def delete_strategy(name: str, request: Request) -> Response:
        """Take a strategy away that no experiment answers by."""
        access.check(request.headers.raw, Scope.SERVER)
        return await changed(changes.delete_strategy, name)


def _add_results(router: APIRouter, access: Access, changes: ExperimentChanges, prove: Prove) -> None:
    one_at_a_time = threading.Lock()

    @router.get(
        EXPERIMENTS + _NAME + "/results",
        summary="What an experiment proves so far",
        openapi_extra=answering(ExperimentProof, _UNKNOWN),
    )
    def proof(name: str, request: Request, version: Version = None) -> Response:
        """Return effects, intervals and decisions of an experiment; look as often as you like.

        It is read in a process of its own, in seconds for each million events, and knows what was until a minute ago.
        One is made at a time, more are answered 503.
        """
        access.check(request.headers.raw, Scope.SERVER)
        experiment = changes.tested(name, version)
        if experiment.bandit is not None:
            raise not_for_bandits(experiment)
        if not one_at_a_time.acquire(blocking=False):
            raise OverloadedError("results of an experiment are being made", _RETRY_SECONDS)
        try:
            return document(prove(experiment.name, experiment.version))
        finally:
            one_at_a_time.release()


def _add_reading(router: APIRouter, access: Access, changes: ExperimentChanges) -> None:
    @router.get(EXPERIMENTS, summary="All experiments", openapi_extra=answering(ExperimentSet))
    def all_experiments(request: Request) -> Response:
        """Return all experiments by name, those that ended included."""
        access.check(request.headers.raw, Scope.SERVER)
        return document(changes.experiments())

    @router.get(EXPERIMENTS + _NAME, summary="One experiment", openapi_extra=answering(ExperimentOut, _UNKNOWN))
    def experiment(name: str, request: Request) -> Response:
        """Return an experiment."""
        access.check(request.headers.raw, Scope.SERVER)
        return document(changes.experiment(name))


def _add_changing(router: APIRouter, access: Access, changes: ExperimentChanges) -> None:
    @router.put(EXPERIMENTS + _NAME, summary="Store an experiment", openapi_extra=taking(ExperimentIn, Saved, _NO_PATH))
    async def put_experiment(name: str, request: Request, dry_run: DryRun = False) -> Response:
        """Store an experiment; it begins at `starts`, or now.

        While it runs, a change of what decides who gets what begins a new version, measured anew.
        """
        return await changed(changes.put_experiment, name, await body_of(request, access), dry_run=dry_run)

    @router.post(
        EXPERIMENTS + _NAME + "/stop",
        summary="Stop an experiment",
        openapi_extra=answering(Saved, _UNKNOWN, STORING[1]),
    )
    async def stop(name: str, request: Request, because: Because = "") -> Response:
        """End a running experiment now; its customers are answered as set from their next request on."""
        access.check(request.headers.raw, Scope.SERVER)
        return await changed(changes.stop, name, because)

    @router.delete(
        EXPERIMENTS + _NAME, summary="Delete an experiment", openapi_extra=answering(Saved, _UNKNOWN, STORING[1])
    )
    async def delete_experiment(name: str, request: Request) -> Response:
        """Take an experiment away that has not begun."""
        access.check(request.headers.raw, Scope.SERVER)
        return await changed(changes.delete_experiment, name)
