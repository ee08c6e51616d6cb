"""Simulated customers who meet a service: how fast simulated time goes, and whether all of them are answered."""

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


def run(plan: Plan) -> Result:
    """Play some days of a simulated shop against a service of its own, refreshes included."""
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
