"""Microseconds of `Engine.recommend` in a shop of 50,000 products, with each of the hybrid's two settings."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from active_customers.models.hybrid_model import SETTINGS
from active_customers.realtime.hot_routes import parse_query
from benchmarks.audience import give_sessions
from benchmarks.plan import Mark, Plan, Result, say
from benchmarks.requests_in_process import Answering, timed
from benchmarks.service import command, serving
from benchmarks.shops import Shop
from benchmarks.spread import percentiles, shown, spread
from benchmarks.synthetic import SyntheticHistory
from benchmarks.traffic import CUSTOMERS

HISTORY = SyntheticHistory(50_000, 500_000)
LIMITS = {("fast", "p50_us"): 100, ("fast", "p99_us"): 1_000, ("best", "p50_us"): 300}
"""Most microseconds of an answer, by setting and percentile."""


def run(plan: Plan) -> Result:
    """Ask for 10,000 customers with sessions, some rounds for each setting."""
    figures: dict[str, Any] = {}
    for setting in SETTINGS:
        say(f"{HISTORY.name}, `{setting}`")
        with plan.shops.synthetic(HISTORY) as shop:
            figures[setting] = _measure(plan, shop, setting)
    lines = [
        f"{setting}: p50 {shown(found['p50_us'], ' us')}, p99 {shown(found['p99_us'], ' us')}"
        for setting, found in figures.items()
    ]
    marks = [
        Mark(f"Engine.recommend, `{setting}`, {field[:-3]}", figures[setting][field]["median"], limit, "us")
        for (setting, field), limit in LIMITS.items()
    ]
    return Result(HISTORY.name, plan.rounds, figures, lines, marks)


def _measure(plan: Plan, shop: Shop, setting: str) -> dict[str, Any]:
    """Return the spread of the rounds' percentiles, after a round that warms up."""
    if setting != "fast":  # the default, which the shop was made with
        (shop.data_dir / "config.yaml").write_text(f"models: {{hybrid: {{setting: {setting}}}}}\n")
        command("refresh", "--force", "--data-dir", shop.data_dir)
    n_calls = plan.size(CUSTOMERS)
    with serving(shop.data_dir) as service:
        give_sessions(service.port, n_calls)
    with Answering(shop.data_dir) as answering:
        rounds = [percentiles(_times(answering, n_calls), "us") for _ in range(plan.rounds + 1)][1:]
    return {field: spread([measured[field] for measured in rounds]) for field in rounds[0]}


def _times(answering: Answering, n_calls: int) -> NDArray[np.int64]:
    engine = answering.services.hot._engine  # the very one that requests meet
    queries = [parse_query(b"customer_id=c%d&context=home&n=10" % number) for number in range(n_calls)]
    return timed(lambda i: engine.recommend(queries[i]), n_calls)
