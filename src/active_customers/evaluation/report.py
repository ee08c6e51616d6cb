"""The result of an evaluation, as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from active_customers.evaluation.interactions import Interactions
from active_customers.evaluation.metrics import Interval
from active_customers.evaluation.protocols import Task


@dataclass(frozen=True, slots=True)
class ModelReport:
    """One model's figures: shares of 1, intervals at 95 % over sessions, times in microseconds and seconds."""

    hr: float
    mrr: float
    ndcg: float
    coverage: float
    n_predictions: int
    us_per_prediction: float
    fit_seconds: float
    intervals: Mapping[str, Interval]

    def as_dict(self) -> dict[str, Any]:
        """Return the figures for JSON; the interval of `hr` is `hr_interval`."""
        return {
            "hr": self.hr,
            "mrr": self.mrr,
            "ndcg": self.ndcg,
            "coverage": self.coverage,
            "n_predictions": self.n_predictions,
            "us_per_prediction": self.us_per_prediction,
            "fit_seconds": self.fit_seconds,
            **{f"{name}_interval": list(interval) for name, interval in self.intervals.items()},
        }


@dataclass(frozen=True, slots=True)
class Report:
    """What was asked, of which data, and how each model did."""

    protocol: str
    k: int
    data: Mapping[str, Any]
    models: Mapping[str, ModelReport]

    def as_dict(self) -> dict[str, Any]:
        """Return the report for JSON."""
        models = {name: figures.as_dict() for name, figures in self.models.items()}
        return {"protocol": self.protocol, "k": self.k, "data": dict(self.data), "models": models}

    def write(self, path: Path) -> None:
        """Write the report as indented JSON."""
        path.write_bytes(orjson.dumps(self.as_dict(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def described(train: tuple[Interactions, ...], test: Interactions | None, task: Task) -> dict[str, Any]:
    """Return what a reader must know of the data: counts, and the files with their hashes."""
    return {
        "n_products": task.train.n_products,
        "n_train_sessions": task.train.n_sessions,
        "n_train_events": len(task.train.products),
        "n_test_sessions": task.test.n_sessions,
        "n_test_events": len(task.test.products),
        "n_unseen_targets": int((task.targets >= task.train.n_products).sum()),
        "train_files": [_file(part) for part in train],
        "test_files": [] if test is None else [_file(test)],
    }


def _file(part: Interactions) -> dict[str, Any]:
    known = {} if part.source is None else {"name": part.source.name, "sha256": part.source.sha256}
    return {**known, "rows": len(part)}
