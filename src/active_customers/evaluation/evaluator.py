"""Fit models, ask them, and report how they did."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from active_customers.core.clock import format_time
from active_customers.core.errors import InvalidValueError
from active_customers.evaluation.comparison import Comparison, corrected, differences
from active_customers.evaluation.contestants import CONTESTANTS
from active_customers.evaluation.described import DescribedProducts
from active_customers.evaluation.dump import PredictionDump
from active_customers.evaluation.held_out import held_out
from active_customers.evaluation.interactions import Interactions
from active_customers.evaluation.next_basket import HORIZON_DAYS, next_basket
from active_customers.evaluation.protocols import (
    HELD_OUT,
    LEAVE_ONE_OUT,
    NEXT_BASKET,
    NEXT_ITEM,
    REST_OF_SESSION,
    ROLLING,
    checked_protocol,
    leave_one_out,
    next_item,
    rest_of_session,
)
from active_customers.evaluation.questions import checked_repeats
from active_customers.evaluation.report import Report, described
from active_customers.evaluation.rolling import Folds, rolling
from active_customers.evaluation.scoring import Scored, Scorer, pooled, summary
from active_customers.evaluation.task import Predictions, Progress, Task, predict
from active_customers.models.base import Model
from active_customers.models.registry import new_model


@dataclass(frozen=True, slots=True)
class EvaluationRequest:
    """What to evaluate: models by name, fitted on all of `train` together, asked about `test`.

    Where the protocol makes the split, `train` is the whole and `test` None; for held-out `test` is what was held out.
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
    repeats: str = "keep"
    """`keep`, `drop` or `new`: see `evaluation.questions.Repeats`."""
    folds: Folds = field(default_factory=Folds)
    """How rolling cuts the file; next-basket takes its `days`."""
    against: str | None = None
    """The model that the others are compared with; the first one if None."""
    catalogue: DescribedProducts | None = None
    """What is known of products by themselves: models may propose all of them, acted on in training or not."""


def evaluate(request: EvaluationRequest, progress: Progress | None = None) -> Report:
    """Return how each model does.

    `progress` is told how many of all models' questions are answered. Raises `InvalidValueError` for unknown names,
    wrong parameters and a `k` below 1, `NoDataError` when there is nothing to learn from or nothing to ask.
    """
    _check(request)
    tasks = _tasks(request)
    scored = _scored(request, tasks, progress)
    models = {name: summary(parts, request.k, request.seed) for name, parts in scored.items()}
    data = {**described(request.train, request.test, tasks), **_of_catalogue(request, tasks), **_split(request, tasks)}
    return Report(request.protocol, request.k, data, models, _compared(request, scored))


def _check(request: EvaluationRequest) -> None:
    checked_protocol(request.protocol)
    checked_repeats(request.repeats)
    if request.k < 1:
        raise InvalidValueError("k", request.k, "ask for at least 1 product")
    for name in request.models:
        _new(request, name)
    if request.against is not None and request.against not in request.models:
        raise InvalidValueError("against", request.against, f"name one of the models: {', '.join(request.models)}")
    needs_test = request.protocol in (NEXT_ITEM, REST_OF_SESSION, HELD_OUT)
    if needs_test and request.test is None:
        raise InvalidValueError("test", None, f"{request.protocol} needs a file of what is to be foretold")
    if not needs_test and request.test is not None:
        raise InvalidValueError("test", request.protocol, "leave it out: the protocol makes the split itself")
    if request.repeats != "keep" and request.protocol == NEXT_BASKET:
        raise InvalidValueError("repeats", request.repeats, "leave it out: buying again is what next-basket asks for")
    if request.repeats == "new" and request.protocol in (LEAVE_ONE_OUT, HELD_OUT):
        raise InvalidValueError(
            "repeats", request.repeats, f"leave it out: {request.protocol} asks for new products anyway"
        )


def _tasks(request: EvaluationRequest) -> list[Task]:
    train, test, catalogue = request.train, request.test, request.catalogue
    repeats = checked_repeats(request.repeats)
    if request.protocol == ROLLING:
        return rolling(train, request.folds, repeats, catalogue)
    if request.protocol == NEXT_BASKET:
        return [next_basket(train, request.folds.days, catalogue)]
    if request.protocol == LEAVE_ONE_OUT or test is None:
        return [leave_one_out(train, loose=request.loose, repeats=repeats, catalogue=catalogue)]
    setters = {NEXT_ITEM: next_item, REST_OF_SESSION: rest_of_session, HELD_OUT: held_out}
    return [setters[request.protocol](train, test, repeats, catalogue)]


def _scored(request: EvaluationRequest, tasks: Sequence[Task], progress: Progress | None) -> dict[str, list[Scored]]:
    """Return what each model's answers to each task are worth; one task's catalogue is in memory at a time."""
    scored: dict[str, list[Scored]] = {name: [] for name in request.models}
    parts = [(task, name) for task in tasks for name in scored]
    total = len(scored) * sum(len(task.sessions) for task in tasks)
    done = 0
    with ExitStack() as stack:
        dump = stack.enter_context(PredictionDump(request.dump)) if request.dump else None
        scorer: Scorer | None = None
        for task, name in parts:
            if scorer is None or scorer.task is not task:
                scorer = Scorer(task, request.seed)
            predictions, fit_seconds = _answered(_new(request, name), task, request.k, _part(progress, done, total))
            done += len(task.sessions)
            scored[name].append(scorer.scored(predictions, fit_seconds))
            if dump:
                dump.add(name, task, predictions)
    return scored


def _answered(model: Model, task: Task, k: int, progress: Progress) -> tuple[Predictions, float]:
    started = time.perf_counter()
    model.fit(task.train)
    fit_seconds = time.perf_counter() - started
    return predict(model, task, k, progress), fit_seconds


def _compared(request: EvaluationRequest, scored: Mapping[str, list[Scored]]) -> list[Comparison]:
    """Return every other model against the one named, or against the first."""
    against = request.against or request.models[0]
    theirs = scored[against]
    clusters = np.concatenate([part.clusters for part in theirs])
    found = []
    for name, ours in scored.items():
        if name != against:
            rng = np.random.default_rng(request.seed)
            apart = differences(pooled(ours), pooled(theirs), clusters, rng)
            agreeing = {
                measure: sum(
                    np.sign((our.earned[measure] - their.earned[measure]).sum()) == np.sign(difference.mean)
                    for our, their in zip(ours, theirs, strict=True)
                )
                for measure, difference in apart.items()
            }
            found.append(Comparison(name, against, apart, {m: int(n) for m, n in agreeing.items()}))
    return corrected(found)


def _of_catalogue(request: EvaluationRequest, tasks: Sequence[Task]) -> dict[str, Any]:
    """Return which files described products, and how many training did not act on (in folds: in the last)."""
    if request.catalogue is None:
        return {}
    train = tasks[-1].train
    return {
        "product_files": [{"name": source.name, "sha256": source.sha256} for source in request.catalogue.sources],
        "n_untouched_products": train.n_products - len(np.unique(train.products)),
    }


def _split(request: EvaluationRequest, tasks: Sequence[Task]) -> dict[str, Any]:
    """Return how the data were split and treated."""
    split: dict[str, Any] = {"repeats": request.repeats, "n_questions": sum(len(task.sessions) for task in tasks)}
    if request.protocol == LEAVE_ONE_OUT:
        split["fitted_on"] = "loose" if request.loose else "strict"
    if request.protocol == NEXT_BASKET:
        split["horizon_days"] = request.folds.days or HORIZON_DAYS
    if request.protocol == ROLLING:
        split["targets"] = request.folds.targets
    if tasks[0].until is not None:
        split["folds"] = [
            {"fitted_before": format_time(task.until or 0), "questions": len(task.sessions)} for task in tasks
        ]
    return split


def _new(request: EvaluationRequest, name: str) -> Model:
    return new_model(name, request.configs.get(name), CONTESTANTS)


def _part(progress: Progress | None, before: int, total: int) -> Callable[[int, int], None]:
    """Return a progress of one part, in terms of the whole."""

    def tell(done: int, _of: int) -> None:
        if progress:
            progress(before + done, total)

    return tell
