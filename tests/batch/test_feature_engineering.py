"""A refresh publishes features beside the models; what serving maps is what they define."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.conftest import NOW
from tests.refreshed_shop import Shop

from active_customers.batch.daily_refresh import RefreshConfig
from active_customers.batch.feature_engineering import CUSTOMERS, PAIRS, PRODUCTS, TASTES, FeatureEngineering, Reading
from active_customers.batch.feature_sheet import FeatureSheet
from active_customers.batch.history import WhoIsWho
from active_customers.batch.refresh_reports import RefreshReports
from active_customers.batch.skew import compare
from active_customers.core.clock import DAY
from active_customers.core.errors import ArtifactError, StorageError
from active_customers.core.event import EventType
from active_customers.core.product import Product
from active_customers.models.product_facts import FACTS
from active_customers.models.trained import versions_holding
from active_customers.storage.archive import Archive
from active_customers.storage.embedded import EmbeddedStore
from active_customers.storage.memory import MemoryStore

LATER = NOW + DAY


@contextmanager
def sheet_of(shop):
    store = EmbeddedStore(shop.directory.store).open()
    yield FeatureSheet(shop.artifacts, store)
    store.close()


def skew_of(shop):
    with sheet_of(shop) as sheet:
        scratch = shop.directory.root / "scratch"
        return sheet.skew(FeatureEngineering(Archive(shop.directory.archive), RefreshConfig(), scratch))


@pytest.fixture
def small(tmp_path, make_event):
    """An archive of six acts of two customers on three products, and how to read all of it."""
    store, archive = MemoryStore(), Archive(tmp_path / "archive")
    acts = [("a", "x", EventType.VIEW), ("a", "y", EventType.VIEW), ("a", "y", EventType.PURCHASE)]
    acts += [("b", product, EventType.VIEW) for product in "xyz"]
    store.events.append([make_event(customer, kind, product) for customer, product, kind in acts], NOW)
    archive.append(store.events.read(1, 100))
    return FeatureEngineering(archive, RefreshConfig(), tmp_path / "scratch"), Reading(1, 7, [], LATER, 3)


def read(tables):
    return {path.stem: pq.read_table(path).to_pylist() for path in tables}


def test_the_tables_are_those_of_the_archive_and_the_catalogue(small):
    engineering, reading = small
    with engineering.tables(reading, {1: Product("y", brand="Mare")}) as files:
        tables = read(files)
        assert set(tables) == {PRODUCTS, CUSTOMERS, PAIRS, TASTES}
    assert [row["product"] for row in tables[PRODUCTS]] == [0, 1, 2]
    assert [(row["views"], row["purchases"]) for row in tables[CUSTOMERS]] == [(2, 1), (3, 0)]
    assert len(tables[PAIRS]) == 5
    assert [(row["value"], row["share"]) for row in tables[TASTES]] == [("Mare", 1), ("Mare", 1)]


def test_scratch_files_are_gone_when_the_tables_have_been_used(small, tmp_path):
    engineering, reading = small
    with engineering.tables(reading, {}) as files:
        assert all(path.exists() for path in files)
    assert not (tmp_path / "scratch").exists()


@pytest.mark.parametrize(
    ("reading", "views"),
    [
        (Reading(1, 7, [], LATER, 3), [2, 3]),
        (Reading(2, 6, [], LATER, 3), [1, 2]),
        (Reading(1, 7, [(1, 2), (5, 5)], LATER, 3), [0, 2]),
        (Reading(1, 7, [], NOW, 3), []),
    ],
    ids=["all", "from first to watermark", "without holes", "before as_of"],
)
def test_only_what_the_version_had_read_counts(small, reading, views):
    with small[0].tables(reading, {}) as files:
        assert [row["views"] for row in read(files)[CUSTOMERS]] == views


def test_erased_customers_are_left_out(small):
    engineering, reading = small
    erased = WhoIsWho(np.array([0], np.uint32), np.empty((0, 2), np.uint32))
    with engineering.tables(reading, {}, erased) as files:
        tables = read(files)
    assert {row["customer"] for name in (CUSTOMERS, PAIRS) for row in tables[name]} == {1}


def test_a_damaged_part_of_the_archive_is_said_with_what_to_do(small, tmp_path):
    engineering, reading = small
    part = Archive(tmp_path / "archive").parts()[0].path
    part.write_bytes(part.read_bytes()[:-10])
    with pytest.raises(StorageError, match="restore it from a backup"), engineering.tables(reading, {}):
        pass


def test_what_serving_maps_is_what_the_archive_gives_and_the_report_says_so(published):
    """The one was counted in memory while fitting, the other in the archive."""
    skew = RefreshReports(published.artifacts).newest()["skew"]
    assert (skew["share"], skew["largest"]) == (0, {})
    assert skew["values"] > 1000


def test_events_logged_since_change_nothing_for_the_same_moment(published):
    """Asked about the moment of the version, the definitions are blind to the two days since."""
    assert skew_of(published).largest == {}


def test_a_history_cut_to_the_newest_acts_has_the_same_features_in_the_archive(tmp_path, simulated):
    shop = Shop(tmp_path / "data")
    shop.take(simulated[0])
    assert shop.refresh(newest_acts=500).facts["features"]["first"] > 1
    assert skew_of(shop).largest == {}


def test_a_value_that_serving_reads_wrongly_is_named_with_its_size():
    defined = {name: np.arange(10.0) for name in FACTS}
    mapped = np.stack([defined[name] for name in FACTS], axis=1).astype(np.float32)
    mapped[3, FACTS.index("age")] += 0.5
    mapped[4, FACTS.index("trend")] = np.nan
    skew = compare(mapped, defined, np.arange(10, dtype=np.uint32))
    assert skew.share == pytest.approx(2 / (10 * len(FACTS)))
    assert set(skew.largest) == {"age", "trend"}
    assert "age by up to 0.5" in skew.line()


def test_a_version_has_a_row_for_every_customer_and_its_pairs_count_every_act(published):
    version = published.artifacts.current()
    facts = published.artifacts.manifest(version).facts
    customers, pairs = (pq.read_table(published.artifacts.table(version, name)) for name in (CUSTOMERS, PAIRS))
    assert len(customers) == facts["customers"]
    assert sum(sum(pairs[name].to_pylist()) for name in ("viewed", "carts", "bought")) == facts["acts"]


def test_a_version_whose_models_forgot_a_customer_still_tells_that_its_features_hold_them(published, tmp_path):
    version = published.artifacts.current()
    folder = tmp_path / version
    folder.mkdir()
    (folder / "customers.parquet").symlink_to(published.artifacts.table(version, CUSTOMERS))
    assert versions_holding(tmp_path, [0]) == [version]
    assert versions_holding(tmp_path, [10**6]) == []


def test_without_feature_tables_nothing_is_published_or_compared(tmp_path, simulated):
    shop = Shop(tmp_path / "data")
    shop.take(simulated[0])
    manifest = shop.refresh(feature_tables=False)
    assert [name for name in manifest.hashes if name.endswith(".parquet")] == []
    assert RefreshReports(shop.artifacts).newest()["skew"] is None
    product = pq.read_table(simulated[0], columns=["product_id"]).drop_null()["product_id"][0].as_py()
    with pytest.raises(ArtifactError, match="run refresh"):
        skew_of(shop)
    with sheet_of(shop) as sheet, pytest.raises(ArtifactError, match="no table of products: run refresh"):
        list(sheet.of_product(product))
