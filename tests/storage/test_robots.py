"""Who is taken for a robot, and who is not."""

from __future__ import annotations

import pytest
from tests.conftest import NOW

from active_customers.core.clock import HOUR, MINUTE, SECOND
from active_customers.core.event import EventType
from active_customers.storage import robots
from active_customers.storage.robots import RATE, TIRELESS, USER_AGENT, RobotConfig, RobotWatch

ROBOTS = [
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/120.0 Safari/537.36",
    "python-requests/2.31.0",
    "curl/8.5.0",
]
PEOPLE = [
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1.15 Version/17.2 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 13; CUBOT P80) AppleWebKit/537.36 Chrome/120.0 Mobile Safari/537.36",
    "",
    None,
    7,
]


def rules(watch, events, customer=0):
    return [watch.rule_for(customer, event) for event in events]


@pytest.mark.parametrize("agent", ROBOTS)
def test_a_user_agent_that_names_a_robot_is_one(make_event, agent):
    event = make_event("a", EventType.VIEW, "p", details={"metadata": {"user_agent": agent}})
    assert RobotWatch(RobotConfig()).rule_for(0, event) == USER_AGENT


@pytest.mark.parametrize("agent", PEOPLE)
def test_other_user_agents_are_peoples(make_event, agent):
    event = make_event("a", EventType.VIEW, "p", details={"metadata": {"user_agent": agent}})
    assert RobotWatch(RobotConfig()).rule_for(0, event) is None


def minute_of(make_event, minute, n):
    times = [NOW + minute * MINUTE + i * MINUTE // (n + 1) for i in range(n)]
    return [make_event("a", EventType.SEARCH, None, time) for time in times]


def test_a_rate_counts_when_it_goes_on_for_minutes(make_event):
    watch = RobotWatch(RobotConfig(events_per_minute=5, minutes=3))
    found = [rules(watch, minute_of(make_event, minute, 6))[-1] for minute in (0, 1, 2, 3)]
    assert found == [None, None, RATE, RATE]


@pytest.mark.parametrize("sizes", [[6, 6, 5, 6, 6], [6, 6, 0, 6, 6], [5] * 9])
def test_a_minute_that_is_not_too_fast_begins_anew(make_event, sizes):
    watch = RobotWatch(RobotConfig(events_per_minute=5, minutes=3))
    found = [rule for minute, n in enumerate(sizes) for rule in rules(watch, minute_of(make_event, minute, n))]
    assert set(found) == {None}


def looks(make_event, n, seconds, kind=EventType.VIEW):
    return [make_event("a", kind, f"p{i}", NOW + i * seconds * SECOND) for i in range(n)]


def test_looking_at_product_after_product_without_a_pause_is_tireless(make_event):
    watch = RobotWatch(RobotConfig(products_without_pause=10))
    assert rules(watch, looks(make_event, 10, 60)) == [None] * 9 + [TIRELESS]


def test_a_pause_a_large_order_and_one_product_again_and_again_are_a_persons(make_event):
    config = RobotConfig(products_without_pause=10)
    same = [make_event("a", EventType.VIEW, "p", NOW + i * SECOND) for i in range(30)]
    for events in (looks(make_event, 30, 61), looks(make_event, 30, 0, EventType.PURCHASE), same):
        assert set(rules(RobotWatch(config), events)) == {None}


def test_a_rule_that_is_switched_off_hits_nobody(make_event):
    watch = RobotWatch(RobotConfig(events_per_minute=0, minutes=1, products_without_pause=0, user_agents=()))
    details = {"metadata": {"user_agent": "Googlebot"}}
    events = [make_event("a", EventType.VIEW, f"p{i}", NOW, details=details) for i in range(900)]
    assert set(rules(watch, events)) == {None}


def test_customers_are_told_apart(make_event):
    watch = RobotWatch(RobotConfig(events_per_minute=5, minutes=1))
    assert [watch.rule_for(i % 2, event) for i, event in enumerate(minute_of(make_event, 0, 10))] == [None] * 10


def test_only_the_newest_customers_are_watched_when_there_are_too_many(make_event, monkeypatch):
    monkeypatch.setattr(robots, "_MOST_WATCHED", 3)
    watch = RobotWatch(RobotConfig())
    for customer in range(3):
        watch.rule_for(customer, make_event("a", EventType.VIEW, "p", NOW))
    watch.rule_for(3, make_event("a", EventType.VIEW, "p", NOW + HOUR))
    assert len(watch._watched) == 1


def test_impressions_are_no_acts_however_many_a_page_shows(make_event):
    watch = RobotWatch(RobotConfig(events_per_minute=5, minutes=1))
    shown = [make_event("a", EventType.IMPRESSION, f"p{i}", NOW + i) for i in range(100)]
    assert set(rules(watch, shown)) == {None}
