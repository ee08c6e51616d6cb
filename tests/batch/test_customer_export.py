"""A customer gets to see everything that is held about them, and nothing about others."""

from __future__ import annotations

import pytest
from tests.conftest import NOW

from active_customers.batch.customer_export import CustomerExport
from active_customers.core.clock import ManualClock
from active_customers.core.errors import UnknownCustomerError
from active_customers.core.event import Channel, Context, EventType
from active_customers.storage.archive import Archive
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.embedded import EmbeddedStore
from active_customers.storage.writer import DirectWriter


@pytest.fixture
def directory(tmp_path) -> DataDirectory:
    directory = DataDirectory(tmp_path / "data")
    directory.prepare()
    return directory


@pytest.fixture
def store(directory):
    store = EmbeddedStore(directory.store, writer=True).open()
    yield store
    store.close()


def test_state_archive_and_log_are_exported_in_order(directory, store, make_event):
    """Each event once, as it was posted, wherever it lies; what is in archive and log at a time included."""
    rare = {"price": 9.5, "quantity": 2, "context": Context.CART, "channel": Channel.WEB, "session_id": "s"}
    details = {"event_id": "e", "order_id": "o", "metadata": {"gift": True}}
    store.events.append([make_event("a", EventType.PURCHASE, "p", details=details, **rare)], NOW)
    store.events.append([make_event("b", EventType.VIEW, "q")], NOW)
    writer = DirectWriter(directory, store, ManualClock(NOW))
    writer.archive_log()
    store.events.append([make_event("a", EventType.HIDE, "q"), make_event("a", EventType.SEARCH)], NOW)
    Archive(directory.archive).append(store.events.read(1, 1))
    who, state, *events = CustomerExport(store, Archive(directory.archive)).rows("a")
    assert who == {"kind": "customer", "customer_id": "a", "ids": ["a"], "consent": None, "robot": None}
    assert (state["kind"], state["hidden"]) == ("state", ["q"])
    assert [(line["product_id"], line["quantity"]) for line in state["bought"]] == [("p", 2)]
    assert [event["event_type"] for event in events] == ["purchase", "hide", "search"]
    assert events[0] == {
        "kind": "event",
        "customer_id": "a",
        "event_type": "purchase",
        "product_id": "p",
        "timestamp": "2025-01-15T12:00:00Z",
        "arrival": "2025-01-15T12:00:00Z",
        "session_id": "s",
        "quantity": 2,
        "price": 9.5,
        "context": "cart",
        "channel": "web",
        **details,
    }


def test_who_is_unknown_or_erased_has_nothing_to_export(directory, store, make_event):
    """The answer says so."""
    store.events.append([make_event("a", EventType.VIEW, "p")], NOW)
    export = CustomerExport(store, Archive(directory.archive))
    assert len(list(export.rows("a"))) == 3
    store.erasures.erase("a", NOW)
    for customer in "ax":
        with pytest.raises(UnknownCustomerError, match=customer):
            list(export.rows(customer))


def test_what_a_customer_was_shown_is_exported_with_how_often_and_when(directory, store, make_event):
    store.events.append([make_event("a", EventType.IMPRESSION, product) for product in ("p", "q", "p")], NOW)
    _, state, *_ = CustomerExport(store, Archive(directory.archive)).rows("a")
    assert state["shown"] == [
        {"product_id": "q", "times": 1, "day": "2025-01-15"},
        {"product_id": "p", "times": 2, "day": "2025-01-15"},
    ]
