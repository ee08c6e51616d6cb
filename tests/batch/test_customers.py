"""Training and export see one customer where a login joined two, and learn nothing of whom they must not."""

from __future__ import annotations

import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest
from tests.conftest import NOW

from active_customers.batch.customer_export import CustomerExport
from active_customers.batch.daily_refresh import ModelConfigs, Refresh, RefreshConfig
from active_customers.batch.feature_engineering import CUSTOMERS, PAIRS
from active_customers.batch.history import EVERYBODY, WhoIsWho, read_history
from active_customers.core.clock import HOUR, ManualClock
from active_customers.core.event import EventType
from active_customers.models.artifacts import ArtifactStore
from active_customers.storage.archive import Archive
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.embedded import EmbeddedStore
from active_customers.storage.writer import DirectWriter

VIEW = EventType.VIEW


@pytest.fixture
def directory(tmp_path):
    directory = DataDirectory(tmp_path / "data")
    directory.prepare()
    return directory


@pytest.fixture
def store(directory):
    store = EmbeddedStore(directory.store, writer=True).open()
    yield store
    store.close()


@pytest.fixture
def writer(directory, store):
    return DirectWriter(directory, store, ManualClock(NOW))


@pytest.fixture
def say(store, make_event):
    def append(customer, kind, product=None, hour=0, **details):
        store.events.append([make_event(customer, kind, product, NOW + hour * HOUR, details=details)], NOW)

    return append


@pytest.fixture
def history(directory, writer, say):
    """Two views of a cookie, then a login, then two of the customer; another customer; a robot; one who refused."""
    say("cookie", VIEW, "p", -9)
    say("cookie", VIEW, "q", -8)
    say("known", EventType.LOGIN, other_customer_id="cookie")
    say("cookie", VIEW, "p", 1)
    say("known", VIEW, "q", 2)
    say("other", VIEW, "p")
    say("robot", VIEW, "p", metadata={"user_agent": "Googlebot"})
    say("refused", VIEW, "p")
    say("refused", EventType.CONSENT, consent="none")
    writer.archive_log()
    return read_history(Archive(directory.archive), RefreshConfig(), directory.root / "scratch", WhoIsWho.of(writer))


def test_training_sees_one_customer_and_passes_over_robots_and_refusals(history):
    assert history.columns["customer"].tolist() == [1, 1, 1, 1, 2]


def test_a_return_after_a_login_takes_back_what_was_bought_before_it(directory, writer, say):
    say("guest", EventType.PURCHASE, "p", -9)
    say("known", EventType.LOGIN, other_customer_id="guest")
    say("known", EventType.REFUND, "p", -1)
    say("other", EventType.PURCHASE, "p", -9)
    writer.archive_log()
    found = read_history(Archive(directory.archive), RefreshConfig(), directory.root / "scratch", WhoIsWho.of(writer))
    assert found.columns["customer"].tolist() == [1, 2]
    assert found.columns["event_type"].tolist() == [VIEW, EventType.PURCHASE]


def test_features_are_of_one_customer(directory, writer, history):
    job = Refresh(directory, ManualClock(NOW + HOUR), RefreshConfig(), ModelConfigs())
    version = job.run(writer, lambda _done, _total: None).version
    tables = {name: pq.read_table(ArtifactStore(directory.models).table(version, name)) for name in (CUSTOMERS, PAIRS)}
    rows = tables[CUSTOMERS].to_pylist()
    assert [(row["customer"], row["views"]) for row in rows] == [(1, 4), (2, 1)]
    pairs = [(row["customer"], row["product"], row["viewed"]) for row in tables[PAIRS].to_pylist()]
    assert pairs == [(1, 0, 2), (1, 1, 2), (2, 0, 1)]


def test_nobody_who_is_joined_is_left_as_they_are():
    who = WhoIsWho(np.empty(0, np.uint32), np.array([(2, 7), (5, 7)], np.uint32))
    assert who.owners(np.array([1, 2, 3, 5, 9], np.uint32)).tolist() == [1, 7, 3, 7, 9]
    assert EVERYBODY.owners(np.array([1], np.uint32)).tolist() == [1]


def test_an_export_holds_all_that_is_known_under_any_id(directory, store, history, say):
    say("known", EventType.CONSENT, consent="profile")
    say("cookie", VIEW, "r", 3)
    export = CustomerExport(store, Archive(directory.archive))
    for customer_id in ("known", "cookie"):
        document = orjson.loads(b"".join(export.document(customer_id)))
        assert document["ids"] == ["cookie", "known"]
        assert (document["consent"], document["robot"]) == ("profile", None)
        assert [line["product_id"] for line in document["states"][0]["looked_at"]] == ["p", "q", "p", "q", "r"]
        kinds = [(event["customer_id"], event["event_type"]) for event in document["events"]]
        assert kinds == [
            ("cookie", "view"),
            ("cookie", "view"),
            ("known", "login"),
            ("known", "joined"),
            ("known", "view"),
            ("known", "view"),
            ("known", "consent"),
            ("known", "view"),
        ]
        assert {"customer_id", "event_type", "arrival"} <= document["events"][0].keys()


def test_an_export_without_state_is_whole_and_says_what_was_refused(directory, store, history):
    document = orjson.loads(b"".join(CustomerExport(store, Archive(directory.archive)).document("refused")))
    assert (document["consent"], document["states"]) == ("none", [])
    assert [event["event_type"] for event in document["events"]] == ["view", "consent", "forgotten"]


def test_an_export_of_a_robot_says_so(directory, store, history):
    document = orjson.loads(b"".join(CustomerExport(store, Archive(directory.archive)).document("robot")))
    assert document["robot"] == {"rule": "user_agent", "since": "2025-01-15T12:00:00Z"}
