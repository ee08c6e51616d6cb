"""The contract of the store of rules, on every adapter."""

from __future__ import annotations

import pytest

from active_customers.core.errors import StorageError
from active_customers.storage.embedded import EmbeddedStore

SALE = {"name": "sale", "kind": "boost", "factor": 2.0}
OLD = {"name": "old", "kind": "exclude", "filter": "age > 900"}


def test_rules_come_back_by_name(store):
    assert store.rules.rules() == {}
    store.rules.change_rules({"sale": SALE, "old": OLD})
    assert list(store.rules.rules().items()) == [("old", OLD), ("sale", SALE)]


def test_a_rule_is_replaced_or_deleted_and_the_others_stay(store):
    store.rules.change_rules({"sale": SALE, "old": OLD})
    store.rules.change_rules({"sale": SALE | {"factor": 3.0}, "old": None, "never": None})
    assert store.rules.rules() == {"sale": SALE | {"factor": 3.0}}


def test_a_whole_set_takes_the_place_of_all(store):
    store.rules.change_rules({"sale": SALE})
    store.rules.change_rules({"old": OLD}, whole=True)
    assert store.rules.rules() == {"old": OLD}
    store.rules.change_rules({}, whole=True)
    assert store.rules.rules() == {}


def test_the_version_grows_with_each_change(store):
    versions = [store.rules.rules_version()]
    for records in ({"sale": SALE}, {"sale": None}):
        store.rules.change_rules(records)
        versions.append(store.rules.rules_version())
    assert versions == sorted(set(versions))


def test_rules_outlive_the_writer_and_readers_cannot_change_them(tmp_path):
    writer = EmbeddedStore(tmp_path / "store", writer=True).open()
    writer.rules.change_rules({"sale": SALE})
    writer.close()
    reader = EmbeddedStore(tmp_path / "store").open()
    assert (reader.rules.rules(), reader.rules.rules_version()) == ({"sale": SALE}, 2)
    with pytest.raises(StorageError, match="reading only"):
        reader.rules.change_rules({})
    reader.close()
