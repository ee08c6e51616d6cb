"""Next-item accuracy on public data, with the speed of one prediction."""

from __future__ import annotations

from pathlib import Path

from active_customers.evaluation.evaluator import EvaluationRequest, evaluate
from active_customers.importing.interactions import read_interactions
from active_customers.models.registry import MODELS
from benchmarks.machine import write

SETS = {
    "diginetica_srgnn": (("train_sessions.parquet",), "test_sessions.parquet"),
    "serenade_toy": (("train.parquet", "valid.parquet"), "test.parquet"),
}


def run(data: Path) -> None:
    """Evaluate every model on every data set that is there and write `results/quality.json`."""
    figures: dict[str, object] = {}
    for name, (train, test) in SETS.items():
        folder = data / name
        if folder.exists():
            parts = tuple(read_interactions(folder / file) for file in train)
            request = EvaluationRequest(parts, read_interactions(folder / test), tuple(MODELS))
            figures[name] = evaluate(request).as_dict()
    if figures:
        write("quality", f"python -m benchmarks --only quality --data {data.name}", figures)
