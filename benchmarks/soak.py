"""A long time under a moderate load: growth of memory and latency, of log and archive."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.arrivals import Generating, Load, summed_up
from benchmarks.audience import give_sessions
from benchmarks.generator import Arrivals, Timings
from benchmarks.memory_use import MemoryUse, memory_by_process
from benchmarks.open_loop import POST_EVERY
from benchmarks.plan import Mark, Plan, Result, say
from benchmarks.service import Running, serving
from benchmarks.shops import Shop
from benchmarks.spread import percentiles

RATE = 1_500.0
WORKERS = 2
_PAUSE_SECONDS = 5.0
_SETTLING_SECONDS = 60.0
"""What is left out of the slopes, or the first fifth of a shorter soak."""
_PARTS = ("store", "archive", "live")


@dataclass(frozen=True, slots=True)
class Sample:
    """What a service took at one moment: seconds since the start, memory by process, bytes by part of the disk."""

    seconds: float
    memory: dict[str, MemoryUse]
    disk: dict[str, int]

    def as_dict(self) -> dict[str, object]:
        """Return it for the results file, in megabytes."""
        memory = {role: {kind: _mb(size) for kind, size in use._asdict().items()} for role, use in self.memory.items()}
        disk = {part: _mb(size) for part, size in self.disk.items()}
        return {"seconds": self.seconds, "memory_mb": memory, "disk_mb": disk}


def run(plan: Plan) -> Result:
    """Ask and post at a steady rate; look at memory, disk and latency every few seconds."""
    minutes = 1.0 if plan.quick else plan.minutes
    arrivals = Arrivals(RATE, minutes * 60)
    with plan.shops.main() as shop, serving(shop.data_dir, WORKERS) as service:
        load = Load(service.port, give_sessions(service.port).products, POST_EVERY)
        with Generating(load, arrivals) as generating:
            samples = list(_samples(service, shop, generating))
            timings = generating.timings()
    latency = summed_up(timings, arrivals, POST_EVERY)
    settled = [sample for sample in samples if sample.seconds >= min(_SETTLING_SECONDS, 12 * minutes)]
    slopes = _slopes(settled, _p99s(timings, settled))
    figures: dict[str, Any] = {
        "minutes": minutes,
        "rate_per_second": RATE,
        "workers": WORKERS,
        "growth_a_minute": slopes,
        "latency": latency,
        "p99_ms_after_sample": _p99s(timings, samples),
        "samples": [sample.as_dict() for sample in samples],
    }
    lines = [
        f"{minutes:g} minutes at {RATE:,g} a second: p99 {latency['p99_ms']} ms, p99.9 {latency['p999_ms']} ms",
        *(f"growth a minute: {name} {value:+g}" for name, value in slopes.items()),
    ]
    return Result(shop.name, 1, figures, lines, _marks(slopes))


def _samples(service: Running, shop: Shop, generating: Generating) -> Iterator[Sample]:
    """Yield a sample every few seconds while the load lasts."""
    started = time.perf_counter()
    told = 0
    while generating.is_running:
        seconds = time.perf_counter() - started
        disk = {part: _bytes_on_disk(shop.data_dir / part) for part in _PARTS}
        yield Sample(round(seconds, 1), memory_by_process(service), disk)
        if seconds // 60 > told:
            told = int(seconds // 60)
            say(f"{told} minute(s)")
        time.sleep(_PAUSE_SECONDS)


def _p99s(timings: Timings, samples: Sequence[Sample]) -> list[float]:
    """Return for each sample the p99 of the requests that were due in the seconds after it."""
    rows = [(int(sample.seconds * RATE), int((sample.seconds + _PAUSE_SECONDS) * RATE)) for sample in samples]
    parts = [timings.latency[first:last] for first, last in rows]
    return [percentiles(part)["p99_ms"] for part in parts if len(part)]


def _slopes(samples: Sequence[Sample], p99s: Sequence[float]) -> dict[str, float]:
    """Return how much each figure changes a minute, by least squares.

    Memory is that which no file stands behind: pages of the store come and go with the system's cache.
    """
    minutes = np.array([sample.seconds for sample in samples]) / 60
    roles = set.intersection(*(set(sample.memory) for sample in samples))
    found = {f"{role}, MB": [_mb(sample.memory[role].anonymous) for sample in samples] for role in sorted(roles)}
    found |= {f"{part} on disk, MB": [_mb(sample.disk[part]) for sample in samples] for part in _PARTS}
    found["p99, ms"] = list(p99s)
    return {name: _slope(minutes[: len(values)], np.array(values)) for name, values in found.items()}


def _slope(minutes: np.ndarray[Any, Any], values: np.ndarray[Any, Any]) -> float:
    return round(float(np.polyfit(minutes, values, 1)[0]), 3) if len(values) > 1 else float("nan")


def _marks(slopes: dict[str, float]) -> list[Mark]:
    memory = max(value for name, value in slopes.items() if name.endswith(", MB") and "disk" not in name)
    return [
        Mark("soak: growth of the process that grows fastest", memory, 1, "MB a minute"),
        Mark("soak: growth of p99", slopes["p99, ms"], 0.5, "ms a minute"),
    ]


def _bytes_on_disk(folder: Path) -> int:
    """Return the blocks that files take; files that go while they are counted count nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_blocks * 512
        except FileNotFoundError:
            continue
    return total


def _mb(size: int) -> float:
    return round(size / 1e6, 2)
