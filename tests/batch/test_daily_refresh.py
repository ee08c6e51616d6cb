"""A refresh reads what was logged, publishes one version, and never leaves the shop without one."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.abc import MetaPathFinder
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from pyarrow import ArrowInvalid
from tests.conftest import NOW, lightgbm_or_skip

from active_customers.batch.daily_refresh import ModelConfigs, Refresh, RefreshConfig, check
from active_customers.batch.history import holes_between, read_history
from active_customers.batch.refresh_reports import RefreshReports
from active_customers.core.clock import HOUR
from active_customers.core.errors import ArtifactError, NoDataError, StorageError, StoreLockedError
from active_customers.core.event import EventType
from active_customers.core.recommendation import Goal
from active_customers.core.session import SessionQuery
from active_customers.models.artifacts import ArtifactStore
from active_customers.models.base import Candidates, SessionLog
from active_customers.models.hybrid_model import HybridConfig
from active_customers.models.patterns import PatternsConfig
from active_customers.models.registry import MODELS
from active_customers.models.session_knn import SessionKnnConfig
from active_customers.realtime.context_engine import ShopConfig
from active_customers.realtime.session_recommender import PATTERNS, load_models
from active_customers.storage.archive import Archive, Part
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.embedded import EmbeddedStore
from active_customers.storage.writer import DirectWriter


@pytest.fixture
def directory(tmp_path):
    directory = DataDirectory(tmp_path / "data")
    directory.prepare()
    return directory


@pytest.fixture
def embedded(directory):
    store = EmbeddedStore(directory.store, writer=True).open()
    yield store
    store.close()


@pytest.fixture
def refresh(directory, embedded, clock):
    """Runs a refresh and returns its manifest."""

    def run(models=None, **config):
        job = Refresh(directory, clock, RefreshConfig(**config), models or ModelConfigs())
        return job.run(DirectWriter(directory, embedded), lambda _done, _total: None)

    return run


@pytest.fixture
def visits(embedded, make_event):
    """Posts sessions of two products each, which are always the same pair."""

    def post(first, count):
        events = [
            make_event(f"c{i}", EventType.VIEW, f"{side}{i % 3}", NOW - (first + count - i) * HOUR)
            for i in range(first, first + count)
            for side in "ab"
        ]
        embedded.events.append(events, NOW)

    return post


def test_a_shop_without_events_has_nothing_to_learn_from(refresh, embedded, directory, make_event):
    with pytest.raises(NoDataError, match="import-events"):
        refresh()
    embedded.events.append([make_event("a", EventType.SEARCH), make_event("a", EventType.IMPRESSION, "p")], NOW)
    with pytest.raises(NoDataError):
        refresh()
    assert ArtifactStore(directory.models).current() is None


def test_a_refresh_publishes_what_it_learned_and_says_what_it_read(refresh, visits, embedded, directory):
    visits(0, 12)
    embedded.events.reserve(5)
    manifest = refresh()
    counts = {name: manifest.facts[name] for name in ("acts", "sessions", "customers", "products")}
    assert counts == {"acts": 24, "sessions": 12, "customers": 12, "products": 6}
    assert manifest.facts["notes"] == []
    assert (manifest.version, manifest.created, manifest.n_products) == ("v2025.01.15-001", NOW, 6)
    assert manifest.watermark == 25
    artifacts = ArtifactStore(directory.models)
    assert artifacts.current() == manifest.version
    models = load_models(*artifacts.load(manifest.version))
    number = embedded.catalog.product_number
    query = SessionQuery(np.array([number("a1")], np.uint32), np.ones(1, np.uint8), np.array([NOW]), NOW)
    found = models.hybrid.sessions.candidates(query, 1, query.products)
    assert found.products.tolist() == [number("b1")]


def test_what_was_learned_of_time_is_published_in_the_shop_s_zone(directory, embedded, clock, make_event):
    """One product is looked at by day, the other by night: in Tokyo it is the other way round."""
    events = [
        make_event(f"c{day}-{hour}-{i}", EventType.VIEW, product, NOW - (day * 24 + hour) * HOUR)
        for day in range(12)
        for hour, product in ((0, "day"), (12, "night"))
        for i in range(5)
    ]
    embedded.events.append(events, NOW)
    job = Refresh(directory, clock, RefreshConfig(), ModelConfigs(), ShopConfig(time_zone="Asia/Tokyo"))
    manifest = job.run(DirectWriter(directory, embedded), lambda _done, _total: None)
    assert manifest.facts["context"] == {"time_zone": "Asia/Tokyo", "learned": ["hour"], "country": "", "holidays": []}
    patterns = load_models(*ArtifactStore(directory.models).load(manifest.version)).patterns
    [factor] = patterns.factors_of(embedded.catalog.product_number("day"), NOW)
    assert factor.part == 21
    assert factor.factor > 1.5


def test_the_next_refresh_learns_what_came_since_and_takes_over(refresh, visits, embedded, directory, make_event):
    visits(0, 6)
    refresh()
    embedded.events.append([make_event("z", EventType.PURCHASE, "new")], NOW)
    second = refresh()
    assert second.facts["acts"] == 13
    assert second.n_products == 7
    assert ArtifactStore(directory.models).current() == second.version == "v2025.01.15-002"


def test_what_was_given_back_in_full_is_no_purchase_to_learn_from(refresh, embedded, directory, make_event):
    baskets = [
        make_event(f"c{i}", EventType.PURCHASE, product, NOW - HOUR * (9 - i), quantity=2)
        for i in range(4)
        for product in ("a", "b")
    ]
    given_back = [
        make_event("c0", EventType.REFUND, "b", NOW, quantity=2),
        make_event("c1", EventType.REFUND, "b", NOW, quantity=1),
        make_event("c1", EventType.REFUND, "b", NOW, quantity=1),
        make_event("c2", EventType.REFUND, "b", NOW, quantity=1),
        make_event("c3", EventType.REFUND, "b", NOW - 20 * HOUR, quantity=2),
    ]
    embedded.events.append([*baskets, *given_back], NOW)
    manifest = refresh()
    models = load_models(*ArtifactStore(directory.models).load(manifest.version))
    assert models.items.bought.support.tolist() == [2, 2]
    history = read_history(Archive(directory.archive), RefreshConfig(), directory.models / "scratch")
    is_bought = history.columns["event_type"] == EventType.PURCHASE
    customers = [embedded.sessions.find(f"c{i}")[0] for i in range(4)]
    b = embedded.catalog.product_number("b")
    kept = history.columns["customer"][is_bought & (history.columns["product"] == b)]
    assert sorted(kept.tolist()) == sorted([customers[2], customers[3]])
    assert len(history) == len(baskets)


def test_old_versions_go(refresh, visits, directory):
    visits(0, 6)
    for _ in range(4):
        refresh(keep_versions=2)
    assert ArtifactStore(directory.models).versions() == ["v2025.01.15-003", "v2025.01.15-004"]


def test_positions_that_were_given_away_below_the_watermark_are_holes(refresh, visits, embedded, directory):
    visits(0, 3)
    embedded.events.reserve(5)
    visits(3, 2)
    manifest = refresh()
    assert (manifest.watermark, manifest.holes) == (16, [(7, 11)])
    stored, _ = ArtifactStore(directory.models).load(manifest.version)
    assert stored.holes == [[7, 11]]


@pytest.mark.parametrize(
    ("ranges", "holes"),
    [
        ([], []),
        ([(1, 4), (5, 6)], []),
        ([(3, 4)], [(1, 2)]),
        ([(1, 4), (3, 9), (11, 11), (20, 30)], [(10, 10), (12, 19)]),
    ],
)
def test_holes_are_what_parts_leave_out(ranges, holes):
    assert holes_between([Part(first, last, Path("part")) for first, last in ranges]) == holes


def test_a_second_refresh_beside_one_that_runs_fails_at_once(refresh, visits, directory):
    visits(0, 3)
    with ArtifactStore(directory.models).exclusive(), pytest.raises(StoreLockedError, match="another refresh"):
        refresh()
    assert refresh().version == "v2025.01.15-001"


def test_refreshes_side_by_side_never_publish_the_same_version(directory, embedded, clock, visits):
    visits(0, 12)
    writer = DirectWriter(directory, embedded)
    writer.archive_log()

    def publish(_):
        try:
            job = Refresh(directory, clock, RefreshConfig(), ModelConfigs())
            return job.run(writer, lambda _done, _total: None).version
        except StoreLockedError:
            return None

    with ThreadPoolExecutor(4) as pool:
        published = [version for version in pool.map(publish, range(8)) if version]
    artifacts = ArtifactStore(directory.models)
    assert len(set(published)) == len(published) > 0
    assert set(artifacts.versions()) <= set(published)
    for version in artifacts.versions():
        artifacts.load(version)


def altered(content: bytes) -> bytes:
    """Turn the last byte of a page around."""
    column = pq.read_metadata(BytesIO(content)).row_group(0).column(0)
    at = column.dictionary_page_offset + column.total_compressed_size - 1
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


@pytest.mark.parametrize("damage", [lambda content: content[:-10], altered, lambda content: b""])
def test_a_damaged_part_of_the_archive_is_named_with_what_to_do(refresh, visits, directory, damage):
    """Cut short, or altered where only checksums tell: nothing is learned from it, and without it all else is."""
    visits(0, 3)
    refresh()
    part = Archive(directory.archive).parts()[0].path
    part.write_bytes(damage(part.read_bytes()))
    with pytest.raises(StorageError, match=rf"{part} cannot be read .*: restore it from a backup, or move it away"):
        refresh()
    part.unlink()
    visits(3, 3)
    assert refresh().facts["sessions"] == 3


def test_an_archive_that_is_something_else_is_said_with_what_to_do(refresh, visits, directory):
    visits(0, 3)
    refresh()
    part = Archive(directory.archive).parts()[0].path
    part.unlink()
    part.mkdir()
    with pytest.raises(StorageError, match="restore it from a backup, or move it away"):
        refresh()


def test_every_registered_model_is_fitted_and_has_its_settings(refresh, visits, directory):
    assert {name: field.annotation for name, field in ModelConfigs.model_fields.items()} == {
        **{name: entry.config for name, entry in MODELS.items()},
        PATTERNS: PatternsConfig,
    }
    visits(0, 3)
    _, arrays = ArtifactStore(directory.models).load(refresh().version)
    assert set(arrays) == {*MODELS, PATTERNS}


def test_only_the_newest_acts_are_read_when_there_are_too_many(refresh, visits, directory):
    visits(0, 12)
    assert refresh(newest_acts=10).facts["acts"] == 10
    newest = read_history(
        Archive(directory.archive), RefreshConfig(newest_acts=10), directory.models / "scratch"
    ).columns
    whole = read_history(
        Archive(directory.archive), RefreshConfig(newest_acts=100), directory.models / "scratch"
    ).columns
    assert all(newest[name].tolist() == whole[name][-10:].tolist() for name in whole)


def test_the_models_are_fitted_as_configured_and_the_version_says_how(refresh, visits, directory):
    visits(0, 6)
    manifest = refresh(ModelConfigs(hybrid=HybridConfig(session_knn=SessionKnnConfig(neighbours=7))))
    assert manifest.configs["hybrid"]["session_knn"]["neighbours"] == 7
    models = load_models(*ArtifactStore(directory.models).load(manifest.version))
    assert models.hybrid.sessions.config.neighbours == 7


def test_a_service_may_own_the_directory_while_a_refresh_computes(directory, clock, visits, embedded):
    visits(0, 3)
    lock, others = directory.lock(), []

    def let_go():
        embedded.close()
        os.close(lock)
        others.append(directory.lock())

    job = Refresh(directory, clock, RefreshConfig(), ModelConfigs())
    manifest = job.run(DirectWriter(directory, embedded), lambda _done, _total: None, let_go=let_go)
    assert ArtifactStore(directory.models).current() == manifest.version
    os.close(*others)


def test_progress_is_reported_to_the_end(directory, embedded, clock, visits):
    visits(0, 3)
    seen = []
    job = Refresh(directory, clock, RefreshConfig(), ModelConfigs())
    job.run(DirectWriter(directory, embedded), lambda done, total: seen.append((done, total)))
    assert {total for _, total in seen} == {14}
    done = [done for done, _ in seen]
    assert done == sorted(set(done))
    assert (done[0], done[-1]) == (0, 14)


def test_progress_is_reported_while_the_hybrid_is_fitted(directory, embedded, clock, visits):
    """It is most of a refresh: its sources are fitted twice, and trees are trained between."""
    lightgbm_or_skip()
    visits(0, 400)
    seen = []
    job = Refresh(directory, clock, RefreshConfig(), ModelConfigs())
    job.run(DirectWriter(directory, embedded), lambda done, _total: seen.append(done))
    of_hybrid = [done for done in seen if 3 <= done < 13]
    assert len(of_hybrid) >= 2


class Wrong:
    """A model that answers what it is told to."""

    def __init__(self, products, scores):
        self._answer = Candidates(np.array(products, np.uint32), np.array(scores, np.float32), np.zeros(len(products)))

    def candidates(self, session, n, excluded=None):
        return self._answer


@pytest.mark.parametrize(
    ("products", "scores"),
    [
        ([1, 1], [2, 1]),
        ([1, 99], [2, 1]),
        ([1, 2], [1, 2]),
        ([1, 2], [1, 0]),
        ([1, 2], [np.nan, 1]),
        ([1, 2], [np.inf, 1]),
    ],
)
def test_a_model_whose_answer_cannot_be_right_is_not_published(refresh, visits, directory, products, scores):
    visits(0, 3)
    refresh()
    history = read_history(Archive(directory.archive), RefreshConfig(newest_acts=100), directory.models / "scratch")
    log = SessionLog.from_rows(history.columns, 6, NOW)
    with pytest.raises(ArtifactError, match="wrong gave an answer"):
        check("wrong", Wrong(products, scores), log)
    check("right", Wrong([1, 2], [2, 1]), log)


class WrongOnce(Wrong):
    """A model that answers one session wrongly, and all others rightly."""

    def __init__(self, product):
        self._product = product

    def candidates(self, session, n, excluded=None):
        scores = [1, 2] if self._product in session.products else [2, 1]
        return Candidates(np.array([1, 2], np.uint32), np.array(scores, np.float32), np.zeros(2))


@pytest.mark.parametrize("session", [0, 11, 23])
def test_sessions_from_all_over_the_log_are_asked(session):
    n = np.arange(24)
    columns = {"session": n, "product": n, "event_type": np.ones(24), "time": n, "customer": n}
    log = SessionLog.from_rows(columns, 24, NOW)
    with pytest.raises(ArtifactError):
        check("wrong", WrongOnce(session), log)


class WrongFor(Wrong):
    """A model that answers for one goal wrongly, and for all others rightly."""

    def __init__(self, goal):
        self._goal = goal

    def candidates(self, session, n, excluded=None):
        scores = [1, 2] if session.goal is self._goal else [2, 1]
        return Candidates(np.array([1, 2], np.uint32), np.array(scores, np.float32), np.zeros(2))


@pytest.mark.parametrize("goal", Goal)
def test_answers_for_every_goal_are_checked(goal):
    columns = {"session": np.zeros(3), "product": np.arange(3), "event_type": np.ones(3), "time": np.arange(3)}
    log = SessionLog.from_rows(columns | {"customer": np.zeros(3)}, 3, NOW)
    with pytest.raises(ArtifactError, match=f"goal {goal.word} "):
        check("wrong", WrongFor(goal), log)


@pytest.mark.parametrize("error", [OSError("input/output error"), ArrowInvalid("not a Parquet file")])
def test_what_was_published_has_a_report_even_where_its_features_cannot_be_read(
    refresh, visits, directory, monkeypatch, error
):
    def failing(*_arguments, **_options):
        raise error

    visits(0, 3)
    monkeypatch.setattr(pq, "read_table", failing)
    manifest = refresh()
    artifacts = ArtifactStore(directory.models)
    report = RefreshReports(artifacts).read(manifest.version)
    assert artifacts.current() == manifest.version
    assert (report["outcome"], report["skew"]) == ("published", None)
    assert report["notes"] == manifest.facts["notes"] == [f"features were not compared with what is served: {error}"]


def test_without_the_library_that_trains_trees_a_refresh_publishes_sums_and_says_so(
    refresh, visits, directory, monkeypatch
):
    """Answers need no library; a machine without OpenMP still serves, and its operator is told what is missing."""
    monkeypatch.delitem(sys.modules, "lightgbm", raising=False)
    monkeypatch.setattr(sys, "meta_path", [_NoOpenMp(), *sys.meta_path])
    visits(0, 400)
    manifest = refresh()
    assert "libgomp" in manifest.facts["notes"][0]
    models = load_models(*ArtifactStore(directory.models).load(manifest.version))
    assert not any(len(forest.values) for forest in models.hybrid.forests)


class _NoOpenMp(MetaPathFinder):
    """Fails as the library does where the system's OpenMP is missing."""

    def find_spec(self, fullname, path, target=None):
        if fullname == "lightgbm":
            raise OSError("libgomp.so.1: cannot open shared object file")
