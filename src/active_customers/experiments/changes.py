"""What becomes of an experiment that is saved: its version, its places, and whether it can be at all beside others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from active_customers.core.clock import format_time
from active_customers.core.errors import InvalidValueError
from active_customers.experiments.assignment import PLACES
from active_customers.experiments.definition import MAX_VARIANTS, Experiment
from active_customers.experiments.experiment_schema import (
    MAX_EXPERIMENTS,
    WHOLE,
    ExperimentIn,
    VariantIn,
    experiment_of,
    readable,
)
from active_customers.experiments.strategies import DEFAULT, Strategy
from active_customers.experiments.strategy_schema import StrategyIn

MOST_NUMBER = (1 << 16) // MAX_VARIANTS - 1
"""Versions of experiments that a `recommendation_id` can tell apart; then numbers begin anew."""

OF_VERSION = "@"
"""Between name and version in the key of a version that is not the newest; no name has it."""
_STRIDE = 3_779
"""Places between where two experiments begin; prime to `PLACES`."""

_MAKES_A_VERSION = ("variants", "control", "layer", "contexts", "channels", "min_acts", "min_purchases", "bandit")
"""Fields that decide who gets what: where one changes while an experiment runs, what was measured before is of another
experiment."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is stored: strategies and experiments by name, as records."""

    strategies: Mapping[str, Mapping[str, Any]]
    experiments: Mapping[str, Mapping[str, Any]]

    def named_strategies(self) -> dict[str, Strategy]:
        """Return the strategies by name."""
        return {
            DEFAULT: Strategy(),
            **{name: StrategyIn.read(dict(record)).strategy() for name, record in self.strategies.items()},
        }

    def others(self, name: str) -> list[Experiment]:
        """Return all experiments but one."""
        others = {key: record for key, record in self.experiments.items() if key.partition(OF_VERSION)[0] != name}
        return list(readable(others))


def saved(given: ExperimentIn, known: Known, now: int, at: str = "") -> dict[str, Any]:
    """Return the record of an experiment that is saved now (microseconds).

    While it runs, a change of what decides who gets what begins a new version, with variants drawn anew: results of the
    one before stay apart. So does saving one that has ended, if anything of that is new, or it is to start after that;
    else it stays as it is. Raises `InvalidValueError` naming the field below `at`.
    """
    name = given.name or ""
    strategies = known.named_strategies()
    for variant, told in given.variants.items():
        if told.strategy not in strategies:
            remedy = f"there is no such strategy: store it first, or name one of {', '.join(strategies)}"
            raise InvalidValueError(f"{at}variants.{variant}.strategy", told.strategy, remedy)
    before = known.experiments.get(name)
    if before is None and len(known.experiments) >= MAX_EXPERIMENTS:
        raise InvalidValueError(f"{at}name", name, f"there are {MAX_EXPERIMENTS:,} experiments, no more")
    version, number = 1, _next_number(known)
    places: Sequence[int] = ()
    starts = now if given.starts is None else given.starts
    if before is not None:
        old = experiment_of(dict(before))
        if _has_ended(old, now) and not _differs(given, before) and (given.starts or 0) <= (old.ends or 0):
            return dict(before)  # the same file again: what ended, or was stopped for harm, does not begin by itself
        if old.starts > now or (old.is_running(now) and not _differs(given, before)):
            version, number, places = old.version, int(before["number"]), old.places
            starts = starts if old.starts > now else old.starts
            _check_running(given, old, now, at)
        else:
            version = old.version + 1
            starts = max(starts, now)  # what was measured before keeps its own time
    if given.ends is not None and given.ends <= starts:
        raise InvalidValueError(f"{at}ends", format_time(given.ends), f"it would start at {format_time(starts)}")
    beside = [other for other in known.others(name) if _overlap(other, starts, given.ends, now)]
    _check_beside(given, beside, strategies, at)
    kept = _places(given, (number, places), beside, at)
    record = given.record() | {"starts": format_time(starts), "version": version, "number": number}
    return record | {"places": [[first, last + 1] for first, last in _runs(kept)], "changed": format_time(now)}


def superseded(record: Mapping[str, Any], now: int) -> tuple[str, dict[str, Any]]:
    """Return the key and the record under which a version stays known after the next one took its name."""
    experiment = experiment_of(dict(record))
    ended = {} if _has_ended(experiment, now) else {"ends": format_time(now), "changed": format_time(now)}
    return f"{experiment.name}{OF_VERSION}{experiment.version}", dict(record) | ended


def stopped(record: Mapping[str, Any], now: int, because: str = "") -> dict[str, Any]:
    """Return the record of a running experiment that ends now; raises `InvalidValueError` where it does not run."""
    experiment = experiment_of(dict(record))
    if not experiment.is_running(now):
        state = "has not begun: delete it" if experiment.starts > now else "has ended"
        raise InvalidValueError("name", experiment.name, f"it {state}")
    told = {"stopped_because": because} if because else {}
    return dict(record) | {"ends": format_time(now), "changed": format_time(now)} | told


def check_unused(name: str, known: Known, now: int) -> None:
    """Raise `InvalidValueError` where an experiment that has not ended answers by a strategy."""
    for experiment in known.others(""):
        has_ended = experiment.ends is not None and experiment.ends <= now
        if not has_ended and any(variant.strategy == name for variant in experiment.variants):
            remedy = f"the experiment {experiment.name!r} answers by it: stop that first, or store another name"
            raise InvalidValueError("name", name, remedy)


def _check_running(given: ExperimentIn, old: Experiment, now: int, at: str) -> None:
    """Raise `InvalidValueError` for what cannot change of a running experiment without a new version."""
    if old.is_running(now) and given.starts not in (None, old.starts):
        remedy = f"it runs since {format_time(old.starts)}: leave it out, or stop it and start it again"
        raise InvalidValueError(f"{at}starts", format_time(given.starts or 0), remedy)
    if old.is_running(now) and round(given.share / WHOLE * PLACES) < len(old.places):
        remedy = f"it runs with {len(old.places) / PLACES:.2%} of the customers, and they are to stay: stop it instead"
        raise InvalidValueError(f"{at}share", given.share, remedy)


def _has_ended(experiment: Experiment, now: int) -> bool:
    return experiment.ends is not None and experiment.ends <= now


def _differs(given: ExperimentIn, before: Mapping[str, Any]) -> bool:
    """Tell whether what decides who gets what is another than before; the order of variants counts, too."""
    fields = {field: before[field] for field in _MAKES_A_VERSION if field in before}
    old = ExperimentIn(**{**fields, "variants": {k: VariantIn(**dict(v)) for k, v in before["variants"].items()}})
    mine = [getattr(given, field) for field in _MAKES_A_VERSION]
    theirs = [getattr(old, field) for field in _MAKES_A_VERSION]
    return mine != theirs or list(given.variants) != list(old.variants)


def _next_number(known: Known) -> int:
    """Return the number after the newest; where there is none, the first that no experiment has any more."""
    numbers = {int(record.get("number", 0)) for record in known.experiments.values()}
    after = max(numbers, default=0) + 1
    return after if after <= MOST_NUMBER else next(number for number in range(1, MOST_NUMBER) if number not in numbers)


def _overlap(other: Experiment, starts: int, ends: int | None, now: int) -> bool:
    """Tell whether another experiment, as far as it lies ahead, runs at the same time as one would."""
    if other.ends is not None and other.ends <= max(starts, now):
        return False
    return ends is None or other.starts < ends


def _check_beside(
    given: ExperimentIn, beside: Iterable[Experiment], strategies: Mapping[str, Strategy], at: str
) -> None:
    """Raise `InvalidValueError` where an experiment of another layer changes the same things on the same pages."""
    mine = _wishes((variant.strategy for variant in given.variants.values()), strategies)
    for other in beside:
        both = mine & _wishes((variant.strategy for variant in other.variants), strategies)
        if other.layer != given.layer and both and _meet(given, other):
            remedy = (
                f"the experiment {other.name!r} of layer {other.layer!r} changes {', '.join(sorted(both))}, too, on "
                f"the same pages: put both into one layer, so that they share no customer"
            )
            raise InvalidValueError(f"{at}layer", given.layer, remedy)


def _wishes(names: Iterable[str], strategies: Mapping[str, Strategy]) -> frozenset[str]:
    return frozenset().union(*(strategies.get(name, Strategy()).wishes() for name in names))


def _meet(given: ExperimentIn, other: Experiment) -> bool:
    contexts = {context.word for context in other.contexts}
    channels = {channel.word for channel in other.channels}
    on_a_page = not given.contexts or not contexts or contexts.intersection(given.contexts)
    return bool(on_a_page and (not given.channels or not channels or channels.intersection(given.channels)))


def _places(given: ExperimentIn, has: tuple[int, Sequence[int]], beside: Iterable[Experiment], at: str) -> list[int]:
    """Return the places of an experiment in its layer: those it `has`, and as many free ones as it needs.

    Each number begins elsewhere, so that small experiments, one after the other, do not meet the same customers.
    """
    number, kept = has
    needed = max(round(given.share / WHOLE * PLACES), 1)
    rivals = [other for other in beside if other.layer == given.layer]
    taken = {place for other in rivals for place in other.places}
    meets = next((other for other in rivals if not set(kept).isdisjoint(other.places)), None)
    if meets is not None:
        remedy = f"{meets.name!r} has some of its customers from {format_time(meets.starts)} on: end before that"
        raise InvalidValueError(f"{at}ends", None if given.ends is None else format_time(given.ends), remedy)
    mine = list(kept)[:needed]
    used, first = taken.union(mine), number * _STRIDE
    free = [place % PLACES for place in range(first, first + PLACES) if place % PLACES not in used]
    if len(mine) + len(free) < needed:
        names = ", ".join(repr(other.name) for other in rivals)
        left = (len(mine) + len(free)) / PLACES * WHOLE
        remedy = (
            f"the layer {given.layer!r} has {left:g} % left beside {names}: lower it, use another layer, or stop one"
        )
        raise InvalidValueError(f"{at}share", given.share, remedy)
    return sorted([*mine, *free[: needed - len(mine)]])


def _runs(places: Iterable[int]) -> list[tuple[int, int]]:
    """Return first and last of each run of neighbouring places.

    >>> _runs([1, 2, 3, 7])
    [(1, 3), (7, 7)]
    """
    groups = groupby(enumerate(sorted(places)), lambda pair: pair[1] - pair[0])
    runs = [[place for _, place in group] for _, group in groups]
    return [(run[0], run[-1]) for run in runs]
