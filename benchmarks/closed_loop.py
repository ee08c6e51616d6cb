"""Simulated customers who meet a service: how fast simulated time goes, and whether an experiment finds the truth."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from active_customers.closed_loop_command import REPORT_FILE
from benchmarks.errors import BenchmarkError
from benchmarks.plan import Mark, Plan, Result, say
from benchmarks.service import command

CUSTOMERS, PRODUCTS, DAYS, WARM_UP_DAYS = 8_000, 500, 2, 7
PROMISED = 20_000
TRIAL_PRODUCTS, TRIAL_DAYS, TRIAL_WARM_UP_DAYS = 300, 7, 14
TRIAL_KNOBS = ("cart_rate=0.03", "refresh_days=7", "judged_share=0.03")
"""A shop of daily needs, where one visit of nine ends in an order; its models are trained once."""
TRIAL = """
strategies:
  - {name: popularity, sources: []}
  - {name: item-knn, sources: [beside], ranker: guess}
  - {name: sessions, sources: [sessions], ranker: guess}
experiments:
  - name: strategies
    variants:
      control: {weight: 25}
      popularity: {weight: 25, strategy: popularity}
      item-knn: {weight: 25, strategy: item-knn}
      sessions: {weight: 25, strategy: sessions}
"""


def run(plan: Plan) -> Result:
    """Play days of a simulated shop, refreshes included; then an experiment in one that sells more."""
    pace, trial = _pace(plan), _trial(plan)
    return Result(
        pace.data,
        1,
        {**pace.figures, "experiment": trial.figures},
        [*pace.lines, *trial.lines],
        [*pace.marks, *trial.marks],
    )


def _trial(plan: Plan) -> Result:
    """Compare four strategies by an experiment, and its analysis with the truth."""
    customers, days = plan.size(CUSTOMERS), 1 if plan.quick else TRIAL_DAYS
    say(f"an experiment of four strategies on {customers:,} customers: {days} day(s) after {TRIAL_WARM_UP_DAYS}")
    size = ("--customers", str(customers), "--products", str(TRIAL_PRODUCTS))
    knobs = [word for knob in TRIAL_KNOBS for word in ("--set", knob)]
    with TemporaryDirectory(dir=plan.shops.scratch) as folder:
        file = Path(folder) / "experiments.yaml"
        file.write_text(TRIAL)
        period = ("--days", str(days), "--warm-up", str(TRIAL_WARM_UP_DAYS), "--data-dir", Path(folder) / "data")
        before = ("--before", f"experiments put {file}")
        command("simulate", "--closed-loop", *size, *period, *knobs, *before, "--out", folder)
        judged: dict[str, Any] = orjson.loads((Path(folder) / REPORT_FILE).read_bytes())["experiments"]["strategies"]
    truth, compared = judged["truth"], [name for name in judged["truth"] if name != "control"]
    lines = [
        f"{name}: {found['brought']:.2f} EUR a customer, {found['expected']:.2f} expected, "
        f"{found['answer']:.3f} EUR an answer by the truth; {found['decision'] or 'control'}"
        for name, found in truth.items()
    ]
    held = sum(bool(truth[name]["sequential_interval_holds"]) for name in compared)
    marks = [
        Mark(
            "closed loop: variants counted to the cent",
            sum(t["is_counted_alike"] for t in truth.values()),
            4,
            "of 4",
            least=True,
        ),
        Mark(
            "closed loop: intervals that hold the true effect", held, len(compared), f"of {len(compared)}", least=True
        ),
    ]
    return Result("", 1, judged, lines, marks)


def _pace(plan: Plan) -> Result:
    """Play some days against a service of its own, and see how fast they go by."""
    customers, days = plan.size(CUSTOMERS), 1 if plan.quick else DAYS
    say(f"{customers:,} customers, {PRODUCTS:,} products: {days} day(s) after {WARM_UP_DAYS}")
    size = ("--customers", str(customers), "--products", str(PRODUCTS))
    with TemporaryDirectory(dir=plan.shops.scratch) as folder:
        period = ("--days", str(days), "--warm-up", str(WARM_UP_DAYS), "--data-dir", Path(folder) / "data")
        command("simulate", "--closed-loop", *size, *period, "--out", folder)
        report: dict[str, Any] = orjson.loads((Path(folder) / REPORT_FILE).read_bytes())
    total = report["total"]
    if total["failures"]:
        raise BenchmarkError(f"{total['failures']} failures, the first: {report['first_failures'][0]}")
    names = ("requests_per_minute", "requests_per_minute_with_refreshes", "playing_seconds", "refreshing_seconds")
    figures = {name: report[name] for name in (*names, "customers_share", "days", "total")}
    lines = [
        f"{report['requests_per_minute']:,.0f} simulated requests a minute while customers act",
        f"{report['requests_per_minute_with_refreshes']:,.0f} with the refreshes between the days",
        f"the customers themselves keep {report['customers_share']:.0%} of a core busy",
        f"click-through {total['click_through']:.1%}, regret {total['regret']:.0%}",
    ]
    mark = Mark("closed loop: simulated requests", report["requests_per_minute"], PROMISED, "a minute", least=True)
    return Result(f"simulated, {customers:,} customers, {PRODUCTS:,} products", 1, figures, lines, [mark])
