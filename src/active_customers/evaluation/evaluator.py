"""Fit models, ask them, and report how they did."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
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
    UNFOLDING,
    checked_protocol,
    leave_one_out,
    next_item,
    rest_of_session,
)
from active_customers.evaluation.questions import checked_repeats
from active_customers.evaluation.replay import SERVED, answer, fit_served, replay
from active_customers.evaluation.report import Report, described
from active_customers.evaluation.rolling import Folds, rolling
from active_customers.evaluation.scoring import Scored, Scorer, pooled, summary
from active_customers.evaluation.task import Predictions, Progress, Task, predict
from active_customers.models.base import Model
from active_customers.models.registry import MODELS, new_model
from active_customers.realtime.live_index import LiveIndexConfig
from active_customers.realtime.schemas import MAX_N

LIVE = f"{SERVED}, live"
"""What the service answers with when it learns the test part as it happens."""


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
    live: LiveIndexConfig | None = None
    """Asks what the service answers with, too, as it was fitted and beside a live index of these bounds."""


def evaluate(request: EvaluationRequest, progress: Progress | None = None) -> Report:
    """Return how each model does.

    `progress` is told how many of all models' questions are answered. Raises `InvalidValueError` for unknown names,
    wrong parameters and a `k` below 1, `NoDataError` when there is nothing to learn from or nothing to ask.
    """
    _check(request)
    tasks = _tasks(request)
    scored = _scored(request, tasks, progress)
    live = scored.pop(LIVE, None)
    models = {name: summary(parts, request.k, request.seed) for name, parts in scored.items()}
    data = {**described(request.train, request.test, tasks), **_of_catalogue(request, tasks), **_split(request, tasks)}
    report = Report(request.protocol, request.k, data, models, _compared(request, scored))
    if live is None:
        return report
    gained = _comparison((LIVE, live), (SERVED, scored[SERVED]), request.seed)
    return replace(report, live={SERVED: summary(live, request.k, request.seed)}, live_comparison=gained)


def _check(request: EvaluationRequest) -> None:
    checked_protocol(request.protocol)
    checked_repeats(request.repeats)
    if request.k < 1:
        raise InvalidValueError("k", request.k, "ask for at least 1 product")
    for name in request.models:
        _new(request, name)
    names = (*request.models, *([] if request.live is None else [SERVED]))
    if request.against is not None and request.against not in names:
        raise InvalidValueError("against", request.against, f"name one of the models: {', '.join(names)}")
    _check_live(request)
    needs_test = request.protocol in (NEXT_ITEM, REST_OF_SESSION, HELD_OUT)
    if needs_test and request.test is None:
        raise InvalidValueError("test", None, f"{request.protocol} needs a file of what is to be foretold")
    if not needs_test and request.test is not None:
        file = None if request.test is None or request.test.source is None else request.test.source.name
        raise InvalidValueError(
            "test", file, f"leave it out: {request.protocol} splits one file itself, that of --events or --train"
        )
    if request.repeats != "keep" and request.protocol == NEXT_BASKET:
        raise InvalidValueError("repeats", request.repeats, "leave it out: buying again is what next-basket asks for")
    _check_folds(request)
    if request.repeats == "new" and request.protocol in (LEAVE_ONE_OUT, HELD_OUT):
        raise InvalidValueError(
            "repeats", request.repeats, f"leave it out: {request.protocol} asks for nothing but new products anyway"
        )


def _check_folds(request: EvaluationRequest) -> None:
    """Refuse flags that the protocol has no use for, so that nobody takes them for heeded."""
    folds, usual = request.folds, Folds()
    flags: tuple[tuple[str, object, object, tuple[str, ...]], ...] = (
        ("loose", request.loose, False, (LEAVE_ONE_OUT,)),
        ("folds", folds.count, usual.count, (ROLLING,)),
        ("targets", folds.targets, usual.targets, (ROLLING,)),
        ("horizon_days", folds.days, usual.days, (ROLLING, NEXT_BASKET)),
    )
    for flag, value, default, protocols in flags:
        if value != default and request.protocol not in protocols:
            raise InvalidValueError(
                flag, value, f"leave it out: {request.protocol} has no use for it, only {' and '.join(protocols)} has"
            )


def _check_live(request: EvaluationRequest) -> None:
    if request.live is None:
        return
    if request.protocol not in UNFOLDING:
        raise InvalidValueError(
            "protocol", request.protocol, f"--live replays sessions: choose one of {', '.join(UNFOLDING)}"
        )
    if request.k > MAX_N:
        raise InvalidValueError("k", request.k, f"the service answers with at most {MAX_N} products")
    for name in MODELS:
        new_model(name, request.configs.get(name))


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
    scored: dict[str, list[Scored]] = {}
    n_answers = len(request.models) + (0 if request.live is None else 2)
    whole = _Whole(progress, n_answers * sum(len(task.sessions) for task in tasks))
    with ExitStack() as stack:
        dump = stack.enter_context(PredictionDump(request.dump)) if request.dump else None
        for task in tasks:
            scorer = Scorer(task, request.seed)
            for name, predictions, fit_seconds in _answers(request, task, whole.tell):
                scored.setdefault(name, []).append(scorer.scored(predictions, fit_seconds))
                if dump:
                    dump.add(name, task, predictions)
    return scored


def _answers(request: EvaluationRequest, task: Task, progress: Progress) -> Iterator[tuple[str, Predictions, float]]:
    """Yield each model's name, its answers and how long it took to fit; what is served comes last, then live."""
    for name in request.models:
        model = _new(request, name)
        started = time.perf_counter()
        model.fit(task.train)
        fit_seconds = time.perf_counter() - started
        yield name, predict(model, task, request.k, progress), fit_seconds
    if request.live is not None:
        started = time.perf_counter()
        models = fit_served(task.train, request.configs)
        fit_seconds = time.perf_counter() - started
        yield SERVED, answer(models, task, request.k, progress), fit_seconds
        yield LIVE, replay(models, task, request.k, request.live, progress), fit_seconds


def _compared(request: EvaluationRequest, scored: Mapping[str, list[Scored]]) -> list[Comparison]:
    """Return every other model against the one named, or against the first."""
    against = request.against or next(iter(scored))
    theirs = (against, scored[against])
    return corrected([_comparison(ours, theirs, request.seed) for ours in scored.items() if ours[0] != against])


def _comparison(ours: tuple[str, list[Scored]], theirs: tuple[str, list[Scored]], seed: int) -> Comparison:
    """Return one model against another on the same questions."""
    (name, our_parts), (against, their_parts) = ours, theirs
    clusters = np.concatenate([part.clusters for part in their_parts])
    apart = differences(pooled(our_parts), pooled(their_parts), clusters, np.random.default_rng(seed))
    agreeing = {
        measure: sum(
            int(np.sign((our.earned[measure] - their.earned[measure]).sum()) == np.sign(difference.mean))
            for our, their in zip(our_parts, their_parts, strict=True)
        )
        for measure, difference in apart.items()
    }
    return Comparison(name, against, apart, agreeing)


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
    if request.protocol in (LEAVE_ONE_OUT, HELD_OUT):
        split["n_targets_left_out"] = sum(task.n_left_out for task in tasks)
    if request.protocol == NEXT_BASKET:
        split["horizon_days"] = request.folds.days or HORIZON_DAYS
    if request.protocol == ROLLING:
        split["targets"] = request.folds.targets
    if request.live is not None:
        split["live"] = {
            "learned_acts": sum(len(task.test.products) for task in tasks),
            "train_acts_after_first_question": sum(map(_overlap, tasks)) if _has_times(request) else 0,
        }
    if tasks[0].until is not None:
        split["folds"] = [
            {"fitted_before": format_time(task.until or 0), "questions": len(task.sessions)} for task in tasks
        ]
    return split


def _has_times(request: EvaluationRequest) -> bool:
    return all(part.times is not None for part in request.train)


def _overlap(task: Task) -> int:
    """Return how many acts were learned from that are not older than the first question."""
    first = task.test.times[task.test.offsets[task.sessions] + task.lengths - 1].min()
    return int(np.count_nonzero(task.train.times >= first))


def _new(request: EvaluationRequest, name: str) -> Model:
    return new_model(name, request.configs.get(name), CONTESTANTS)


class _Whole:
    """The progress of one part after the other, in terms of the whole."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress = progress
        self._before, self._total = 0, total

    def tell(self, done: int, of: int) -> None:
        """Take how many of a part's questions are answered; its last one ends it."""
        if self._progress:
            self._progress(self._before + done, self._total)
        if done == of:
            self._before += of
