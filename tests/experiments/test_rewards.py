"""Rewards find their choices, once, in time; choices are settled when their window is over."""

import numpy as np
import pytest

from active_customers.core.clock import MINUTE
from active_customers.experiments.rewards import Made, Pending, RewardsConfig

WINDOW = 30 * MINUTE


def choice(key, time=0, arm=0, context=None):
    return Made(key, arm, context, time)


@pytest.fixture
def pending():
    return Pending(RewardsConfig(window_minutes=30))


def settled(pending, now):
    return [(made.key, earned) for made, earned in pending.settle(now)]


def test_a_choice_without_a_reward_has_earned_nothing_when_its_window_is_over(pending):
    pending.choose(choice(1))
    assert settled(pending, WINDOW - 1) == []
    assert settled(pending, WINDOW) == [(1, 0.0)]
    assert len(pending) == 0


def test_a_reward_may_come_after_other_choices(pending):
    pending.choose(choice(1, 0))
    pending.choose(choice(2, 5))
    pending.reward(1, 1.0, 10)
    assert settled(pending, WINDOW + 5) == [(1, 1.0), (2, 0.0)]


def test_a_choice_that_was_rewarded_waits_like_all_others(pending):
    pending.choose(choice(1))
    assert pending.reward(1, 1.0, 1)
    assert settled(pending, 2) == []


@pytest.mark.parametrize(
    ("key", "value", "time", "why"),
    [
        (9, 1.0, 6, "unknown"),
        (1, 1.0, 5 + WINDOW, "late"),
        (1, 1.0, 4, "before"),
        (1, float("nan"), 6, "no_number"),
    ],
)
def test_a_reward_that_belongs_to_no_choice_is_ignored_and_counted(pending, key, value, time, why):
    pending.choose(choice(1, 5))
    assert not pending.reward(key, value, time)
    assert pending.ignored == {why: 1}
    assert settled(pending, 5 + WINDOW) == [(1, 0.0)]


def test_a_reward_of_a_choice_that_was_settled_is_ignored(pending):
    pending.choose(choice(1))
    settled(pending, WINDOW)
    assert not pending.reward(1, 1.0, 5)
    assert pending.ignored == {"unknown": 1}


def test_each_choice_is_rewarded_once(pending):
    pending.choose(choice(1))
    assert [pending.reward(1, 1.0, 1), pending.reward(1, 1.0, 2)] == [True, False]
    assert pending.ignored == {"again": 1}
    assert settled(pending, WINDOW) == [(1, 1.0)]


def test_several_orders_add_up_where_the_settings_say_so():
    pending = Pending(RewardsConfig(times=2))
    pending.choose(choice(1))
    assert [pending.reward(1, value, 1) for value in (20.0, 30.0, 40.0)] == [True, True, False]
    assert settled(pending, WINDOW) == [(1, 50.0)]


def test_a_choice_that_is_told_twice_counts_once(pending):
    pending.choose(choice(1, 0, arm=1))
    pending.choose(choice(1, 7, arm=2))
    assert [made.arm for made, _ in pending.settle(2 * WINDOW)] == [1]
    assert pending.ignored == {"twice": 1}


def test_the_oldest_choice_is_settled_early_where_too_many_wait():
    pending = Pending(RewardsConfig(pending=2))
    pending.choose(choice(1))
    pending.reward(1, 1.0, 1)
    pending.choose(choice(2, 2))
    assert [(made.key, earned) for made, earned in pending.choose(choice(3, 3))] == [(1, 1.0)]
    assert pending.ignored == {"early": 1}


def test_a_clock_that_goes_back_keeps_no_choice_forever(pending):
    pending.choose(choice(1, 100))
    pending.choose(choice(2, 0))
    assert settled(pending, WINDOW) == []
    assert settled(pending, WINDOW + 100) == [(1, 0.0), (2, 0.0)]


@pytest.mark.parametrize("context", [None, np.array([[1.0, 0.5]], np.float32)])
def test_what_waits_is_restored_from_arrays(pending, context):
    for key in (1, 2):
        pending.choose(choice(key, key, arm=key, context=context))
    pending.reward(2, 0.5, 3)
    restored = Pending(RewardsConfig(window_minutes=30))
    restored.restore(pending.as_arrays())
    assert not restored.reward(2, 1.0, 4)
    assert restored.reward(1, 1.0, 4)
    found = list(restored.settle(WINDOW + 2))
    assert [(made.key, made.arm, made.time, earned) for made, earned in found] == [(1, 1, 1, 1.0), (2, 2, 2, 0.5)]
    contexts = [made.context for made, _ in found]
    assert contexts == [None, None] if context is None else np.array_equal(contexts, [context, context])
