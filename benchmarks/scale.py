"""How long an answer takes in shops of ten thousand, a hundred thousand and a million products."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks.audience import give_sessions
from benchmarks.errors import BenchmarkError
from benchmarks.http_connection import Connection
from benchmarks.plan import Mark, Plan, Result, say
from benchmarks.requests_in_process import Answering
from benchmarks.service import serving
from benchmarks.shops import Shop
from benchmarks.spread import percentiles, spread
from benchmarks.synthetic import SyntheticHistory
from benchmarks.traffic import CUSTOMERS, get

SHOPS = (SyntheticHistory(10_000, 300_000), SyntheticHistory(100_000, 300_000), SyntheticHistory(1_000_000, 3_000_000))
REQUESTS = 10_000


def run(plan: Plan) -> Result:
    """Measure each shop over the API with one connection, closed loop, and the same requests in this process."""
    figures: dict[str, Any] = {}
    for history in SHOPS[:2] if plan.quick else SHOPS:
        say(history.name)
        with plan.shops.synthetic(history) as shop:
            figures[f"{history.products}_products"] = {"events": history.events, **_measure(plan, shop)}
    lines = [
        f"{name.replace('_', ' ')}: over the API p50 {found['api']['p50_us']['median']:g} us, "
        f"p99 {found['api']['p99_us']['median']:g} us; in process p50 {found['in_process']['p50_us']['median']:g} us, "
        f"p99 {found['in_process']['p99_us']['median']:g} us"
        for name, found in figures.items()
    ]
    data = f"synthetic, {', '.join(name.replace('_', ' ') for name in figures)}"
    return Result(data, plan.rounds, figures, lines, _marks(figures))


def _measure(plan: Plan, shop: Shop) -> dict[str, Any]:
    """Return the spread of the rounds' percentiles, over the API and in process."""
    n_requests = plan.size(REQUESTS)
    with serving(shop.data_dir) as service:
        give_sessions(service.port, plan.size(CUSTOMERS))
        _over_the_api(service.port, n_requests)
        api = [_over_the_api(service.port, n_requests) for _ in range(plan.rounds)]
    with Answering(shop.data_dir) as answering:
        answering.time_requests(n_requests)
        in_process = [percentiles(answering.time_requests(n_requests), "us") for _ in range(plan.rounds)]
    return {
        name: {field: spread([measured[field] for measured in rounds]) for field in rounds[0]}
        for name, rounds in (("api", api), ("in_process", in_process))
    }


def _over_the_api(port: int, n_requests: int) -> dict[str, float]:
    """Ask for as many customers over one connection, each question after the answer before it."""
    connection = Connection(port).open()
    took = np.empty(n_requests, np.int64)
    for number in range(n_requests):
        request = get(f"c{number * 7919 % n_requests}", context="home", n=10)
        started = time.perf_counter_ns()
        reply = connection.exchange(request)
        took[number] = time.perf_counter_ns() - started
        if reply.status != 200:
            raise BenchmarkError(f"a question was answered {reply.status}: {reply.body[:300]!r}")
    connection.close()
    return percentiles(took, "us")


def _marks(figures: dict[str, Any]) -> list[Mark]:
    """Return how much longer the slowest shop takes than the fastest."""
    marks = []
    for way, words in (("api", "over the API"), ("in_process", "in process")):
        p99s = [found[way]["p99_us"]["median"] for found in figures.values()]
        marks.append(Mark(f"p99 of GET, slowest to fastest size, {words}", round(max(p99s) / min(p99s), 2), 2, "times"))
    return marks
