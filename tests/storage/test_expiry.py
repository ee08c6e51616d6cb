"""Anonymous customers are forgotten when their time has come, and nobody else is."""

from __future__ import annotations

import pytest
from tests.conftest import NOW

from active_customers.core.clock import DAY
from active_customers.core.event import EventType
from active_customers.storage.embedded import EmbeddedStore

AGE = 90 * DAY


@pytest.fixture
def store(tmp_path):
    store = EmbeddedStore(tmp_path / "store", writer=True).open()
    yield store
    store.close()


def known(store, customers: str) -> str:
    return "".join(customer for customer in customers if store.sessions.state(customer) is not None)


def sweep(store, now: int, most: int = 1_000) -> int:
    """Sweep over all states twice: the first sweep finds out what the newest act is."""
    return sum(store.expiry.sweep(now + day * DAY, AGE, most) for day in (0, 1))


def test_who_is_anonymous_and_old_is_forgotten(store, make_event):
    """A purchase or a hidden product makes a customer known; so does nothing else."""
    old, new = NOW - 100 * DAY, NOW
    for customer, kind, time in (
        ("a", EventType.VIEW, old),
        ("b", EventType.PURCHASE, old),
        ("c", EventType.HIDE, old),
        ("d", EventType.CART_ADD, old),
        ("e", EventType.VIEW, new),
    ):
        store.events.append([make_event(customer, kind, "p", time)], NOW)
    assert sweep(store, NOW) == 2
    assert known(store, "abcde") == "bce"
    assert store.customers.number(["a", "b"]) == [5, 1]


def test_who_was_logged_in_as_is_never_forgotten_as_anonymous(store, make_event):
    """Neither are the ids that were joined with them; a cookie that was not is."""
    old = NOW - 100 * DAY
    for customer in ("cookie", "known", "other"):
        store.events.append([make_event(customer, EventType.VIEW, "p", old)], NOW)
    login = make_event("known", EventType.LOGIN, time=old, details={"other_customer_id": "cookie"})
    store.events.append([login, make_event("new", EventType.VIEW, "p")], NOW)
    assert sweep(store, NOW) == 1
    assert known(store, ["cookie", "known", "other"]) == "cookieknown"


def test_what_was_agreed_to_is_forgotten_with_who_is_but_that_they_are_a_robot_is_not(store, make_event):
    """Their acts stay in the archive, and would teach."""
    details = {"consent": "profile"}
    store.events.append([make_event("a", EventType.CONSENT, time=NOW - 100 * DAY, details=details)], NOW)
    details = {"metadata": {"user_agent": "Googlebot"}}
    store.events.append([make_event("a", EventType.VIEW, "p", NOW - 100 * DAY, details=details)], NOW)
    store.events.append([make_event("new", EventType.VIEW, "p")], NOW)
    assert sweep(store, NOW) == 1
    assert store.customers.consent("a") is None
    assert [robot.customer_id for robot in store.customers.robots()] == [""]
    assert store.customers.passed_over().tolist() == [0]


def test_a_visit_ends_nowhere_when_its_customer_was_forgotten_meanwhile(store, make_event):
    """The id is free for whoever comes next."""
    store.events.append([make_event("a", EventType.VIEW, "p", NOW - 100 * DAY)], NOW)
    store.events.append([make_event("a", EventType.VIEW, "q", details={"consent": "session"})], NOW)
    store.events.append([make_event("new", EventType.VIEW, "p")], NOW)
    assert sweep(store, NOW) == 1
    assert store.customers.end_visits(NOW + DAY, 10) == 1
    assert store.customers.number(["a"]) == [3]


def test_age_counts_from_the_newest_act_of_the_shop(store, make_event):
    """An imported history is as alive as it was when it ended."""
    long_ago = NOW - 3_000 * DAY
    store.events.append([make_event("a", EventType.VIEW, "p", long_ago)], NOW)
    store.events.append([make_event("b", EventType.VIEW, "p", long_ago - AGE - DAY)], NOW)
    assert sweep(store, NOW) == 1
    assert known(store, "ab") == "a"


def test_a_sweep_that_began_in_the_future_holds_up_none(store, make_event):
    """Whatever clock was wrong by a year then."""
    store.events.append([make_event("a", EventType.VIEW, "p", NOW - 100 * DAY)], NOW)
    store.events.append([make_event("b", EventType.VIEW, "p", NOW)], NOW)
    store.expiry.sweep(NOW + 365 * DAY, AGE, 1_000)
    assert store.expiry.sweep(NOW, AGE, 1_000) == 1
    assert known(store, "ab") == "b"


def test_a_sweep_goes_on_where_it_was_and_begins_once_a_day(tmp_path, make_event):
    """Each call looks at so many states and no more; the place is remembered over a restart."""
    path = tmp_path / "store"
    store = EmbeddedStore(path, writer=True).open()
    old = [make_event(f"c{i}", EventType.VIEW, "p", NOW - 100 * DAY) for i in range(5)]
    store.events.append([*old, make_event("new", EventType.VIEW, "p")], NOW)
    assert [store.expiry.sweep(NOW, AGE, 4) for _ in range(3)] == [0, 0, 0]
    gone = []
    for _ in range(3):
        store.close()
        store = EmbeddedStore(path, writer=True).open()
        gone.append(store.expiry.sweep(NOW + DAY, AGE, 4))
    assert gone == [4, 1, 0]
    assert known(store, ["new", "c0", "c4"]) == "new"
    store.close()
