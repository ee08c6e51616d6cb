"""What refreshes came to, in the metrics."""

from __future__ import annotations

import math

import pytest
from prometheus_client import REGISTRY

from active_customers.batch.refresh_reports import RefreshReport, RefreshReports, RefreshWatch
from active_customers.models.artifacts import ArtifactStore

OUTCOMES = ("published", "refused", "failed")


@pytest.fixture
def artifacts(tmp_path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "models")


def report(artifacts, number, outcome="published", ratio=None, skew=None):
    version = f"v2025.01.15-{number:03d}"
    gate = {"outcome": "passed", "quality_ratio": ratio}
    RefreshReports(artifacts).add(RefreshReport(version, "", outcome, None, 1, 1, 0.1, gate, skew))


def counted() -> list[float]:
    name = "active_customers_refreshes_total"
    return [REGISTRY.get_sample_value(name, {"outcome": outcome}) or 0.0 for outcome in OUTCOMES]


def quality() -> float:
    return REGISTRY.get_sample_value("active_customers_refresh_quality_ratio")


def test_what_came_before_the_service_is_shown_but_not_counted(artifacts):
    report(artifacts, 1, ratio=0.9)
    before = counted()
    RefreshWatch(artifacts).look()
    assert (counted(), quality()) == (before, 0.9)


def test_each_later_report_is_counted_once_and_the_newest_shown(artifacts):
    watch, before = RefreshWatch(artifacts), counted()
    watch.look()
    assert math.isnan(quality())
    report(artifacts, 1, ratio=1.1)
    report(artifacts, 2, "refused", 0.5)
    watch.look()
    watch.look()
    assert (counted(), quality()) == ([before[0] + 1, before[1] + 1, before[2]], 0.5)
    report(artifacts, 3)
    watch.look()
    assert math.isnan(quality())


def test_a_report_that_cannot_be_read_is_passed_over(artifacts):
    watch, before = RefreshWatch(artifacts), counted()
    watch.look()
    report(artifacts, 1)
    (artifacts.reports / "v2025.01.15-001.json").write_text("{")
    watch.look()
    assert counted() == before


def test_the_share_of_features_that_differ_is_that_of_the_newest_report(artifacts):
    def shown():
        return REGISTRY.get_sample_value("active_customers_feature_skew_ratio")

    report(artifacts, 1, skew={"values": 10, "share": 0.2, "largest": {"age": 0.5}})
    watch = RefreshWatch(artifacts)
    watch.look()
    assert shown() == 0.2
    report(artifacts, 2, "refused")
    watch.look()
    assert math.isnan(shown())
