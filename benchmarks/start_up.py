"""From the start of `serve` to the first answer: after a clean end, and after kill -9 under load."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any

from benchmarks.arrivals import Generating, Load
from benchmarks.audience import asked
from benchmarks.errors import BenchmarkError
from benchmarks.generator import Arrivals
from benchmarks.http_connection import Connection
from benchmarks.plan import Mark, Plan, Result, say
from benchmarks.service import serving
from benchmarks.shops import Shop
from benchmarks.spread import shown, spread
from benchmarks.synthetic import SyntheticHistory
from benchmarks.traffic import get

PRODUCTS, EVENTS = 50_000, 500_000
RATE = 1_000.0


def run(plan: Plan) -> Result:
    """Measure with one and with two workers on a shop of 50,000 products."""
    figures: dict[str, Any] = {}
    lines, marks = [], []
    with plan.shops.synthetic(SyntheticHistory(plan.size(PRODUCTS), plan.size(EVENTS))) as shop:
        for workers in (1, 2):
            clean = [_seconds_to_first_answer(shop, workers) for _ in range(plan.rounds)]
            say(f"{workers} worker(s): started {plan.rounds} time(s)")
            killed = [_after_kill(plan, shop, workers) for _ in range(plan.rounds)]
            say(f"{workers} worker(s): killed and started {plan.rounds} time(s)")
            figures[f"{workers}_worker{'s' if workers > 1 else ''}"] = {
                "start_seconds": spread(clean),
                "after_kill_seconds": spread(killed),
            }
            lines.append(
                f"{workers} worker(s): first answer after {shown(spread(clean), ' s')}, "
                f"after kill -9 {shown(spread(killed), ' s')}"
            )
            marks += [
                Mark(f"start to first answer, {workers} worker(s)", max(clean), 5, "s"),
                Mark(f"serving again after kill -9, {workers} worker(s)", max(killed), 5, "s"),
            ]
    return Result(shop.name, plan.rounds, figures, lines, marks)


def _seconds_to_first_answer(shop: Shop, workers: int) -> float:
    """Start a service, ask once, stop it; the interpreter's own start counts."""
    started = time.perf_counter()
    with serving(shop.data_dir, workers) as service:
        connection = Connection(service.port).open()
        answer = asked(connection, get("somebody", n=10))
        seconds = time.perf_counter() - started
        connection.close()
    if len(answer) != 10:
        raise BenchmarkError(f"the first answer held {len(answer)} products instead of 10")
    return seconds


def _after_kill(plan: Plan, shop: Shop, workers: int) -> float:
    """Kill all processes of a service while events are posted; return how long the next one takes to answer."""
    with ExitStack() as stack:
        service = stack.enter_context(serving(shop.data_dir, workers))
        load = Load(service.port, range(plan.size(PRODUCTS)), 1)
        stack.enter_context(Generating(load, Arrivals(RATE, 60)))
        time.sleep(plan.seconds(3))
        service.kill()
    return _seconds_to_first_answer(shop, workers)
