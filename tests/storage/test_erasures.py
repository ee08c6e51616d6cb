"""Erasing a customer: what every adapter of the port promises."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.conftest import NOW

from active_customers.core.clock import DAY
from active_customers.core.erasure import blank_entry
from active_customers.core.event import Channel, Context, EventType
from active_customers.storage.archive import table_of
from active_customers.storage.embedded import EmbeddedStore


@pytest.fixture
def visited(store, make_event):
    """A store in which customer a did something, then b, then a again."""
    rare = {"price": 2.5, "context": Context.CART, "channel": Channel.MOBILE, "session_id": "s"}
    store.events.append([make_event("a", EventType.PURCHASE, "p", details={"order_id": "o"}, **rare)], NOW)
    store.events.append([make_event("b", EventType.CART_ADD, "q"), make_event("a", EventType.VIEW, "q")], NOW + 1)
    return store


def test_an_erased_customer_is_unknown_and_their_entries_are_blank(visited):
    """Nothing but place and arrival is left of an entry; others' entries and states stay as they were."""
    others, state = visited.events.read(2, 1), visited.sessions.state("b").tolist()
    erasure = visited.erasures.erase("a", NOW + 5)
    assert visited.sessions.state("a") is None
    assert visited.sessions.state_of_number(0) is None
    entries = visited.events.read(1, 10)
    assert [entries[0], entries[2]] == [blank_entry(1, NOW), blank_entry(3, NOW + 1)]
    assert entries[1:2] == others
    assert visited.sessions.state("b").tolist() == state
    assert (entries[3].position, entries[3].customer, entries[3].event.event_type) == (4, 0, EventType.ERASE)
    assert entries[3].event.customer_id == ""
    assert (erasure.position, erasure.customer, erasure.log_entries, erasure.had_state) == (4, 0, 2, True)


def test_who_comes_back_is_a_new_customer_with_a_number_of_their_own(visited, make_event):
    """A number is given once: nothing that was kept under it can be taken for the new customer's."""
    visited.erasures.erase("a", NOW)
    visited.events.append([make_event("a", EventType.VIEW, "p")], NOW + 9)
    assert visited.events.read(5, 1)[0].customer == 2
    assert visited.customers.number(["a", "b", "c"]) == [2, 1, 3]
    assert visited.sessions.n_customers() == 4


def test_an_unknown_customer_is_not_erased(visited):
    """The answer is None and nothing has changed."""
    assert visited.erasures.erase("x", NOW) is None
    assert (visited.events.next_position(), visited.erasures.count()) == (4, 0)
    assert visited.erasures.of("x") is None


def test_the_receipt_is_found_by_the_id_and_does_not_hold_it(visited, make_event):
    """Each erasure of an id has a receipt; the latest is shown."""
    first = visited.erasures.erase("a", NOW)
    assert visited.erasures.of("a") == first
    assert visited.erasures.erase("a", NOW) is None
    visited.events.append([make_event("a", EventType.VIEW, "p")], NOW)
    second = visited.erasures.erase("a", NOW + DAY)
    assert visited.erasures.of("a") == second != first
    assert second.digest == first.digest
    assert visited.erasures.of("b") is None
    assert (visited.erasures.customers().tolist(), visited.erasures.count()) == ([0, 2], 2)


def test_others_no_longer_name_an_erased_customer(visited, make_event):
    """The field that names another customer goes, the rest of the event stays; later mentions are new facts."""
    details = {"other_customer_id": "a", "metadata": {"other_customer_id": "a"}}
    search = make_event("b", EventType.SEARCH, details=details)
    visited.events.append([search, make_event("b", EventType.SEARCH, details={"other_customer_id": "c"})], NOW)
    visited.erasures.erase("a", NOW)
    visited.events.append([make_event("b", EventType.SEARCH, details={"other_customer_id": "a"})], NOW)
    visited.erasures.resume()
    named = [entry.event.details for entry in visited.events.read(4, 10) if entry.event.event_type == EventType.SEARCH]
    assert named == [
        {"metadata": {"other_customer_id": "a"}},
        {"other_customer_id": "c"},
        {"other_customer_id": "a"},
    ]


def test_a_retry_of_an_erased_event_does_not_bring_it_back(store, make_event):
    """The retry key outlives the event for its seven days."""
    event = make_event("a", EventType.VIEW, "p")
    store.events.append([event], NOW)
    store.erasures.erase("a", NOW)
    assert store.events.append([event], NOW + DAY)[0].is_duplicate
    assert store.sessions.state("a") is None


def test_a_customer_who_has_only_a_number_can_be_erased(store):
    """An import numbers customers before it brings their acts."""
    store.customers.number(["a"])
    erasure = store.erasures.erase("a", NOW)
    assert (erasure.log_entries, erasure.had_state) == (0, False)
    assert store.customers.number(["a"]) == [1]


def test_erasing_many_entries_leaves_none(store, make_event):
    """What is done in several steps is done to the end, and counted once."""
    for _ in range(5):
        store.events.append([make_event("ab"[i % 2], EventType.VIEW, "p") for i in range(1_000)], NOW)
    erasure = store.erasures.erase("a", NOW)
    entries = store.events.read(1, 10_000)
    assert sum(entry.customer == 0 for entry in entries) == 1
    assert erasure.log_entries == 2_500
    assert store.erasures.of("a") == erasure


def test_an_erasure_that_was_interrupted_is_completed(tmp_path, make_event):
    """Once begun the customer is unknown; what the log still holds goes when it is resumed, and is counted once."""
    store = EmbeddedStore(tmp_path / "store", writer=True).open()
    store.events.append([make_event("ab"[i % 2], EventType.VIEW, "p") for i in range(10)], NOW)
    assert store.erasures._begin("a", NOW)
    store.close()
    store = EmbeddedStore(tmp_path / "store", writer=True).open()
    assert store.sessions.state("a") is None
    for _ in range(2):
        store.erasures.resume()
        assert [entry.customer for entry in store.events.read(1, 10)].count(0) == 0
        assert store.erasures.of("a").log_entries == 5
    store.close()


def test_a_blank_entry_is_archived_as_such(tmp_path, make_event):
    """The archive holds of it what the log does."""
    store = EmbeddedStore(tmp_path / "store", writer=True).open()
    store.events.append([make_event("a", EventType.VIEW, "p", session_id="s")], NOW)
    store.erasures.erase("a", NOW + 7)
    entries = store.events.read(1, 10)
    assert store.events.read_table(1, 10).equals(table_of(entries))
    assert replace(entries[0], position=9) == blank_entry(9, NOW)
    store.close()
