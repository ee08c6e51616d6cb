"""`python -m benchmarks [--data FOLDER] [--only NAME ...] [--quick]`: measure, write results, tell what was met."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

from active_customers.core.errors import ActiveCustomersError
from benchmarks import (
    bandits,
    closed_loop,
    context,
    engine,
    experiments,
    freshness,
    history,
    kernels,
    memory,
    off_policy,
    open_loop,
    quality,
    rules,
    scale,
    serving,
    shelves,
    soak,
    start_up,
    streams,
)
from benchmarks.errors import BenchmarkError, SkippedError
from benchmarks.machine import describe
from benchmarks.plan import Benchmark, Mark, Plan, Result
from benchmarks.results_file import QUICK, RESULTS, write
from benchmarks.shops import Shops

BENCHMARKS: Mapping[str, Benchmark] = MappingProxyType(
    {
        "serving": serving.run,
        "open_loop": open_loop.run,
        "kernels": kernels.run,
        "engine": engine.run,
        "history": history.run,
        "start_up": start_up.run,
        "memory": memory.run,
        "freshness": freshness.run,
        "rules": rules.run,
        "streams": streams.run,
        "scale": scale.run,
        "quality": quality.run,
        "context": context.run,
        "experiments": experiments.run,
        "shelves": shelves.run,
        "off_policy": off_policy.run,
        "bandits": bandits.run,
        "closed_loop": closed_loop.run,
        "soak": soak.run,
    }
)
"""In the order they run in."""

ON_REQUEST = frozenset({"soak"})
"""Those that run only when they are named."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run benchmarks; return 1 when one of them could not be done."""
    given = _parser().parse_args(arguments)
    names = given.only or [name for name in BENCHMARKS if name not in ON_REQUEST]
    command = _command(given)
    results: dict[str, Result | BenchmarkError] = {}
    with TemporaryDirectory(prefix=".scratch-", dir=Path(__file__).parent) as scratch:  # /tmp may be on no disk at all
        plan = Plan(Shops(given.data, Path(scratch), small=given.quick), given.quick, given.rate, given.minutes)
        for number, name in enumerate(names, 1):
            print(f"[{number}/{len(names)}] {name}", flush=True)
            results[name] = _measure(name, plan, command)
    _tell(results)
    return int(any(type(result) is BenchmarkError for result in results.values()))


def _measure(name: str, plan: Plan, command: str) -> Result | BenchmarkError:
    """Run one benchmark and write what it found; what went wrong is told and returned, so that the rest still runs."""
    circumstances = {"command": command, "quick": plan.quick, "machine": describe(plan.shops.scratch)}
    started = time.perf_counter()
    try:
        result = BENCHMARKS[name](plan)
    except SkippedError as error:
        print(f"  skipped: {error}", flush=True)
        return error
    except (BenchmarkError, ActiveCustomersError, OSError, subprocess.SubprocessError) as error:
        print(f"  FAILED: {error}", flush=True)
        return BenchmarkError(str(error))
    seconds = round(time.perf_counter() - started, 1)
    write(QUICK if plan.quick else RESULTS, name, result, {**circumstances, "seconds": seconds})
    for line in result.lines:
        print(f"  {line}")
    print(f"  done in {seconds:.0f} s", flush=True)
    return result


def _tell(results: Mapping[str, Result | BenchmarkError]) -> None:
    """Print the table of all marks."""
    rows: list[tuple[str, str, str, str]] = []
    for name, result in results.items():
        if isinstance(result, BenchmarkError):
            rows.append((name, "", "skipped" if isinstance(result, SkippedError) else "FAILED", str(result)[:60]))
        else:
            rows += [_row(mark) for mark in result.marks]
    if rows:
        width, bound = (max(len(row[i]) for row in rows) for i in (0, 1))
        print(f"\n{'promise'.ljust(width)}  {'mark'.ljust(bound)}  measured")
        for promise, limit, measured, met in rows:
            print(f"{promise.ljust(width)}  {limit.ljust(bound)}  {measured.ljust(10)}  {met}")


def _row(mark: Mark) -> tuple[str, str, str, str]:
    found = mark.as_dict()
    measured = "nothing" if found["measured"] is None else f"{mark.measured:,.4g}"
    return mark.promise, str(found["mark"]), measured, "met" if mark.is_met else "NOT MET"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks", description="Measure what the project promises.")
    parser.add_argument("--data", type=Path, default=Path("data-sets"), help="folder of public data sets")
    parser.add_argument("--only", choices=list(BENCHMARKS), nargs="+", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="a smoke run: everything once and short")
    parser.add_argument("--rate", type=float, default=5_000.0, help="requests a second of open_loop")
    parser.add_argument("--minutes", type=float, default=10.0, help="length of soak")
    return parser


def _command(given: argparse.Namespace) -> str:
    """Return the command that repeats this run, without the folder's path, which is the machine's own affair."""
    parts = ["python -m benchmarks"]
    parts += ["--data DATA"] if given.data.is_dir() else []
    parts += ["--only", *given.only] if given.only else []
    parts += ["--quick"] if given.quick else []
    parts += [f"--rate {given.rate:g}"] if given.rate != 5_000 else []
    parts += [f"--minutes {given.minutes:g}"] if given.minutes != 10 else []
    return " ".join(parts)


if __name__ == "__main__":
    sys.exit(main())
