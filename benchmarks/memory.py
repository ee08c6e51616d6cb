"""Memory of each process under load, of each further worker, of each product and session."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.arrivals import Load, generate, refuse_errors
from benchmarks.audience import give_sessions
from benchmarks.generator import Arrivals
from benchmarks.memory_use import MemoryUse, memory_by_process
from benchmarks.plan import Mark, Plan, Result, say
from benchmarks.service import serving
from benchmarks.shops import Shop
from benchmarks.synthetic import SyntheticHistory
from benchmarks.traffic import CUSTOMERS

PRODUCTS, EVENTS = 50_000, 500_000
RATE = 1_000.0
_MB = 1e6


def run(plan: Plan) -> Result:
    """Measure with one to three workers, then one worker on shops with more products and with more sessions."""
    base = SyntheticHistory(plan.size(PRODUCTS), plan.size(EVENTS))
    by_workers: dict[int, dict[str, MemoryUse]] = {}
    with plan.shops.synthetic(base) as shop:
        for workers in (1, 2, 3):
            say(f"{workers} worker(s)")
            by_workers[workers] = _after_load(plan, shop, workers)
        files = _files(shop.data_dir)
        before = _weight(shop, by_workers[1])
    slopes = _slopes(plan, base, before)
    marginal = (_unique(by_workers[3]) - _unique(by_workers[2])) / _MB
    figures: dict[str, Any] = {
        "unique_mb_by_workers": {
            str(workers): {role: round(use.unique / _MB, 1) for role, use in found.items()}
            for workers, found in by_workers.items()
        },
        "resident_mb_by_workers": {
            str(workers): {role: round(use.resident / _MB, 1) for role, use in found.items()}
            for workers, found in by_workers.items()
        },
        "third_worker_adds_mb": round(marginal, 1),
        **slopes,
        "file_bytes": files,
    }
    totals = {workers: _unique(found) / _MB for workers, found in by_workers.items()}
    product, session = slopes["bytes_per_product"], slopes["bytes_per_session"]
    lines = [
        f"unique set size of all processes: {', '.join(f'{n} worker(s) {mb:.0f} MB' for n, mb in totals.items())}",
        f"a third worker adds {marginal:.0f} MB",
        f"a further product takes {product['files']} bytes in mapped files and {product['own']} in each process",
        f"a further session takes {session['files']} bytes in mapped files and {session['own']} in each process",
    ]
    return Result(shop.name, 1, figures, lines, [Mark("unique set size of a further worker", marginal, 150, "MB")])


def _after_load(plan: Plan, shop: Shop, workers: int) -> dict[str, MemoryUse]:
    """Return the memory of each process once it has served for a while."""
    with serving(shop.data_dir, workers) as service:
        audience = give_sessions(service.port, plan.size(CUSTOMERS))
        arrivals = Arrivals(RATE, plan.seconds(8, 2))
        refuse_errors(generate(Load(service.port, audience.products, 5), arrivals))
        return memory_by_process(service)


def _slopes(plan: Plan, base: SyntheticHistory, before: dict[str, int]) -> dict[str, dict[str, int]]:
    """Return what each further product takes, and each further session."""
    say("twice the products, then twice the sessions")
    more_products = replace(base, products=2 * base.products)
    more_sessions = replace(base, events=2 * base.events)
    found = {}
    for name, history, added in (
        ("bytes_per_product", more_products, base.products),
        ("bytes_per_session", more_sessions, base.events // base.session_acts),
    ):
        with plan.shops.synthetic(history) as shop:
            after = _weight(shop, _after_load(plan, shop, 1))
        found[name] = {part: round((after[part] - before[part]) / added) for part in before}
    return found


def _weight(shop: Shop, found: dict[str, MemoryUse]) -> dict[str, int]:
    """Return the bytes of the files that all processes map and share, and those of the processes' own."""
    files = _files(shop.data_dir)
    own = sum(use.anonymous for use in found.values())
    return {"files": files["models"] + files.get("live", 0), "own": own}


def _unique(found: dict[str, MemoryUse]) -> int:
    return sum(use.unique for use in found.values())


def _files(data_dir: Path) -> dict[str, int]:
    """Return the bytes on disk of each part of a data directory."""
    return {
        part.name: sum(path.stat().st_blocks * 512 for path in part.rglob("*") if path.is_file())
        for part in sorted(data_dir.iterdir())
        if part.is_dir()
    }
