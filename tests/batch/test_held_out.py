"""What is held out: the newest sessions with nothing that the version in force has seen."""

from __future__ import annotations

import numpy as np
import pytest

from active_customers.batch.held_out import MOST_PER_SESSION, HoldOutConfig, hold_out, log_of
from active_customers.batch.history import History

SEEN = [(1, 0), (1, 1), (2, 2), (2, 3), (3, 4)]
UNSEEN = [(3, 5), (4, 6), (4, 7), (5, 8), (6, 9), (6, 10), (6, 11)]
"""(session, time) in order of position."""


def history_of(seen, unseen) -> History:
    rows = np.array([*seen, *unseen], np.int64).reshape(-1, 2)
    columns = {
        "session": rows[:, 0],
        "time": rows[:, 1],
        "product": np.arange(len(rows), dtype=np.uint32),
        "event_type": np.ones(len(rows), np.uint8),
        "customer": rows[:, 0].astype(np.uint32),
    }
    return History(columns, len(rows) + 1, [], len(unseen))


def held_sessions(history, **config) -> list[int]:
    held = hold_out(history, HoldOutConfig(**config))
    return np.unique(history.columns["session"][held.rows]).tolist()


def test_a_session_that_had_begun_before_is_not_asked_about():
    assert held_sessions(history_of(SEEN, UNSEEN), least_questions=100) == [4, 5, 6]


def test_the_sessions_that_ended_last_are_asked_about_until_there_are_enough_questions():
    history = history_of(SEEN, UNSEEN)
    assert held_sessions(history, least_questions=1) == [6]
    assert held_sessions(history, least_questions=3) == [4, 5, 6]


def test_sessions_are_newest_by_the_shops_own_time():
    """An old history that is imported now has new positions."""
    imported_last = [*UNSEEN, (7, 1), (7, 2)]
    assert held_sessions(history_of(SEEN, imported_last), least_questions=1) == [6]


@pytest.mark.parametrize(("share", "most", "n"), [(0.1, 1_000, 20), (0.1, 7, 7), (0.001, 1_000, 5)])
def test_the_share_counts_between_the_least_and_the_most(share, most, n):
    unseen = [(session, time) for session in range(50, 100) for time in (2 * session, 2 * session + 1)]
    history = history_of([(1, time) for time in range(100)], unseen)
    config = HoldOutConfig(window_share=share, least_questions=5, most_questions=most)
    assert len(hold_out(history, config).sessions) == n


def test_a_question_shows_the_first_acts_of_a_session_and_one_more_follows():
    held = hold_out(history_of(SEEN, UNSEEN), HoldOutConfig(least_questions=100))
    shown = list(zip(held.log.customers[held.sessions].tolist(), held.lengths.tolist(), strict=True))
    assert shown == [(4, 1), (6, 1), (6, 2)]


def test_one_endless_session_does_not_decide_alone():
    robot = [(9, time) for time in range(20, 500)]
    held = hold_out(history_of(SEEN * 200, [*UNSEEN, *robot]), HoldOutConfig(least_questions=100))
    assert np.bincount(held.sessions).max() == MOST_PER_SESSION
    assert held.lengths.max() == MOST_PER_SESSION


def test_the_recipe_learns_from_everything_else():
    history = history_of(SEEN, UNSEEN)
    held = hold_out(history, HoldOutConfig(least_questions=1))
    log = log_of(history, ~held.rows)
    assert sorted(np.unique(log.customers).tolist()) == [1, 2, 3, 4, 5]
    assert log.n_products == len(history)
    assert log.as_of == 8


def test_nothing_new_leaves_nothing_to_ask():
    held = hold_out(history_of(SEEN, []), HoldOutConfig())
    assert (len(held.sessions), held.rows.any()) == (0, False)


def test_half_of_the_history_is_held_out_at_most():
    """Else the recipe would have nothing to learn from."""
    unseen = [(session, time) for session in range(10) for time in (2 * session, 2 * session + 1)]
    history = history_of([], unseen)
    assert hold_out(history, HoldOutConfig(least_questions=1_000)).rows.sum() == len(history) // 2
