"""Whether the live index is up to date, seen from outside."""

from __future__ import annotations

import pytest
from tests.serving.test_live_feed import TIGHT, Shop, view

from active_customers.monitoring.metrics import LIVE_LAG, LIVE_POSITION, LIVE_PRODUCTS, LIVE_SESSIONS
from active_customers.serving.live_watch import LIVE_INDEX, LiveWatch

BEHIND = 5.0


class Seconds:
    """A monotonic clock that is moved by hand."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def shop(tmp_path):
    opened = Shop(tmp_path / "data", TIGHT)
    yield opened
    opened.close()


@pytest.fixture
def seconds():
    return Seconds(1000.0)


@pytest.fixture
def watch(shop, seconds):
    return LiveWatch(shop.directory.live, shop.store.events, BEHIND, seconds)


def test_an_index_that_is_kept_up_to_date_is_not_missing(shop, watch, seconds):
    """As long as somebody reads the log to its end again and again, answers are whole."""
    for _ in range(10):
        seconds.now += BEHIND - 1
        shop.index.say_caught_up(seconds.now)
        assert watch.look() == []


def test_an_index_that_nobody_follows_is_missing_after_a_while_until_it_is_caught_up(shop, watch, seconds):
    """A restart within the time allowed is not worth a word; more is said until it is over."""
    shop.index.say_caught_up(seconds.now)
    assert watch.look() == []
    seconds.now += BEHIND
    assert watch.look() == []
    seconds.now += 0.1
    assert watch.look() == [LIVE_INDEX]
    shop.open_index()
    assert watch.look() == [LIVE_INDEX]
    shop.index.say_caught_up(seconds.now)
    assert watch.look() == []


def test_what_the_clock_said_before_the_machine_started_anew_counts_for_nothing(shop, watch, seconds):
    """The monotonic clock begins again with the machine, the files do not."""
    shop.index.say_caught_up(seconds.now + 10**6)
    assert watch.look() == []
    seconds.now += BEHIND + 0.1
    assert watch.look() == [LIVE_INDEX]


def test_without_an_index_it_is_missing_after_a_while(tmp_path, seconds, shop):
    """A service whose updater never came up says so."""
    watch = LiveWatch(tmp_path / "nowhere", shop.store.events, BEHIND, seconds)
    assert watch.look() == []
    seconds.now += BEHIND + 0.1
    assert watch.look() == [LIVE_INDEX]


def test_what_is_held_is_measured_as_it_grows(shop, watch):
    """The numbers are those of the files as they are now, not as they were when they were first looked at."""
    watch.look()
    shop.post(*(view(customer, product) for customer in range(3) for product in (customer, 5)))
    watch.look()
    assert (LIVE_POSITION._value.get(), LIVE_LAG._value.get()) == (1, 6)
    shop.follow()
    watch.look()
    found = [gauge._value.get() for gauge in (LIVE_POSITION, LIVE_LAG, LIVE_SESSIONS, LIVE_PRODUCTS)]
    assert found == [7, 0, 3, 4]
