"""The result of an evaluation, as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from active_customers.evaluation.comparison import Comparison
from active_customers.evaluation.interactions import Interactions
from active_customers.evaluation.metrics import Interval
from active_customers.evaluation.task import Task

Figures = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class ModelReport:
    """One model's figures: shares of 1, intervals at 95 % over sessions, times in microseconds and seconds.

    `figures` are means over questions by measure, `macro` over clusters, `hr_at` by length of the list, `beyond` what
    accuracy does not tell (`evaluation.beyond`), `slices` by kind of question and of target, `folds` by fold.
    """

    figures: Figures
    intervals: Mapping[str, Interval]
    macro: Figures
    hr_at: Figures
    beyond: Figures
    slices: Mapping[str, Mapping[str, Figures]]
    folds: Sequence[Figures]
    n_predictions: int
    us_per_prediction: float
    fit_seconds: float

    @property
    def hr(self) -> float:
        """Share of questions with something right in the list."""
        return self.figures["hr"]

    @property
    def mrr(self) -> float:
        """Mean of 1 / rank of the first that is right."""
        return self.figures["mrr"]

    @property
    def ndcg(self) -> float:
        """Mean discounted gain, against the best that could be."""
        return self.figures["ndcg"]

    @property
    def coverage(self) -> float:
        """Share of the catalogue that stands in any list."""
        return self.beyond["coverage"]

    def as_dict(self) -> dict[str, Any]:
        """Return the figures for JSON; the interval of `hr` is `hr_interval`."""
        folds = {"folds": [dict(fold) for fold in self.folds]} if len(self.folds) > 1 else {}
        return {
            **self.figures,
            "coverage": self.coverage,
            "n_predictions": self.n_predictions,
            "us_per_prediction": self.us_per_prediction,
            "fit_seconds": self.fit_seconds,
            **{f"{name}_interval": list(interval) for name, interval in self.intervals.items()},
            "macro": dict(self.macro),
            "hr_at": dict(self.hr_at),
            "beyond": dict(self.beyond),
            "slices": {
                name: {label: dict(found) for label, found in part.items()} for name, part in self.slices.items()
            },
            **folds,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """What was asked, of which data, and how each model did.

    `models` and `comparisons` are static: fitted once, nothing learned afterwards. `live` holds what learned the test
    part as it happened, a table of its own, and `live_comparison` what that gained on the same questions.
    """

    protocol: str
    k: int
    data: Mapping[str, Any]
    models: Mapping[str, ModelReport]
    comparisons: Sequence[Comparison] = field(default=())
    live: Mapping[str, ModelReport] = field(default_factory=dict)
    live_comparison: Comparison | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the report for JSON."""
        return {
            "protocol": self.protocol,
            "k": self.k,
            "data": dict(self.data),
            "models": {name: figures.as_dict() for name, figures in self.models.items()},
            "comparisons": [comparison.as_dict() for comparison in self.comparisons],
            **({"live": self._live()} if self.live else {}),
        }

    def _live(self) -> dict[str, Any]:
        found = [self.live_comparison.as_dict()] if self.live_comparison else []
        return {"models": {name: figures.as_dict() for name, figures in self.live.items()}, "comparisons": found}

    def write(self, path: Path) -> None:
        """Write the report as indented JSON."""
        path.write_bytes(orjson.dumps(self.as_dict(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def described(train: Sequence[Interactions], test: Interactions | None, tasks: Sequence[Task]) -> dict[str, Any]:
    """Return what a reader must know of the data: counts (of folds: of the last), and the files with their hashes."""
    last = tasks[-1]
    return {
        "n_products": last.train.n_products,
        "n_train_sessions": last.train.n_sessions,
        "n_train_events": len(last.train.products),
        "n_test_sessions": sum(task.test.n_sessions for task in tasks),
        "n_test_events": sum(len(task.test.products) for task in tasks),
        "n_unseen_targets": sum(int((~np.isin(task.targets, task.train.products)).sum()) for task in tasks),
        "train_files": [_file(part) for part in train],
        "test_files": [] if test is None else [_file(test)],
    }


def _file(part: Interactions) -> dict[str, Any]:
    known = {} if part.source is None else {"name": part.source.name, "sha256": part.source.sha256}
    return {**known, "rows": len(part)}
