"""Throughput of GET, POST and the 80/20 mix, each beside a static reply of the same size in the same run."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

from benchmarks.arrivals import Load
from benchmarks.audience import give_sessions
from benchmarks.plan import Mark, Plan, Result, say
from benchmarks.service import running, serving
from benchmarks.shops import Shop
from benchmarks.spread import shown, spread
from benchmarks.wrk import Throughput, check_wrk, wrk

FEW, MANY = 16, 64
"""Connections."""

_LOADS = {
    "static": (0, FEW),
    "static_at_once": (0, FEW),
    "get": (0, FEW),
    "post": (1, FEW),
    "mix": (5, FEW),
    "mix_64": (5, MANY),
}
"""By name: every how many-th request is a post, and over how many connections."""

Rounds = list[dict[str, Throughput]]


def run(plan: Plan) -> Result:
    """Measure with one and with two workers."""
    check_wrk()
    figures: dict[str, Any] = {}
    lines: list[str] = []
    with plan.shops.main() as shop:
        for workers in (1, 2):
            rounds, size = _measure(plan, shop, workers)
            name = f"{workers}_worker{'s' if workers > 1 else ''}"
            figures[name] = {"answer_bytes": size, **_summed_up(rounds)}
            lines += _lines(workers, figures[name])
    return Result(shop.name, plan.rounds, figures, lines, _marks(figures))


def _measure(plan: Plan, shop: Shop, workers: int) -> tuple[Rounds, int]:
    """Return what each round measured, and the size of an answer."""
    with ExitStack() as stack:
        service = stack.enter_context(serving(shop.data_dir, workers))
        audience = give_sessions(service.port)
        floor = ("-m", "benchmarks.static_reply", str(audience.answer_bytes), str(workers))
        ports = {
            "static": stack.enter_context(running(*floor)).port,
            "static_at_once": stack.enter_context(running(*floor, "at-once")).port,
        }
        rounds: Rounds = []
        for number in range(plan.rounds):
            say(f"{workers} worker(s), round {number + 1} of {plan.rounds}")
            loads = {
                name: Load(ports.get(name, service.port), audience.products, post_every)
                for name, (post_every, _) in _LOADS.items()
            }
            rounds.append({name: wrk(load, plan.seconds(4), _LOADS[name][1]) for name, load in loads.items()})
    return rounds, audience.answer_bytes


def _summed_up(rounds: Rounds) -> dict[str, Any]:
    """Return the spread of each load's figures, its ratio to the static reply of the same round, and the rounds."""
    figures: dict[str, Any] = {}
    for name in _LOADS:
        found = [measured[name] for measured in rounds]
        figures[name] = {
            "requests_per_second": spread([load.requests_per_second for load in found]),
            **{f"ratio_to_{floor}": spread(_ratios(rounds, name, floor)) for floor in ("static", "static_at_once")},
            **{field: spread([getattr(load, field) for load in found]) for field in ("p50_ms", "p99_ms", "max_ms")},
            "errors": 0,
            "runs": [asdict(load) for load in found],
        }
    return figures


def _ratios(rounds: Rounds, name: str, floor: str) -> list[float]:
    return [measured[name].requests_per_second / measured[floor].requests_per_second for measured in rounds]


def _lines(workers: int, figures: Mapping[str, Any]) -> list[str]:
    return [
        f"{workers} worker(s), {name}: {shown(figures[name]['requests_per_second'])} requests/s, "
        f"{figures[name]['ratio_to_static']['median']} of static, "
        f"{figures[name]['ratio_to_static_at_once']['median']} of static at once, "
        f"p99 {shown(figures[name]['p99_ms'], ' ms')}"
        for name in _LOADS
    ]


_LEAST = 0.15
"""What the hybrid's `fast` setting is to reach; near sessions alone were to reach 0.30."""


def _marks(figures: Mapping[str, Any]) -> list[Mark]:
    one, best = figures["1_worker"], max(figures.values(), key=_mix_rate)
    asgi, at_once = (one["get"][f"ratio_to_{floor}"]["median"] for floor in ("static", "static_at_once"))
    worst_p99 = max(best[name]["p99_ms"]["median"] for name in ("mix", "mix_64"))
    return [
        Mark("GET beside a static reply of an ASGI callable, 1 worker", asgi, _LEAST, least=True),
        Mark("GET beside a static reply given as GET is, without ASGI, 1 worker", at_once, _LEAST, least=True),
        Mark("80/20 mix, the better number of workers", _mix_rate(best), 10_000, "requests/s", least=True),
        Mark("p99 of that mix, 16 and 64 connections", worst_p99, 50, "ms"),
    ]


def _mix_rate(figures: Mapping[str, Any]) -> float:
    """Return the mix's median over 64 connections."""
    return float(figures["mix_64"]["requests_per_second"]["median"])
