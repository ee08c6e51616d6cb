"""What trees learn from shows nothing that a customer did later, and asks for nothing that is never shown."""

from dataclasses import replace

import numpy as np
import pytest
from tests.models.conftest import log_of

from active_customers.core.event import EventType
from active_customers.core.recommendation import Goal
from active_customers.models.ranker_questions import MOST_ACTS, Questions

VIEW, CART_ADD, PURCHASE = EventType.VIEW, EventType.CART_ADD, EventType.PURCHASE


def listed(asked):
    """Return (products shown, right answers) of all questions."""
    return [(asked.acts(place).products.tolist(), asked.answers(place).tolist()) for place in range(len(asked.rows))]


def visits_of_one(*visits):
    """Return the log of one customer's sessions, each a list of (time, product, event type); they may overlap."""
    log = log_of([[product for _, product, _ in visit] for visit in visits], 20)
    acts = [act for visit in visits for act in visit]
    return replace(
        log,
        times=np.array([time for time, _, _ in acts]),
        event_types=np.array([kind for _, _, kind in acts], np.uint8),
        customers=np.zeros(len(visits), np.uint32),
    )


def test_the_next_product_is_asked_for_after_each_act_of_the_later_sessions():
    log = log_of([[1, 2, 3], [4, 5, 6], [7]], 10)
    assert listed(Questions.of(log, 1, Goal.NEXT)) == [([4], [5]), ([4, 5], [6])]


@pytest.mark.parametrize(("goal", "kind"), [(Goal.CART, CART_ADD), (Goal.PURCHASE, PURCHASE)])
def test_a_visit_is_asked_until_the_last_act_that_the_goal_is_about(goal, kind):
    log = log_of([[1, 2, 3, 4]], 10, [[VIEW, kind, kind, VIEW]])
    assert listed(Questions.of(log, 0, goal)) == [([1], [2, 3]), ([1, 2], [3])]


@pytest.mark.parametrize("goal", [Goal.CART, Goal.PURCHASE])
def test_what_is_in_the_cart_or_bought_is_excluded_and_never_right(goal):
    log = log_of([[5, 1, 2, 3, 1, 4]], 10, [[VIEW, CART_ADD, PURCHASE, VIEW, PURCHASE, CART_ADD]])
    asked = Questions.of(log, 0, goal)
    last = len(asked.rows) - 1
    known = asked.acts(last)
    assert asked.excluded(last).tolist() == [1, 2]
    assert not np.isin(asked.answers(last), [1, 2]).any()
    assert known.products.tolist()[:4] == [5, 1, 2, 3]


def test_nothing_is_excluded_of_what_comes_next_or_is_bought_at_the_next_visit():
    log = visits_of_one([(0, 1, CART_ADD), (1, 1, PURCHASE)], [(10, 1, PURCHASE), (11, 2, VIEW)])
    assert Questions.of(log, 0, Goal.NEXT).excluded(0).tolist() == []
    asked = Questions.of(log, 0, Goal.RETURN)
    assert asked.excluded(0).tolist() == []
    assert listed(asked) == [([1, 1], [1])]


def test_the_next_visit_is_asked_for_before_it_with_the_customer_s_own_acts_alone():
    sessions = [[1, 2], [3], [4], [5, 6]]
    log = log_of(sessions, 10, [[PURCHASE, VIEW], [PURCHASE], [VIEW], [VIEW, PURCHASE]])
    log = replace(log, customers=np.array([7, 8, 8, 7], np.uint32))
    assert listed(Questions.of(log, 2, Goal.RETURN)) == [([1, 2], [6])]


def test_of_sessions_that_overlap_only_what_came_before_is_shown():
    """The earlier session goes on after the later one has begun, and ends first."""
    earlier = [(0, 1, VIEW), (10, 2, VIEW), (20, 3, VIEW), (30, 4, VIEW)]
    later = [(20, 5, VIEW), (25, 6, VIEW), (40, 7, PURCHASE)]
    asked = Questions.of(visits_of_one(earlier, later), 1, Goal.RETURN)
    assert listed(asked) == [([1, 2], [7])]
    assert (asked.acts(0).times < 20).all()


def test_of_two_sessions_the_one_that_began_later_is_a_return_even_if_it_ended_first():
    """Nothing was known of the customer when the other began."""
    within, around = [(10, 1, PURCHASE), (11, 2, VIEW)], [(0, 3, VIEW), (20, 4, PURCHASE)]
    assert listed(Questions.of(visits_of_one(within, around), 0, Goal.RETURN)) == [([3], [1])]


def test_the_newest_acts_of_a_long_history_are_shown():
    long = [(time, time % 20, VIEW) for time in range(MOST_ACTS + 5)]
    asked = Questions.of(visits_of_one(long, [(10_000, 1, PURCHASE)]), 1, Goal.RETURN)
    assert asked.acts(0).times.tolist() == list(range(5, MOST_ACTS + 5))
