"""What every refresh came to, one JSON file each, published or refused."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from active_customers.models.artifacts import ArtifactStore
from active_customers.monitoring.metrics import FEATURE_SKEW, REFRESH_QUALITY, REFRESHES
from active_customers.storage.durable import make_folder, write_whole

KEPT = 100
"""Reports that are kept, the newest."""

PUBLISHED, REFUSED, FAILED = "published", "refused", "failed"


@dataclass(frozen=True, slots=True)
class RefreshReport:
    """One refresh."""

    version: str
    """What it published, or would have published."""
    time: str
    outcome: str
    replaced: str | None
    """The version that was in force before."""
    watermark: int
    """First log position above all that it has read."""
    acts: int
    seconds: float
    gate: dict[str, Any]
    """What the gate came to, with its figures, and whether it was `forced`: published whatever that is."""
    skew: dict[str, Any] | None = None
    """What the skew check found (`batch.skew.Skew`); None where nothing was compared."""
    notes: tuple[str, ...] = ()
    """What was done without."""


class RefreshReports:
    """The reports of one data directory, in `models/reports/`."""

    def __init__(self, artifacts: ArtifactStore) -> None:
        self._artifacts = artifacts

    def add(self, report: RefreshReport) -> None:
        """Keep a report, and of all only the newest; raises `DiskFullError` or `StorageError` as writing does."""
        make_folder(self._artifacts.reports)
        write_whole(self._path(report.version), orjson.dumps(asdict(report), option=orjson.OPT_INDENT_2))
        for version in self._artifacts.reported()[:-KEPT]:
            self._path(version).unlink(missing_ok=True)

    def newest(self) -> dict[str, Any] | None:
        """Return the newest report; None when there is none that can be read."""
        for version in self._artifacts.reported()[-1:]:
            return self.read(version)
        return None

    def read(self, version: str) -> dict[str, Any] | None:
        """Return the report of a version; None when there is none that can be read."""
        try:
            report: dict[str, Any] = orjson.loads(self._path(version).read_bytes())
        except (OSError, ValueError):
            return None
        return report

    def _path(self, version: str) -> Path:
        return self._artifacts.reports / f"{version}.json"


class RefreshWatch:
    """Shows in the metrics what refreshes came to, whoever ran them."""

    def __init__(self, artifacts: ArtifactStore) -> None:
        self._artifacts = artifacts
        self._reports = RefreshReports(artifacts)
        self._known: set[str] | None = None

    def look(self) -> None:
        """Count the reports that are new since the last look, and show the figures that the newest tells of."""
        reported = self._artifacts.reported()
        if self._known is None:
            for outcome in (PUBLISHED, REFUSED, FAILED):
                REFRESHES.labels(outcome)
            self._show(self._reports.newest())
        elif new := [version for version in reported if version not in self._known]:
            for report in filter(None, map(self._reports.read, new)):
                REFRESHES.labels(report["outcome"]).inc()
                self._show(report)
        self._known = set(reported)

    @staticmethod
    def _show(report: dict[str, Any] | None) -> None:
        ratio = report["gate"]["quality_ratio"] if report else None
        REFRESH_QUALITY.set(float("nan") if ratio is None else ratio)
        skew = report.get("skew") if report else None
        FEATURE_SKEW.set(float("nan") if skew is None else skew["share"])
