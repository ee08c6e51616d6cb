"""Models are told at once of who was erased, and now and then of who else teaches nothing."""

from __future__ import annotations

from tests.conftest import NOW

from active_customers.core.event import EventType
from active_customers.storage.passed_over import PAUSE, PassedOver


def test_erasures_count_at_once_and_refusals_after_a_pause(store, make_event):
    now = 0.0
    passed_over = PassedOver(store.erasures, store.customers, lambda: now)
    store.events.append([make_event(customer, EventType.VIEW, "p") for customer in "abc"], NOW)
    before = passed_over.count()
    store.events.append([make_event("a", EventType.CONSENT, details={"consent": "none"})], NOW)
    assert passed_over.count() == before
    store.erasures.erase("b", NOW)
    assert passed_over.count() != before
    assert passed_over.customers().tolist() == [0, 1]
    counted = passed_over.count()
    now = PAUSE
    assert passed_over.count() != counted
