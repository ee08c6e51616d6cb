"""What one model's answers to one task are worth, question by question, and what that is over all tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from active_customers.core.identifiers import NO_NUMBER
from active_customers.evaluation.beyond import HEAD, MIDDLE, TAIL, UNSEEN, Catalogue
from active_customers.evaluation.metrics import (
    Earned,
    cluster_totals,
    first_ranks,
    gains,
    intervals,
    set_gains,
)
from active_customers.evaluation.report import Figures, ModelReport
from active_customers.evaluation.task import Predictions, Task

_T = TypeVar("_T", bound=np.generic)

LENGTHS = (1, 2, 5)
"""Acts shown from which a question belongs to the next class of lengths."""
CUTS = (1, 3, 5, 10, 20, 50, 100)
"""Lengths of lists that the share of hits is told at, as far as lists go."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One model's answers to one task. By question [n]: what was `earned`, the first hit, the acts shown, the cluster.

    By target [m]: whether it was `found`, the popularity class, whether the question showed it already.
    """

    earned: Earned
    first: NDArray[np.int64]
    lengths: NDArray[np.int64]
    clusters: NDArray[np.int64]
    found: NDArray[np.bool_]
    tiers: NDArray[np.str_]
    was_shown: NDArray[np.bool_]
    beyond: Mapping[str, float]
    microseconds: float
    fit_seconds: float


class Scorer:
    """Scores answers to one task; what must be known of its training part is counted once."""

    def __init__(self, task: Task, seed: int) -> None:
        self.task = task
        self._seed = seed
        self._catalogue = Catalogue(task.train)
        self._tiers = self._catalogue.tiers(task.targets)

    def scored(self, predictions: Predictions, fit_seconds: float) -> Scored:
        """Return what the answers are worth."""
        hits, found = predictions.matches(self.task)
        first = first_ranks(hits)
        rng = np.random.default_rng(self._seed)  # every model is looked at in the same lists
        known = np.where(predictions.products < self.task.train.n_products, predictions.products, NO_NUMBER)
        return Scored(
            earned=earned_by(hits, self.task),
            first=first,
            lengths=self.task.lengths,
            clusters=self.task.clusters,
            found=found,
            tiers=self._tiers,
            was_shown=self.task.was_shown,
            beyond=self._catalogue.figures(known, self.task.targets, rng),
            microseconds=predictions.microseconds,
            fit_seconds=fit_seconds,
        )


def earned_by(hits: NDArray[np.bool_], task: Task) -> dict[str, NDArray[np.float64]]:
    """Return what lists with these `hits` [n, k] earn by measure, question by question."""
    return set_gains(hits, np.diff(task.target_offsets)) if task.several else gains(first_ranks(hits))


def summary(parts: Sequence[Scored], k: int, seed: int) -> ModelReport:
    """Return one model's figures over all its tasks: each question counts alike, coverage and its like by task."""
    earned, clusters = pooled(parts), _joined(part.clusters for part in parts)
    n = np.array([len(part.lengths) for part in parts])
    shares = n / n.sum()
    ranges = intervals(earned, clusters, np.random.default_rng(seed))
    first = _joined(part.first for part in parts)
    return ModelReport(
        figures={name: float(values.mean()) for name, values in earned.items()},
        intervals=ranges,
        macro=_macro(earned, clusters),
        hr_at={str(cut): float(((first > 0) & (first <= cut)).mean()) for cut in sorted({*CUTS, k}) if cut <= k},
        beyond={name: float(shares @ [part.beyond[name] for part in parts]) for name in parts[0].beyond},
        slices=_slices(parts, earned),
        folds=[{name: float(values.mean()) for name, values in part.earned.items()} for part in parts],
        n_predictions=int(n.sum()),
        us_per_prediction=float(shares @ [part.microseconds for part in parts]),
        fit_seconds=sum(part.fit_seconds for part in parts),
    )


def pooled(parts: Sequence[Scored]) -> dict[str, NDArray[np.float64]]:
    """Return what was earned in all tasks, one after the other."""
    return {name: _joined(part.earned[name] for part in parts) for name in parts[0].earned}


def _macro(earned: Earned, clusters: NDArray[np.int64]) -> dict[str, float]:
    """Return the means over clusters of the means within them, where every session (customer) counts alike."""
    totals = cluster_totals(earned, clusters)
    return {
        name: float(value) for name, value in zip(earned, (totals[:, 1:] / totals[:, :1]).mean(axis=0), strict=True)
    }


def _slices(parts: Sequence[Scored], earned: Earned) -> dict[str, dict[str, Figures]]:
    """Return the figures of questions by length, and the share of targets found by popularity and by novelty."""
    lengths = _joined(part.lengths for part in parts)
    found, tiers, was_shown = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("found", "tiers", "was_shown")
    )
    classes = np.searchsorted(LENGTHS, lengths, side="right") - 1
    by_length: dict[str, Figures] = {
        _length_name(number): {
            "questions": int((classes == number).sum()),
            **{name: float(values[classes == number].mean()) for name, values in earned.items()},
        }
        for number in np.unique(classes).tolist()
    }
    return {
        "acts_shown": by_length,
        "target_popularity": _found_among(found, {name: tiers == name for name in (HEAD, MIDDLE, TAIL, UNSEEN)}),
        "target_in_session": _found_among(found, {"shown before": was_shown, "new": ~was_shown}),
    }


def _length_name(number: int) -> str:
    least, after = LENGTHS[number], LENGTHS[number + 1 :]
    if not after:
        return f"{least} or more"
    return str(least) if after[0] == least + 1 else f"{least} to {after[0] - 1}"


def _found_among(found: NDArray[np.bool_], classes: Mapping[str, NDArray[np.bool_]]) -> dict[str, Figures]:
    return {
        name: {"targets": int(chosen.sum()), "found": float(found[chosen].mean())}
        for name, chosen in classes.items()
        if chosen.any()
    }


def _joined(columns: Iterable[NDArray[_T]]) -> NDArray[_T]:
    return np.concatenate(list(columns))
