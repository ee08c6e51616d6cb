"""Next-item accuracy on public data, with the speed of one prediction."""

from __future__ import annotations

from active_customers.evaluation.evaluator import EvaluationRequest, evaluate
from active_customers.importing.interactions import read_interactions
from active_customers.models.registry import MODELS
from benchmarks.errors import SkippedError
from benchmarks.plan import Plan, Result, say

SETS = {
    "diginetica_srgnn": (("train_sessions.parquet",), "test_sessions.parquet"),
    "serenade_toy": (("train.parquet", "valid.parquet"), "test.parquet"),
}


def run(plan: Plan) -> Result:
    """Evaluate every model on every data set that is there."""
    figures: dict[str, dict[str, object]] = {}
    here = {name: files for name, files in SETS.items() if (plan.shops.data / name).exists()}
    if plan.quick:
        here.pop("diginetica_srgnn", None)
    for name, (train, test) in here.items():
        say(name)
        folder = plan.shops.data / name
        parts = tuple(read_interactions(folder / file) for file in train)
        figures[name] = evaluate(EvaluationRequest(parts, read_interactions(folder / test), tuple(MODELS))).as_dict()
    if not figures:
        raise SkippedError(f"it needs {' or '.join(SETS)}: name their folder with DATA=")
    return Result(
        ", ".join(figures), 1, figures, [line for name, found in figures.items() for line in _lines(name, found)]
    )


def _lines(data: str, found: dict[str, object]) -> list[str]:
    models = found["models"]
    assert isinstance(models, dict)
    return [
        f"{data}, {model}: HR@20 {figures['hr']:.4f}, MRR@20 {figures['mrr']:.4f}, "
        f"{figures['us_per_prediction']:.0f} us a prediction"
        for model, figures in models.items()
    ]
