"""A constant rate of arrivals: what customers wait, counted from the moment their request was due."""

from __future__ import annotations

from typing import Any

from benchmarks.arrivals import Load, generate, summed_up
from benchmarks.audience import give_sessions
from benchmarks.generator import Arrivals
from benchmarks.plan import Mark, Plan, Result, say
from benchmarks.service import serving
from benchmarks.shops import Shop
from benchmarks.spread import shown, spread

POST_EVERY = 5
"""80 % recommendations, 20 % durable events."""

WARM_UP_SECONDS = 1.0

_FIELDS = ("p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms", "achieved_per_second", "generator_cpu_seconds")


def run(plan: Plan) -> Result:
    """Measure with one and with two workers."""
    figures: dict[str, Any] = {"rate_per_second": plan.rate}
    lines, marks = [], []
    with plan.shops.main() as shop:
        for workers in (1, 2):
            found = _measure(plan, shop, workers)
            figures[f"{workers}_worker{'s' if workers > 1 else ''}"] = found
            who = f"{workers} worker(s)"
            lines += _lines(f"{who}, {plan.rate:,g} due a second", found)
            marks += [
                Mark(f"open loop p99, {who}", found["p99_ms"]["median"], 10, "ms"),
                Mark(f"open loop p99.9, {who}", found["p999_ms"]["median"], 50, "ms"),
            ]
    return Result(shop.name, plan.rounds, figures, lines, marks)


def _lines(who: str, found: dict[str, Any]) -> list[str]:
    quantiles = {"p50": "p50_ms", "p99": "p99_ms", "p99.9": "p999_ms"}
    waits = ", ".join(f"{name} {shown(found[field], ' ms')}" for name, field in quantiles.items())
    lag, cpu = shown(found["generator_lag_p99_ms"], " ms"), found["generator_cpu_seconds"]["median"]
    return [
        f"{who}: {shown(found['achieved_per_second'])} answered a second, {waits}",
        f"the generator itself was late by {lag} at its p99 and took {cpu} s of processor time",
    ]


def _measure(plan: Plan, shop: Shop, workers: int) -> dict[str, Any]:
    arrivals = Arrivals(plan.rate, WARM_UP_SECONDS + plan.seconds(10, 2))
    rounds: list[dict[str, Any]] = []
    with serving(shop.data_dir, workers) as service:
        load = Load(service.port, give_sessions(service.port).products, POST_EVERY)
        for number in range(plan.rounds):
            say(f"{workers} worker(s), round {number + 1} of {plan.rounds}")
            rounds.append(summed_up(generate(load, arrivals), arrivals, POST_EVERY, WARM_UP_SECONDS))
    lags = [measured["generator_lag"]["p99_ms"] for measured in rounds]
    return {
        **{field: spread([measured[field] for measured in rounds]) for field in _FIELDS},
        "generator_lag_p99_ms": spread(lags),
        "seconds": arrivals.seconds - WARM_UP_SECONDS,
        "connections": arrivals.connections,
        "errors": 0,
        "runs": rounds,
    }
