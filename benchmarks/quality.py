"""Accuracy on public data: what `active-customers evaluate` says, by data set, and whether it reaches the marks.

Every look is one command line, run in a process of its own, so that its memory is known and anybody can repeat it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

import orjson

from benchmarks.errors import SkippedError
from benchmarks.plan import Mark, Plan, Result, say
from benchmarks.service import command

OURS = "hybrid"
_EVERYBODY = ("popularity", "sequential_rules", "item_knn", "vsknn", "stan", "vstan", "session_knn", "linear", OURS)
_BUYERS_AGAIN = ("p_top_freq", "gp_top_freq", "buy_again")

_OLD_HISTORIES = (
    *("--set", "linear.share=0.15", "--set", "linear.regularisation=100", "--set", "linear.dropout=0.5"),
    *("--set", "linear.distance_decay=2", "--set", "linear.recency_half_life_days=1000000"),
)
"""For single purchases by one customer over years; chosen on the last but one act of Beauty's customers."""


@dataclass(frozen=True, slots=True)
class Reached:
    """A figure of one model at `k` that has to be at least `least`."""

    model: str
    measure: str
    least: float


@dataclass(frozen=True, slots=True)
class Ahead:
    """Our model's difference to every one of these has to have a 95 % interval above 0."""

    measure: str
    of: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """One evaluation: a folder of the data, its files by flag, models, further flags, and what has to be reached."""

    folder: str
    files: Mapping[str, str]
    models: tuple[str, ...]
    flags: tuple[str, ...] = ()
    k: int = 20
    marks: tuple[Reached | Ahead, ...] = ()

    def arguments(self, data: Path | None = None) -> list[str]:
        """Return the command line; without `data` as one types it in the folder of the data set."""
        files = [
            part
            for flag, file in self.files.items()
            for part in (f"--{flag}", file if data is None else str(data / self.folder / file))
        ]
        models = [part for model in self.models for part in ("--model", model)]
        against = ["--against", OURS] if OURS in self.models and len(self.models) > 1 else []
        return ["evaluate", *files, *self.flags, "--k", str(self.k), *models, *against]


_DIGINETICA = {"train": "train_sessions.parquet", "test": "test_sessions.parquet"}
_SLICE = ("--preset", "retailrocket", "--protocol", "rolling", "--targets")

LOOKS: Mapping[str, Look] = MappingProxyType(
    {
        "serenade": Look(
            "serenade_toy",
            {"train": "train.parquet", "valid": "valid.parquet", "test": "test.parquet"},
            _EVERYBODY,
            marks=(Reached(OURS, "hr", 0.66), Reached(OURS, "mrr", 0.355)),
        ),
        "carts": Look(
            "retailrocket_slice",
            {"events": "events.parquet"},
            _EVERYBODY,
            (*_SLICE, "cart_add"),
            marks=(Ahead("hr", ("vstan", "item_knn", "popularity")),),
        ),
        "purchases": Look("retailrocket_slice", {"events": "events.parquet"}, _EVERYBODY, (*_SLICE, "purchase")),
        "buyers": Look(
            "retailrocket_buyers",
            {"train": "events.parquet", "heldout": "test_buys.parquet"},
            _EVERYBODY,
            ("--preset", "retailrocket"),
            marks=(Ahead("recall", ("popularity", "item_knn", "vstan", "session_knn")),),
        ),
        "next basket": Look(
            "uci_online_retail",
            {"events": "transactions.parquet"},
            (*_EVERYBODY, *_BUYERS_AGAIN),
            ("--preset", "uci-online-retail", "--protocol", "next-basket"),
            marks=(Ahead("recall", ("vstan", *_BUYERS_AGAIN)), Ahead("ndcg", ("vstan", *_BUYERS_AGAIN))),
        ),
        "beauty": Look(
            "amazon_beauty",
            {"train": "beauty_sequences.parquet"},
            ("popularity", "item_knn", "session_knn", "linear"),
            ("--protocol", "leave-one-out", *_OLD_HISTORIES),
            k=10,
            marks=(Reached("linear", "hr", 0.085), Reached("linear", "ndcg", 0.053)),
        ),
        "diginetica, fast": Look("diginetica_srgnn", _DIGINETICA, (*_EVERYBODY, "factorization")),
        "diginetica, best": Look(
            "diginetica_srgnn",
            _DIGINETICA,
            (OURS,),
            ("--set", "hybrid.setting=best"),
            marks=(Reached(OURS, "hr", 0.56), Reached(OURS, "mrr", 0.206)),
        ),
    }
)
"""What is asked of which data, the quick ones first."""

_QUICK = frozenset({"serenade"})
_MOST_MEMORY_GIB = 16.0
"""What training on Diginetica may take."""


def run(plan: Plan) -> Result:
    """Take every look whose data are there."""
    here = {
        name: look
        for name, look in LOOKS.items()
        if (plan.shops.data / look.folder).is_dir() and (name in _QUICK or not plan.quick)
    }
    if not here:
        raise SkippedError(f"it needs {', '.join(dict.fromkeys(look.folder for look in LOOKS.values()))}: see DATA=")
    figures: dict[str, dict[str, Any]] = {}
    lines: list[str] = []
    marks: list[Mark] = []
    for name, look in here.items():
        say(name)
        figures[name] = _taken(look, plan.shops.data)
        lines += [f"{name}, {line}" for line in _lines(figures[name], look.k)]
        marks += [_mark(name, mark, figures[name], look.k) for mark in look.marks]
        if look.folder == "diginetica_srgnn":
            promise = f"{name}: memory of the whole evaluation"
            marks.append(Mark(promise, figures[name]["peak_memory_gib"], _MOST_MEMORY_GIB, "GiB"))
    return Result(", ".join(dict.fromkeys(look.folder for look in here.values())), 1, figures, lines, marks)


def _taken(look: Look, data: Path) -> dict[str, Any]:
    """Run one evaluation and return what its report says, in short."""
    with TemporaryDirectory() as folder:
        out = Path(folder) / "report.json"
        peak = command(*look.arguments(data), "--out", out, "--data-dir", Path(folder) / "data")
        report = orjson.loads(out.read_bytes())
    return {
        "command": f"active-customers {' '.join(look.arguments())}",
        "questions": report["data"]["n_questions"],
        "peak_memory_gib": round(peak / 2**30, 2),
        "models": {name: _figures(found) for name, found in report["models"].items()},
        "differences": {
            found["model"]: {
                measure: _difference(found[measure]) for measure in ("hr", "mrr", "recall", "ndcg") if measure in found
            }
            for found in report["comparisons"]
        },
    }


_KEPT = ("hr", "mrr", "recall", "ndcg", "coverage")


def _figures(found: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: round(found[name], 4) for name in _KEPT if name in found}
    names = [f"{measure}_interval" for measure in _KEPT]
    intervals = {name: [round(end, 4) for end in found[name]] for name in names if name in found}
    fit, prediction = round(found["fit_seconds"], 1), round(found["us_per_prediction"], 1)
    return {**kept, **intervals, "fit_seconds": fit, "us_per_prediction": prediction}


def _difference(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return how much our model is ahead: the report has the others less ours."""
    low, high = found["interval"]
    return {
        "ahead": round(-found["difference"], 4),
        "interval": [round(-high, 4), round(-low, 4)],
        "smallest_detectable": round(found["smallest_detectable"], 4),
    }


def _mark(name: str, mark: Reached | Ahead, found: Mapping[str, Any], k: int) -> Mark:
    if isinstance(mark, Reached):
        measured = found["models"][mark.model][mark.measure]
        return Mark(f"{name}: {mark.measure}@{k} of {mark.model}", measured, mark.least, least=True)
    ends = {other: found["differences"][other][mark.measure]["interval"][0] for other in mark.of}
    hardest = min(ends, key=lambda other: ends[other])
    promise = f"{name}: {mark.measure}@{k} ahead of each, at least (nearest: {hardest})"
    return Mark(promise, ends[hardest], 0.0001, least=True)


def _lines(found: Mapping[str, Any], k: int) -> Sequence[str]:
    return [
        f"{model}: HR@{k} {figures['hr']:.4f}, MRR@{k} {figures['mrr']:.4f}, fit {figures['fit_seconds']:.0f} s, "
        f"{figures['us_per_prediction']:.0f} us a prediction"
        for model, figures in found["models"].items()
    ]
