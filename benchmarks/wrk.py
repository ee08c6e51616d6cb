"""A closed loop at full speed: wrk, in a process of its own."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import orjson

from benchmarks.arrivals import Load
from benchmarks.errors import BenchmarkError
from benchmarks.traffic import CUSTOMERS, KEY

_SCRIPT = Path(__file__).parent / "traffic.lua"


@dataclass(frozen=True, slots=True)
class Throughput:
    """What one run of wrk measured. Closed loop: each connection sends its next request when it has its answer."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    requests: int


def check_wrk() -> None:
    """Raise `BenchmarkError` when wrk is not installed."""
    if shutil.which("wrk") is None:
        raise BenchmarkError("the load generator wrk is missing: install it (Debian, Ubuntu: apt-get install wrk)")


def wrk(load: Load, seconds: float, connections: int) -> Throughput:
    """Load a service as fast as it answers; raises `BenchmarkError` when any request failed."""
    found = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "-s", str(_SCRIPT), f"http://127.0.0.1:{load.port}"],
        check=True,
        capture_output=True,
        text=True,
        env={
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "KEY": KEY,
            "RUN": f"{time.time_ns():x}",
            "CUSTOMERS": str(CUSTOMERS),
            "POST_EVERY": str(load.post_every),
            "ASK": load.ask,
            "PRODUCTS": "\n".join(orjson.dumps(product).decode() for product in load.products),
        },
    ).stdout
    measured = re.search(r"^measured (.*)$", found, re.MULTILINE)
    if measured is None:
        raise BenchmarkError(f"wrk measured nothing:\n{found}")
    requests, microseconds, p50, p99, most, failed = map(int, measured[1].split())
    if failed or not requests:
        raise BenchmarkError(f"{failed:,} requests failed, {requests:,} were answered")
    return Throughput(requests / (microseconds / 1e6), p50 / 1e3, p99 / 1e3, most / 1e3, requests)
