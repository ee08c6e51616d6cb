"""Tuning: settings of a model, searched on training files alone, and what they gain on questions not searched on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from active_customers.core.errors import InvalidValueError, MissingLibraryError, NoDataError
from active_customers.evaluation.comparison import Difference, differences
from active_customers.evaluation.contestants import CONTESTANTS
from active_customers.evaluation.described import DescribedProducts
from active_customers.evaluation.interactions import Interactions
from active_customers.evaluation.questions import checked_repeats
from active_customers.evaluation.rolling import checked_targets, newest_sessions
from active_customers.evaluation.scoring import earned_by
from active_customers.evaluation.search_space import Choice, Range, Space, defaults_of, merged, narrowed, space_of
from active_customers.evaluation.task import Task, predict
from active_customers.models.registry import entry_named, new_model

MEASURES = ("ndcg", "hr", "mrr")


@dataclass(frozen=True, slots=True)
class TuningRequest:
    """Which model to tune on which files, how long, and by what."""

    train: tuple[Interactions, ...]
    model: str
    base: Mapping[str, Any] = field(default_factory=dict)
    """Parameters of the model in force, where they are not searched."""
    ranges: Mapping[str, Range] = field(default_factory=dict)
    """Ranges that are searched instead of those of the fields, by dotted name."""
    fixed: tuple[str, ...] = ()
    """Parameters that keep their value of `base`."""
    only: tuple[str, ...] = ()
    """Parameters and sections that are searched; all if none is named."""
    trials: int = 30
    """Settings tried, the published ones included."""
    minutes: float | None = None
    """Time after which no trial is begun."""
    measure: str = "ndcg"
    k: int = 20
    share: float = 0.1
    """Share of the sessions, the newest, that are asked; models are fitted on what was done before."""
    targets: str = "any"
    repeats: str = "keep"
    seed: int = 0
    """Of the search, of which sessions steer it, and of the bootstrap."""
    catalogue: DescribedProducts | None = None
    """What is known of products by themselves."""


class Trial(NamedTuple):
    """Settings that were tried: its number from 1, the first being the published ones; the mean of the measure."""

    number: int
    parameters: Mapping[str, Any]
    score: float


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a search came to.

    `searched` and `confirmed` are the questions that steered it, and those of other sessions of the same time that did
    not. `default_score` and `best_score` are those on the latter; `gain` is best less default there, None where nothing
    better was found.
    """

    space: Space
    trials: tuple[Trial, ...]
    best: Trial
    searched: int
    confirmed: int
    default_score: float
    best_score: float
    gain: Difference | None

    @property
    def is_gain_shown(self) -> bool:
        """Whether the best is better than the defaults beyond noise."""
        return self.gain is not None and self.gain.interval[0] > 0


def tune(request: TuningRequest, tell: Callable[[Trial], None] | None = None) -> Tuned:
    """Search settings that foretell the newest training sessions best, from what was done before these began.

    Half of the sessions (customers, where the files name them), drawn by chance, steer the search; the best and the
    published settings then answer the questions of the others, so that the gain is not that of the luckiest of many
    tries. With the same seed and files the trials are the same; `minutes` only ends them sooner. `tell` is told of
    each.

    Raises `InvalidValueError` for unknown names and wrong values, `NoDataError` when there is too little to ask,
    `MissingLibraryError` without Optuna.
    """
    _check(request)
    _optuna()  # said before anything is read or fitted
    space = _space(request)
    search, confirm = _halves(request)
    objective = _Objective(request, search)
    trials = []
    for trial in _trials(request, space, objective):
        trials.append(trial)
        if tell:
            tell(trial)
    best = max(trials, key=lambda trial: trial.score)  # of equal ones the first
    default_earned = _earned(request, confirm, trials[0].parameters)
    best_earned = default_earned if best.number == 1 else _earned(request, confirm, best.parameters)
    measured = {request.measure: best_earned[request.measure]}
    rng = np.random.default_rng(request.seed)
    gained = differences(measured, {request.measure: default_earned[request.measure]}, confirm.clusters, rng)
    return Tuned(
        space=space,
        trials=tuple(trials),
        best=best,
        searched=len(search.sessions),
        confirmed=len(confirm.sessions),
        default_score=float(default_earned[request.measure].mean()),
        best_score=float(best_earned[request.measure].mean()),
        gain=None if best.number == 1 else gained[request.measure],
    )


def _check(request: TuningRequest) -> None:
    if request.trials < 2:
        raise InvalidValueError("trials", request.trials, "try at least 2: the first is the published settings")
    if request.minutes is not None and not request.minutes > 0:
        raise InvalidValueError("minutes", request.minutes, "give some time, or leave it out")
    if request.measure not in MEASURES:
        raise InvalidValueError("measure", request.measure, f"choose one of {', '.join(MEASURES)}")
    if request.k < 1:
        raise InvalidValueError("k", request.k, "ask for at least 1 product")


def _space(request: TuningRequest) -> Space:
    """Return what is searched, having asked the model whether it takes the ends."""
    config = entry_named(request.model, CONTESTANTS).config
    whole = {name: found for name, found in space_of(config).items() if name not in request.fixed}
    space = narrowed({**whole, **request.ranges}, request.only)
    if not space:
        raise InvalidValueError("model", request.model, "it has no parameters left to search: set fewer of them")
    for end in (0, 1):
        ends = {name: found[end] for name, found in space.items() if isinstance(found, Range)}
        new_model(request.model, merged(request.base, ends), CONTESTANTS)
    return space


def _halves(request: TuningRequest) -> tuple[Task, Task]:
    """Return the questions that steer the search, and those that do not."""
    targets, repeats = checked_targets(request.targets), checked_repeats(request.repeats)
    task = newest_sessions(request.train, request.share, targets, repeats, request.catalogue)
    clusters = np.unique(task.clusters)
    if len(clusters) < 2:
        raise NoDataError("the newest sessions are of one customer: give more of them, or a larger --share")
    chosen = np.random.default_rng(request.seed).permutation(clusters)[: (len(clusters) + 1) // 2]
    steers = np.isin(task.clusters, chosen)
    return task.part(steers), task.part(~steers)


class _Objective:
    """The mean of the measure that settings reach on some questions."""

    def __init__(self, request: TuningRequest, task: Task) -> None:
        self._request, self._task = request, task

    def __call__(self, parameters: Mapping[str, Any]) -> float:
        """Fit a model with these parameters and ask it."""
        return float(_earned(self._request, self._task, parameters)[self._request.measure].mean())


def _earned(request: TuningRequest, task: Task, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return by measure what settings earn, question by question."""
    model = new_model(request.model, merged(request.base, parameters), CONTESTANTS)
    model.fit(task.train)
    return earned_by(predict(model, task, request.k, _silent).matches(task).hits, task)


def _trials(request: TuningRequest, space: Space, objective: _Objective) -> Iterator[Trial]:
    """Yield the published settings, then what the sampler asks for, until the budget is spent."""
    optuna = _optuna()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=request.seed))
    distributions = {name: _distribution(optuna, found) for name, found in space.items()}
    began = time.monotonic()
    published = defaults_of(entry_named(request.model, CONTESTANTS).config, list(space))
    score = objective(published)
    if all(found.holds(published[name]) for name, found in space.items()):
        study.add_trial(optuna.trial.create_trial(params=published, distributions=distributions, value=score))
    yield Trial(1, published, score)
    for number in range(2, request.trials + 1):
        if request.minutes is not None and time.monotonic() - began >= request.minutes * 60:
            return
        asked = study.ask(distributions)
        parameters = {name: found.tidy(asked.params[name]) for name, found in space.items()}
        score = objective(parameters)
        study.tell(asked, score)
        yield Trial(number, parameters, score)


def _distribution(optuna: Any, found: Range | Choice) -> Any:
    if isinstance(found, Choice):
        return optuna.distributions.CategoricalDistribution(found.options)
    kinds = optuna.distributions
    kind = kinds.IntDistribution if found.is_whole else kinds.FloatDistribution
    return kind(found.low, found.high, log=found.is_log)


def _optuna() -> Any:
    try:
        import optuna  # noqa: PLC0415 - only a search needs it
    except ImportError as error:
        remedy = "pip install 'active-customers[tune]'"
        raise MissingLibraryError(f"Optuna, which searches, is not installed ({error}): {remedy}") from error
    return optuna


def _silent(_done: int, _of: int) -> None:
    """Tell nobody."""
