"""A service under measurement: real processes on loopback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.errors import BenchmarkError
from benchmarks.traffic import KEY

_SECONDS_TO_END = 60


@dataclass(frozen=True, slots=True)
class Running:
    """A process that answers on a port of loopback, and the processes that it started."""

    process: subprocess.Popen[str]
    port: int
    log: Path
    """What they wrote to standard error; gone when they are."""

    def kill(self) -> None:
        """End them all at once, as a power cut would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def command(*arguments: str | Path) -> int:
    """Run a command of the project, quietly; return the most memory it held, in bytes.

    Raises `CalledProcessError` when it fails.
    """
    line = [sys.executable, "-m", "active_customers.cli", *map(str, arguments)]
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, env=_environment())
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, line)
    return usage.ru_maxrss * 1024


@contextmanager
def serving(data_dir: Path, workers: int = 1) -> Iterator[Running]:
    """Run `active-customers serve`, with API keys on, until the block ends."""
    serve = ("-m", "active_customers.cli", "serve", "--port", "0")
    with running(*serve, "--data-dir", str(data_dir), "--workers", str(workers)) as service:
        yield service


@contextmanager
def running(*arguments: str) -> Iterator[Running]:
    """Run a Python process that prints `ready ... URL`, from when it did until the block ends.

    A `BenchmarkError` in the block takes the end of the process's log along.
    """
    with TemporaryDirectory() as folder, (Path(folder) / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=_environment(),
            start_new_session=True,
        )
        try:
            yield Running(process, _port(process), Path(log.name))
        except BenchmarkError as error:
            raise BenchmarkError(f"{error}; the end of its log: {Path(log.name).read_text()[-2000:]}") from error
        finally:
            _end(process)


def _port(process: subprocess.Popen[str]) -> int:
    """Wait until the process is ready; raises `BenchmarkError` when it ends instead."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("ready"):
            return int(line.rpartition(":")[2])
    raise BenchmarkError("a service ended before it was ready")


def _end(process: subprocess.Popen[str]) -> None:
    """Ask a process to end, and kill what does not."""
    process.terminate()
    try:
        process.wait(_SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _environment() -> dict[str, str]:
    """Return an environment in which all settings but the keys are the defaults; nothing is refreshed meanwhile."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ACTIVE_CUSTOMERS_")}
    return inherited | {"ACTIVE_CUSTOMERS_ACCESS__SERVER_KEYS": KEY, "ACTIVE_CUSTOMERS_REFRESH__EVERY_MINUTES": "0"}
