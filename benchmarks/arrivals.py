"""The open loop from outside: the generator in a process of its own, and what its timings say."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import numpy as np
import orjson

from benchmarks.errors import BenchmarkError
from benchmarks.generator import SECOND, Arrivals, Timings
from benchmarks.spread import percentiles


@dataclass(frozen=True, slots=True)
class Load:
    """Who is asked for what: a port, products that are posted, every how many-th request is a post (0: none).

    `ask` is the address that a closed loop gets, with `%s` for the customer.
    """

    port: int
    products: Sequence[int | str]
    post_every: int
    ask: str = "/api/v1/recommendations?customer_id=%s&context=home&n=10"


class Generating:
    """A generator under way; leave the block and it is ended."""

    def __init__(self, load: Load, arrivals: Arrivals) -> None:
        self._load = load
        self._arrivals = arrivals

    def __enter__(self) -> Self:
        """Start it."""
        self._folder = TemporaryDirectory()
        self._out = Path(self._folder.name) / "timings.npz"
        line = [sys.executable, "-m", "benchmarks.generator"]
        self._process = subprocess.Popen(line, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        assert self._process.stdin is not None
        load = self._load
        traffic = {"post_every": load.post_every, "products": list(load.products), "run": f"{time.time_ns():x}"}
        asked = {"port": load.port, "arrivals": asdict(self._arrivals), "traffic": traffic, "out": str(self._out)}
        self._process.stdin.write(orjson.dumps(asked))
        self._process.stdin.close()
        return self

    def __exit__(self, *_error: object) -> None:
        """End it, finished or not."""
        self._process.kill()
        self._process.wait()
        if self._process.stderr is not None:
            self._process.stderr.close()
        self._folder.cleanup()

    @property
    def is_running(self) -> bool:
        """Whether it has not finished yet."""
        return self._process.poll() is None

    def timings(self) -> Timings:
        """Wait until it has finished and return what it measured; raises `BenchmarkError` when it failed."""
        assert self._process.stderr is not None
        complaint = self._process.stderr.read().decode()
        if self._process.wait():
            raise BenchmarkError(f"the load generator ended early: {complaint.strip().rpartition(chr(10))[2]}")
        with np.load(self._out) as saved:
            return Timings(saved["latency"], saved["lag"], saved["status"], float(saved["cpu_seconds"]))


def generate(load: Load, arrivals: Arrivals) -> Timings:
    """Run a generator to its end."""
    with Generating(load, arrivals) as generating:
        return generating.timings()


def summed_up(timings: Timings, arrivals: Arrivals, post_every: int, warm_up_seconds: float = 0.0) -> dict[str, object]:
    """Return latencies, achieved rate, errors and the generator's own lag, without what was due during the warm-up.

    Raises `BenchmarkError` when a request failed: the latency of a service that refuses says nothing.
    """
    refuse_errors(timings)
    first = int(warm_up_seconds * arrivals.rate)
    latency, lag = timings.latency[first:], timings.lag[first:]
    numbers = np.arange(first, len(timings.latency))
    ended = numbers * (SECOND / arrivals.rate) + latency
    elapsed = float(ended.max() - first * (SECOND / arrivals.rate)) / SECOND
    is_post = numbers % post_every == 0 if post_every else np.zeros(len(numbers), bool)
    kinds = {"get": latency[~is_post], "post": latency[is_post]}
    return {
        **percentiles(latency),
        **{name: percentiles(of_kind) for name, of_kind in kinds.items() if len(of_kind)},
        "requests": len(latency),
        "achieved_per_second": round(len(latency) / elapsed, 1),
        "errors": 0,
        "generator_lag": percentiles(lag),
        "generator_cpu_seconds": round(timings.cpu_seconds, 2),
    }


def refuse_errors(timings: Timings) -> None:
    """Raise `BenchmarkError` when any request failed."""
    failed = timings.status[(timings.status < 200) | (timings.status > 299)]
    if len(failed):
        statuses, counts = np.unique(failed, return_counts=True)
        found = ", ".join(
            f"{count:,} x {status or 'no answer'}" for status, count in zip(statuses, counts, strict=True)
        )
        raise BenchmarkError(f"{len(failed):,} of {len(timings.status):,} requests failed ({found})")
