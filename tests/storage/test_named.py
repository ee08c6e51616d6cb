"""The contract of what a shop tells the service by name, on every adapter."""

from __future__ import annotations

import pytest

from active_customers.core.errors import StorageError
from active_customers.storage.embedded import EmbeddedStore

SALE = {"name": "sale", "kind": "boost", "factor": 2.0}
OLD = {"name": "old", "kind": "exclude", "filter": "age > 900"}


def test_rules_come_back_by_name(store):
    assert store.rules.all() == {}
    store.rules.change({"sale": SALE, "old": OLD})
    assert list(store.rules.all().items()) == [("old", OLD), ("sale", SALE)]


def test_a_rule_is_replaced_or_deleted_and_the_others_stay(store):
    store.rules.change({"sale": SALE, "old": OLD})
    store.rules.change({"sale": SALE | {"factor": 3.0}, "old": None, "never": None})
    assert store.rules.all() == {"sale": SALE | {"factor": 3.0}}


def test_a_whole_set_takes_the_place_of_all(store):
    store.rules.change({"sale": SALE})
    store.rules.change({"old": OLD}, whole=True)
    assert store.rules.all() == {"old": OLD}
    store.rules.change({}, whole=True)
    assert store.rules.all() == {}


def test_the_version_grows_with_each_change(store):
    versions = [store.rules.version()]
    for records in ({"sale": SALE}, {"sale": None}):
        store.rules.change(records)
        versions.append(store.rules.version())
    assert versions == sorted(set(versions))


def test_rules_outlive_the_writer_and_readers_cannot_change_them(tmp_path):
    writer = EmbeddedStore(tmp_path / "store", writer=True).open()
    writer.rules.change({"sale": SALE})
    writer.close()
    reader = EmbeddedStore(tmp_path / "store").open()
    assert (reader.rules.all(), reader.rules.version()) == ({"sale": SALE}, 2)
    with pytest.raises(StorageError, match="reading only"):
        reader.rules.change({})
    reader.close()


def test_each_kind_has_records_and_a_version_of_its_own(store):
    store.records["strategies"].change({"sale": {"ranker": "guess"}})
    assert store.rules.all() == {}
    assert store.records["strategies"].all() == {"sale": {"ranker": "guess"}}
    before = store.rules.version()
    store.records["experiments"].change({"sale": OLD})
    assert store.rules.version() == before
