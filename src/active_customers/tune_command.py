"""What `active-customers tune` does between its flags and what it prints: YAML, all but the settings as comments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from active_customers.batch.daily_refresh import ModelConfigs
from active_customers.config.settings import set_in
from active_customers.core.errors import InvalidValueError
from active_customers.evaluation.contestants import CONTESTANTS
from active_customers.evaluation.search_space import Range, merged, restricted, space_of, values_of
from active_customers.evaluation.tuning import Trial, Tuned, TuningRequest
from active_customers.importing.described import read_described
from active_customers.importing.interactions import read_interactions
from active_customers.models.hybrid_model import HybridConfig
from active_customers.models.registry import entry_named
from active_customers.terminal import Report as Progress
from active_customers.terminal import say


@dataclass(frozen=True, slots=True)
class Given:
    """What the flags say beside the numbers: files, and every `--set`."""

    files: Sequence[Path]
    preset: str | None
    changed: Sequence[str]
    products: Sequence[Path] = ()


def request_of(given: Given, plain: TuningRequest, configs: dict[str, dict[str, Any]]) -> TuningRequest:
    """Return a request with files read and `--set` understood.

    `MODEL.PARAMETER=VALUE` keeps a parameter out of the search, `MODEL.PARAMETER=LOW..HIGH` narrows it. Raises
    `InvalidValueError` for what is none of these.
    """
    space = space_of(entry_named(plain.model, CONTESTANTS).config)
    ranges: dict[str, Range] = {}
    fixed: list[str] = []
    for setting in given.changed:
        key, _, value = setting.partition("=")
        model, _, name = key.partition(".")
        if model != plain.model:
            raise InvalidValueError("set", setting, f"{plain.model} is tuned: write {plain.model}.PARAMETER=...")
        if ".." in value:
            ranges[name] = restricted(space, name, value)
        else:
            set_in(configs, setting)
            fixed.append(name)
    if not given.files:
        raise InvalidValueError("train", None, "name files to learn from")
    train = tuple(read_interactions(path, given.preset) for path in given.files)
    catalogue = read_described(given.products, given.preset) if given.products else None
    searched = replace(plain, base=configs.get(plain.model, {}), ranges=ranges, fixed=tuple(fixed))
    return replace(searched, train=train, catalogue=catalogue)


class Teller:
    """Prints what each trial came to."""

    def __init__(self, request: TuningRequest, progress: Progress) -> None:
        self._request, self._progress = request, progress
        self._best = -1.0

    def __call__(self, trial: Trial) -> None:
        """Print one."""
        is_better = trial.score > self._best
        note = ", the published settings" if trial.number == 1 else ", the best so far" if is_better else ""
        say(f"# trial {trial.number}: {_measure(self._request)} {trial.score:.4f}{note}")
        self._best = max(self._best, trial.score)
        self._progress(trial.number, self._request.trials)


def lines(tuned: Tuned, request: TuningRequest) -> Iterator[str]:
    """Yield what was found, as YAML that can be put into a settings file."""
    measure, best = _measure(request), tuned.best
    yield (
        f"# {len(tuned.space)} parameters of {request.model}, {len(tuned.trials)} trials, seed {request.seed}, on "
        f"{tuned.searched:,} questions of the newest {request.share:.0%} of the sessions, fitted on all before them"
    )
    if tuned.gain is None:
        yield "# nothing better than the published settings was found"
        return
    yield f"# best: trial {best.number}, {measure} {best.score:.4f}; published settings {tuned.trials[0].score:.4f}"
    low, high = tuned.gain.interval
    verdict = "a gain" if tuned.is_gain_shown else "a loss" if high < 0 else "within noise"
    advice = "" if tuned.is_gain_shown else ": keep the published settings"
    yield (
        f"# on {tuned.confirmed:,} questions of other sessions: {measure} {tuned.best_score:.4f}; published settings "
        f"{tuned.default_score:.4f}; {tuned.gain.mean:+.4f} ({low:+.4f} to {high:+.4f}), {verdict}{advice}; "
        f"smallest detectable {tuned.gain.smallest_detectable:.4f}"
    )
    yield from _fragment(request.model, _changed(tuned, request))


def _changed(tuned: Tuned, request: TuningRequest) -> dict[str, Any]:
    """Return what differs from the published settings: what was given for the search, and what it found."""
    published = tuned.trials[0].parameters
    found = {name: value for name, value in tuned.best.parameters.items() if value != published[name]}
    return {**values_of(request.base, request.fixed), **found}


def _fragment(model: str, parameters: Mapping[str, Any]) -> Iterator[str]:
    """Yield the parameters where a settings file has them; as flags where it has no such model."""
    if model in ModelConfigs.model_fields:
        tree = {"models": {model: merged({}, parameters)}}
    elif model in HybridConfig.model_fields:
        tree = {"models": {"hybrid": {model: merged({}, parameters)}}}
    else:
        yield from (f"# --set {model}.{name}={value}" for name, value in parameters.items())
        return
    yield yaml.safe_dump(tree, sort_keys=False).rstrip()


def _measure(request: TuningRequest) -> str:
    return f"{request.measure.upper()}@{request.k}"
