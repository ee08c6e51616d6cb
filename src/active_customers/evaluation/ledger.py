"""The ledger of looks: how often a test part was asked about, since figures chosen among many looks flatter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from active_customers.core.clock import format_time
from active_customers.evaluation.report import Report


@dataclass(frozen=True, slots=True)
class Look:
    """One evaluation: of which test part (a hash), by which protocol, of which models with which parameters."""

    test_sha256: str
    protocol: str
    models: tuple[str, ...]
    settings: Mapping[str, Any]

    @classmethod
    def of(cls, report: Report, settings: Mapping[str, Any]) -> Look:
        """Return the look that a report took; where the protocol makes the split, the hash is that of the whole."""
        files = report.data["test_files"] or report.data["train_files"]
        hashes = [str(file.get("sha256", "")) for file in files]
        whole = hashes[0] if len(hashes) == 1 else sha256("".join(sorted(hashes)).encode()).hexdigest()
        return cls(whole, report.protocol, tuple(report.models), settings)


class Ledger:
    """An append-only file of one JSON object a line."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def check(self) -> None:
        """Raise `OSError` where the file cannot be written to: now, and not after hours of work."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.open("ab").close()

    def add(self, look: Look, now: int) -> int:
        """Write a look down, made at `now`, and return how often its test part was asked about, this time included."""
        line = {
            "time": format_time(now),
            "test_sha256": look.test_sha256,
            "protocol": look.protocol,
            "models": list(look.models),
            "settings": dict(look.settings),
        }
        self.check()
        with self._path.open("ab") as file:  # one write of one line: evaluations may run side by side
            file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
        return self.count(look.test_sha256)

    def count(self, test_sha256: str) -> int:
        """Return how often a test part was asked about; a line that was cut short is none."""
        return sum(_hash(line) == test_sha256 for line in self._path.read_bytes().splitlines())


def _hash(line: bytes) -> str | None:
    try:
        return str(orjson.loads(line)["test_sha256"])
    except (ValueError, KeyError, TypeError):
        return None
