"""Fit models, ask them, and report how they did."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from active_customers.core.errors import InvalidValueError
from active_customers.evaluation.contestants import CONTESTANTS
from active_customers.evaluation.dump import PredictionDump
from active_customers.evaluation.interactions import Interactions
from active_customers.evaluation.metrics import coverage, gains, intervals
from active_customers.evaluation.protocols import (
    LEAVE_ONE_OUT,
    NEXT_ITEM,
    Predictions,
    Progress,
    Task,
    checked_protocol,
    leave_one_out,
    next_item,
    predict,
)
from active_customers.evaluation.report import ModelReport, Report, described
from active_customers.models.registry import new_model


@dataclass(frozen=True, slots=True)
class EvaluationRequest:
    """What to evaluate: models by name, fitted on all of `train` together, asked about `test`.

    Where the protocol makes the split, `train` is the whole and `test` None.
    """

    train: tuple[Interactions, ...]
    test: Interactions | None
    models: tuple[str, ...]
    protocol: str = NEXT_ITEM
    k: int = 20
    dump: Path | None = None
    configs: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """Parameters that differ from the defaults, by model name."""
    seed: int = 0
    """Of the bootstrap."""
    loose: bool = False
    """Whether leave-one-out fits on all but the last act."""


def evaluate(request: EvaluationRequest, progress: Progress | None = None) -> Report:
    """Return how each model does.

    `progress` is told how many of all models' questions are answered. Raises `InvalidValueError` for unknown names,
    wrong parameters and a `k` below 1, `NoDataError` when there is nothing to learn from or nothing to ask.
    """
    checked_protocol(request.protocol)
    if request.k < 1:
        raise InvalidValueError("k", request.k, "ask for at least 1 product")
    models = {name: new_model(name, request.configs.get(name), CONTESTANTS) for name in request.models}
    task = _task(request)
    reports: dict[str, ModelReport] = {}
    with ExitStack() as stack:
        dump = stack.enter_context(PredictionDump(request.dump)) if request.dump else None
        for place, (name, model) in enumerate(models.items()):
            started = time.perf_counter()
            model.fit(task.train)
            fit_seconds = time.perf_counter() - started
            predictions = predict(model, task, request.k, _part(progress, place, len(models)))
            reports[name] = _figures(task, predictions, fit_seconds, np.random.default_rng(request.seed))
            if dump:
                dump.add(name, task, predictions)
    return Report(request.protocol, request.k, described(request.train, request.test, task), reports)


def _task(request: EvaluationRequest) -> Task:
    if request.protocol == LEAVE_ONE_OUT:
        if request.test is not None:
            raise InvalidValueError("test", request.protocol, "leave it out: the protocol makes the split, of --train")
        return leave_one_out(request.train, loose=request.loose)
    if request.test is None:
        raise InvalidValueError("test", None, f"{request.protocol} needs a file of sessions to predict")
    return next_item(request.train, request.test)


def _part(progress: Progress | None, place: int, parts: int) -> Callable[[int, int], None]:
    """Return a progress of one of several equal parts, in terms of the whole."""

    def tell(done: int, total: int) -> None:
        if progress:
            progress(place * total + done, parts * total)

    return tell


def _figures(task: Task, predictions: Predictions, fit_seconds: float, rng: np.random.Generator) -> ModelReport:
    earned = gains(predictions.ranks(task.targets))
    return ModelReport(
        **{name: float(values.mean()) for name, values in earned.items()},
        coverage=coverage(predictions.products, task.train.n_products),
        n_predictions=len(task.targets),
        us_per_prediction=predictions.microseconds,
        fit_seconds=fit_seconds,
        intervals=intervals(earned, task.sessions, rng),
    )
