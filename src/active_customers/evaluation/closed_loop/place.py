"""Where simulated customers go: a service that goes by a simulated clock, their own or one that runs."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from active_customers.core.errors import InvalidValueError
from active_customers.evaluation.closed_loop.crowd import UnavailableError
from active_customers.storage.data_dir import DataDirectory

_COMMAND = (sys.executable, "-m", "active_customers.cli")
_SECONDS_TO_END = 60
_REFUSED = 1
_SAID = 500
"""Characters of what a process said last."""
_LOG = "service.log"


@dataclass(frozen=True, slots=True)
class Place:
    """A service on loopback."""

    port: int
    key: str | None = None
    """A key of the `admin` scope, where the service asks for keys."""
    data_dir: Path | None = None
    """Its data directory; None where commands cannot reach it, so that it is fed by its API and refreshes by itself."""
    config: Path | None = None
    """Its file of settings, where it is not the one in its data directory."""
    process: subprocess.Popen[str] | None = None
    """Its process, where it is our own."""

    @classmethod
    def at(cls, url: str, key: str | None, data_dir: Path | None = None) -> Place:
        """Return the place of a service that runs; raises `InvalidValueError` for an address off this machine."""
        parts = urlsplit(url)
        if parts.scheme != "http" or parts.hostname not in ("127.0.0.1", "localhost") or parts.port is None:
            remedy = "only a service on this machine goes by a simulated clock: name it as http://127.0.0.1:PORT"
            raise InvalidValueError("url", url, remedy)
        return cls(parts.port, key, data_dir)

    def run(self, *arguments: str | Path) -> str:
        """Run a command of the project beside the service; return why a refresh was refused, else nothing.

        Raises `UnavailableError` with what it said when it fails.
        """
        if self.data_dir is None:
            raise InvalidValueError("data-dir", None, f"`{' '.join(map(str, arguments))}` needs the service's: name it")
        where = ["--data-dir", str(self.data_dir), *(["--config", str(self.config)] if self.config else [])]
        line = [*_COMMAND, *map(str, arguments), *where]
        done = subprocess.run(line, capture_output=True, text=True, check=False)  # noqa: S603 - a command of our own
        if done.returncode == _REFUSED and arguments[0] == "refresh":
            return done.stderr.strip()[-_SAID:]
        if done.returncode:
            raise UnavailableError(f"{arguments[0]} failed: {done.stderr.strip()[-_SAID:]}")
        return ""

    def check(self) -> None:
        """Raise `UnavailableError` where a service of our own has ended."""
        if self.process is not None and self.process.poll() is not None:
            raise UnavailableError(f"the service ended: {_end_of_log(self.data_dir)}")


@contextmanager
def own_service(data_dir: Path, workers: int = 1, config: Path | None = None) -> Iterator[Place]:
    """Run a service on a data directory until the block ends: on a free port, with a key, never refreshed by itself.

    Raises `InvalidValueError` where the directory holds a shop already: simulated customers go to no real one.
    """
    if DataDirectory(data_dir).store.exists():
        raise InvalidValueError("data-dir", str(data_dir), "a shop lives there: name a folder that is new or empty")
    data_dir.mkdir(parents=True, exist_ok=True)
    key = secrets.token_hex(16)
    process = _start(data_dir, workers, config, key)
    try:
        yield Place(_port(process, data_dir), key, data_dir, config, process)
    finally:
        _stop(process)


def _start(data_dir: Path, workers: int, config: Path | None, key: str) -> subprocess.Popen[str]:
    environment = os.environ | {
        "ACTIVE_CUSTOMERS_ACCESS__ADMIN_KEYS": key,
        "ACTIVE_CUSTOMERS_REFRESH__EVERY_MINUTES": "0",
    }
    flags = ["--host", "127.0.0.1", "--port", "0", "--workers", str(workers), "--clock", "simulated"]
    flags += ["--data-dir", str(data_dir), *(["--config", str(config)] if config else [])]
    with (data_dir / _LOG).open("w") as log:
        return subprocess.Popen(  # noqa: S603 - a command of our own
            [*_COMMAND, "serve", *flags], stdout=subprocess.PIPE, stderr=log, text=True, env=environment
        )


def _port(process: subprocess.Popen[str], data_dir: Path) -> int:
    """Wait until a service is ready."""
    for line in process.stdout or ():
        if line.startswith("ready "):
            return int(line.rpartition(":")[2])
    raise UnavailableError(f"the service did not start: {_end_of_log(data_dir)}")


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(_SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _end_of_log(data_dir: Path | None) -> str:
    return "" if data_dir is None else (data_dir / _LOG).read_text(errors="replace").strip()[-_SAID:]
