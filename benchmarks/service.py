"""A service under measurement: real processes on loopback, and wrk as the load generator."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

KEY = "benchmark-key-0123456789"
HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of wrk measured; latencies in milliseconds, closed loop (a slow reply delays the next request)."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    requests: int
    errors: int


def command(*arguments: str) -> None:
    """Run a command of the project, quietly; raises when it fails."""
    subprocess.run([sys.executable, "-m", "active_customers.cli", *arguments], check=True, stdout=subprocess.DEVNULL)


@contextmanager
def process(*arguments: str, environment: dict[str, str] | None = None) -> Iterator[str]:
    """Start a Python process that prints `ready: URL`; yield the URL and stop it at the end."""
    started = subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )
    assert started.stdout is not None
    try:
        for line in started.stdout:
            if line.startswith("ready: "):
                yield line.removeprefix("ready: ").strip()
                return
        raise RuntimeError(f"{arguments} ended before it was ready")
    finally:
        started.terminate()
        started.wait(timeout=30)


def wrk(url: str, script: str, seconds: int, connections: int = 16) -> Load:
    """Load a URL with one of the Lua scripts beside this file."""
    if shutil.which("wrk") is None:
        raise RuntimeError("the load generator wrk is missing: install it (Debian: apt-get install wrk)")
    found = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(HERE / script), url],
        check=True,
        capture_output=True,
        text=True,
        env={"KEY": KEY, "PATH": "/usr/bin:/bin"},
    ).stdout
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", found)
    sockets = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", found)
    return Load(
        requests_per_second=float(_found(r"Requests/sec:\s+([\d.]+)", found)),
        p50_ms=_milliseconds(_found(r"(?m)^ +50% +(\S+)", found)),
        p99_ms=_milliseconds(_found(r"(?m)^ +99% +(\S+)", found)),
        requests=int(_found(r"(\d+) requests in", found)),
        errors=int(failed[1] if failed else 0) + sum(int(count) for count in (sockets.groups() if sockets else ())),
    )


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise RuntimeError(f"wrk printed no {pattern}:\n{text}")
    return match[1]


def _milliseconds(text: str) -> float:
    for unit, factor in (("us", 0.001), ("ms", 1.0), ("s", 1000.0)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    raise ValueError(text)
