"""The gate on a simulated shop: what is no worse is published, what is worse is not, and both leave a report."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import orjson
import pytest
from tests.refreshed_shop import WORSE

from active_customers.batch.daily_refresh import lines_about
from active_customers.batch.gate import Change, Comparison, GateConfig, Outcome, judge, objections
from active_customers.batch.history import COLUMNS, History
from active_customers.batch.refresh_reports import KEPT, RefreshReport, RefreshReports
from active_customers.core.errors import ArtifactError, RefreshRefusedError
from active_customers.realtime.session_recommender import SessionRecommender

STRICT = {"gate": GateConfig(least_questions=400)}


def report_of(shop, version):
    return orjson.loads((shop.artifacts.reports / f"{version}.json").read_bytes())


def test_a_recipe_that_is_no_worse_is_published_with_the_figures(shop):
    before = shop.artifacts.current()
    manifest = shop.refresh(**STRICT)
    assert shop.artifacts.current() == manifest.version != before
    gate = shop.artifacts.manifest(manifest.version).facts["gate"]
    assert (gate["outcome"], gate["compared_with"], gate["forced"]) == ("passed", before, False)
    assert gate["figures"]["questions"] >= 400
    assert gate["figures"]["hr"]["old"] > 0.5
    assert gate["quality_ratio"] > 0.95
    assert gate["figures"]["microseconds"]["new"] > 0


def test_a_worse_recipe_is_refused_and_the_version_in_force_stays(shop):
    before = shop.artifacts.current()
    with pytest.raises(RefreshRefusedError, match=rf"{before} stays in force: worse: .*MRR@20 falls to .*--force"):
        shop.refresh(WORSE, **STRICT)
    assert shop.artifacts.current() == before
    assert shop.artifacts.versions() == [before]
    assert not list(shop.directory.models.glob(".*.tmp"))


def test_both_leave_a_report_under_names_of_their_own(shop):
    with pytest.raises(RefreshRefusedError):
        shop.refresh(WORSE, **STRICT)
    refused, published = "v2025.02.01-002", shop.refresh(**STRICT).version
    assert published == "v2025.02.01-003"
    for version, outcome, gate in ((refused, "refused", "worse"), (published, "published", "passed")):
        report = report_of(shop, version)
        assert (report["version"], report["outcome"], report["replaced"]) == (version, outcome, "v2025.02.01-001")
        assert (report["gate"]["outcome"], report["time"]) == (gate, "2025-02-01T00:00:00Z")
    assert report_of(shop, refused)["gate"]["quality_ratio"] < 0.95


def test_force_publishes_what_is_worse_and_says_so(shop):
    manifest = shop.refresh(WORSE, force=True, **STRICT)
    assert shop.artifacts.current() == manifest.version
    assert report_of(shop, manifest.version)["gate"]["forced"] is True
    assert lines_about(manifest)[1].startswith("gate: published all the same (--force); worse: ")


def test_without_the_gate_nothing_is_compared(shop):
    manifest = shop.refresh(WORSE, gate=GateConfig(enabled=False))
    assert manifest.facts["gate"]["outcome"] == "off"
    assert lines_about(manifest)[1] == "gate: off"


def test_too_few_new_sessions_are_said_and_published(shop, simulated):
    manifest = shop.refresh(gate=GateConfig(least_questions=9_000))
    assert manifest.facts["gate"]["outcome"] == "not_compared"
    [_, line] = lines_about(manifest)
    assert line.startswith("gate: not compared: ")
    assert line.endswith(" new sessions, 9,000 needed")


def test_other_settings_are_compared_even_when_nothing_is_new(shop):
    """Both are fitted without the newest sessions; who changes settings back is compared with the worse ones."""
    before = shop.refresh(**STRICT).version
    with pytest.raises(RefreshRefusedError, match=rf"worse: .*; against the settings of {before} on "):
        shop.refresh(WORSE, **STRICT)
    assert shop.artifacts.current() == before
    worse = shop.refresh(WORSE, force=True, **STRICT)
    gate = shop.refresh(**STRICT).facts["gate"]
    assert (gate["outcome"], gate["compared_with"]) == ("passed", f"the settings of {worse.version}")
    assert gate["quality_ratio"] > 1.05


def test_the_first_version_and_one_after_a_damaged_one_have_nothing_to_be_compared_with(shop):
    first = shop.artifacts.current()
    assert report_of(shop, first)["gate"]["line"] == "not compared: nothing was published before"
    path = shop.directory.models / first / "hybrid.session_knn_products.npy"
    path.write_bytes(path.read_bytes()[:-1])
    gate = shop.refresh(**STRICT).facts["gate"]
    assert gate["outcome"] == "not_compared"
    assert "does not match its hash" in gate["line"]


def test_after_going_back_only_what_was_compared_is_published(shop):
    """The recipe that was left does not come back by itself, a better one does."""
    first = shop.artifacts.current()
    shop.refresh(WORSE, force=True)
    assert shop.artifacts.roll_back() == first
    with pytest.raises(RefreshRefusedError, match="worse"):
        shop.refresh(WORSE, **STRICT)
    with pytest.raises(RefreshRefusedError, match=f"{first} was rolled back to, so it stays until it is compared"):
        shop.refresh(gate=GateConfig(least_questions=9_000))
    assert shop.artifacts.current() == first
    manifest = shop.refresh(**STRICT)
    assert manifest.facts["gate"]["compared_with"] == first
    assert shop.artifacts.current() == manifest.version


def test_a_version_that_is_put_in_force_meanwhile_is_not_replaced(shop):
    first, _second = shop.artifacts.current(), shop.refresh(**STRICT)

    def go_back(done, total):
        if done == total - 1:
            shop.artifacts.roll_back()

    with pytest.raises(ArtifactError, match=f"{first} was put in force meanwhile: refresh again"):
        shop.refresh(progress=go_back, gate=GateConfig(enabled=False))
    assert shop.artifacts.current() == first


def test_progress_counts_both_fits(shop):
    seen = []
    shop.refresh(progress=lambda *step: seen.append(step), **STRICT)
    assert seen[-1] == (26, 26)
    done = [done for done, _ in seen]
    assert done == sorted(set(done))


def test_only_the_newest_reports_are_kept(shop):
    reports = RefreshReports(shop.artifacts)
    [version] = shop.artifacts.reported()
    newest = reports.read(version)
    for number in range(2, KEPT + 5):
        reports.add(RefreshReport(**newest | {"version": f"v2025.02.01-{number:03d}"}))
    kept = shop.artifacts.reported()
    assert len(kept) == KEPT
    assert (kept[0], kept[-1]) == ("v2025.02.01-005", "v2025.02.01-104")
    assert reports.newest()["version"] == "v2025.02.01-104"


FINE = Comparison(
    questions=1_000,
    sessions=300,
    hr=Change(0.5, 0.5, (-0.02, 0.02)),
    mrr=Change(0.2, 0.2, (-0.01, 0.01)),
    coverage=Change(0.4, 0.4),
    microseconds=Change(50.0, 60.0),
)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, []),
        ({"hr": Change(0.5, 0.4, (-0.12, -0.08))}, ["HR@20 falls to 80%"]),
        ({"mrr": Change(0.2, 0.1, (-0.12, -0.08))}, ["MRR@20 falls to 50%"]),
        ({"hr": Change(0.5, 0.4, (-0.21, 0.01))}, []),  # may be chance
        ({"hr": Change(0.5, 0.48, (-0.03, -0.01))}, []),  # no chance, but little
        ({"coverage": Change(0.4, 0.1)}, ["coverage falls to 25%"]),
        ({"coverage": Change(0.4, 0.25)}, []),
        ({"microseconds": Change(500.0, 1_600.0)}, ["an answer takes 3.2 times as long"]),
        ({"microseconds": Change(50.0, 900.0)}, []),  # still fast
        ({"microseconds": Change(900.0, 1_600.0)}, []),  # slow, but hardly slower
        ({"hr": Change(0.0, 0.0, (0.0, 0.0)), "coverage": Change(0.0, 0.0)}, []),
        ({"hr": Change(0.5, 0.0, (-0.6, -0.4)), "coverage": Change(0.4, 0.0)}, ["HR@20", "coverage"]),
    ],
)
def test_what_speaks_against_a_version(change, said):
    found = objections(replace(FINE, **change), GateConfig())
    assert len(found) == len(said)
    assert all(objection.startswith(beginning) for objection, beginning in zip(found, said, strict=True))


def test_the_recipe_is_not_asked_about_what_it_was_fitted_to():
    """No row that it is fitted to stands in a session that is asked about."""
    sessions = np.repeat(np.arange(200), 3)
    columns = dict.fromkeys(COLUMNS, np.ones(600, np.uint32)) | {"session": sessions, "time": np.arange(600)}
    history = History(columns, 601, [], 300)
    fitted = []

    def fit(rows):
        fitted.append(rows)
        return SessionRecommender()

    verdict = judge(history, GateConfig(least_questions=50), "v", (fit, fit))
    rows, others = fitted
    assert np.array_equal(rows, others)
    assert set(sessions[~rows]) == set(range(175, 200))
    assert set(sessions[rows]) == set(range(175))
    assert verdict.outcome is Outcome.PASSED
    assert verdict.figures.questions == 50
