"""Retry keys are known wherever they stand: in memory, noted, or filed by day."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conftest import NOW

from active_customers.core.clock import DAY, MINUTE
from active_customers.core.event import EventType
from active_customers.storage.embedded import EmbeddedStore, StorageConfig
from active_customers.storage.memory import MemoryStore

KEYS = st.tuples(st.integers(0, 12), st.sampled_from([None, 10 * MINUTE]))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.lists(KEYS, max_size=5)),
        st.tuples(st.just("fail"), st.lists(KEYS, max_size=5)),
        st.tuples(st.just("pause"), st.sampled_from([MINUTE, 11 * MINUTE, DAY, 5 * DAY])),
        st.tuples(st.just("restart"), st.just(None)),
    ),
    max_size=25,
)


class Log:
    """An embedded store that can be closed and opened again."""

    def __init__(self, path, recent_keys):
        self._path, self._config = path, StorageConfig(recent_keys=recent_keys)
        self.open()

    def open(self):
        self.store = EmbeddedStore(self._path, self._config, writer=True).open()

    def restart(self):
        self.store.close()
        self.open()

    def notes(self):
        """Return how many commits' keys are noted."""
        recent = self.store.events._seen._recent
        with self.store._env.reading() as txn:
            return txn.stat(recent._notes)["entries"]


@pytest.fixture
def log(tmp_path):
    made = []

    def make(recent_keys):
        made.append(Log(tmp_path / "s", recent_keys))
        return made[-1]

    yield make
    for each in made:
        each.store.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)
@given(STEPS, st.sampled_from([0, 1, 5, 1000]))
def test_whatever_happens_the_same_events_are_duplicates_as_in_memory(tmp_path_factory, make_event, steps, recent_keys):
    memory, embedded = MemoryStore(), Log(tmp_path_factory.mktemp("log") / "s", recent_keys)
    now = NOW
    try:
        for verb, argument in steps:
            if verb == "pause":
                now += argument
            elif verb == "restart":
                embedded.restart()
            else:
                events = [
                    make_event("a", EventType.VIEW, "p", dedup_key=bytes([20 * key]) * 16, retry_window=window)
                    for key, window in argument
                ]
                if verb == "fail":
                    with pytest.raises(OverflowError):
                        embedded.store.events.append([*events, make_event("a", EventType.VIEW, "p", 2**70)], now)
                else:
                    assert embedded.store.events.append(events, now) == memory.events.append(events, now)
    finally:
        embedded.store.close()


def keys(first, count):
    """Return keys that fall into all shares evenly."""
    return [bytes([number % 256]) + number.to_bytes(15, "big") for number in range(first, first + count)]


def test_notes_go_when_their_keys_are_filed(log, make_event):
    log = log(100)
    for number in range(80):
        events = [make_event("a", EventType.VIEW, "p", dedup_key=key) for key in keys(64 * number, 64)]
        log.store.events.append(events, NOW)
    assert log.notes() < 40
    again = [make_event("a", EventType.VIEW, "p", dedup_key=key) for key in keys(0, 64 * 80)]
    assert all(receipt.is_duplicate for receipt in log.store.events.append(again, NOW))
    log.restart()
    assert log.notes() == 0
    assert all(receipt.is_duplicate for receipt in log.store.events.append(again, NOW))


def test_a_batch_of_duplicates_writes_nothing(log, make_event):
    log = log(100)
    event = make_event("a", EventType.VIEW, "p")
    log.store.events.append([event], NOW)
    before = log.store._env._env.info()["last_txnid"]
    assert log.store.events.append([event, event], NOW)[1].is_duplicate
    assert log.store._env._env.info()["last_txnid"] == before
    assert log.notes() == 1


def test_keys_that_are_too_old_leave_memory_and_store_with_later_commits(log, make_event):
    """However few there are: a quiet shop keeps them no longer than a busy one. A commit that fails drops none."""
    log = log(1000)
    recent = log.store.events._seen._recent
    old = keys(0, 30)
    for day in range(11):
        key = old if day == 0 else keys(100 + day, 1)
        events = [make_event("a", EventType.VIEW, "p", dedup_key=each) for each in key]
        if day > 8:
            with pytest.raises(OverflowError):
                log.store.events.append([*events, make_event("a", EventType.VIEW, "p", 2**70)], NOW + day * DAY)
        log.store.events.append(events, NOW + day * DAY)
        assert (recent.arrival_of(old[7]) is None) == (day > 7)
    kept = {key for key in (*old, *keys(100, 20)) if recent.arrival_of(key) is not None}
    assert kept == set(keys(103, 8))
    assert recent._size == log.notes() == 8
    log.restart()
    assert not any(map(log.store.events._seen._recent.arrival_of, old))
