"""What is asked of a log, against the same written out slowly."""

import numpy as np
import pytest
from tests.models.conftest import log_of

from active_customers.core.errors import InvalidValueError
from active_customers.evaluation.questions import checked_repeats, next_acts, rest_of_sessions, without_repeats


@pytest.fixture(params=range(5))
def sessions(request):
    rng = np.random.default_rng(request.param)
    return [rng.integers(0, 6, rng.integers(1, 9)).tolist() for _ in range(20)]


def written(questions):
    ends = zip(questions.target_offsets[:-1], questions.target_offsets[1:], strict=True)
    return {
        (int(session), int(length)): sorted(questions.targets[start:end].tolist())
        for session, length, (start, end) in zip(questions.sessions, questions.lengths, ends, strict=True)
    }


@pytest.mark.parametrize("only_new", [False, True])
def test_the_rest_of_a_session_is_its_distinct_products_after_what_is_shown(sessions, only_new):
    log = log_of(sessions, 6)
    everywhere = np.ones(len(log.products), bool)
    expected = {}
    for number, session in enumerate(sessions):
        for length in range(1, len(session)):
            right = set(session[length:]) - (set(session[:length]) if only_new else set())
            if right:
                expected[number, length] = sorted(right)
    assert written(rest_of_sessions(log, everywhere, everywhere, only_new=only_new)) == expected


@pytest.mark.parametrize("only_new", [False, True])
def test_before_marked_acts_the_marked_products_of_the_rest_are_asked(sessions, only_new):
    log = log_of(sessions, 6)
    marks = np.random.default_rng(9).random(len(log.products)) < 0.4
    by_session = [marks[start:end] for start, end in zip(log.offsets[:-1], log.offsets[1:], strict=True)]
    expected = {}
    for number, session in enumerate(sessions):
        for length in range(1, len(session)):
            right = {p for p, mark in zip(session[length:], by_session[number][length:], strict=True) if mark}
            right -= set(session[:length]) if only_new else set()
            if by_session[number][length] and right:
                expected[number, length] = sorted(right)
    assert written(rest_of_sessions(log, marks, marks, only_new=only_new)) == expected


@pytest.mark.parametrize("only_new", [False, True])
def test_the_next_act_is_asked_after_every_act_but_the_last(sessions, only_new):
    log = log_of(sessions, 6)
    expected = {
        (number, length): [session[length]]
        for number, session in enumerate(sessions)
        for length in range(1, len(session))
        if not (only_new and session[length] in session[:length])
    }
    assert written(next_acts(log, np.ones(len(log.products), bool), only_new=only_new)) == expected


def test_repeats_of_the_act_before_are_dropped_and_no_session_goes():
    log = without_repeats(log_of([[1, 1, 2, 2, 2, 1], [2, 2], [2], [1]], 3))
    assert log.products.tolist() == [1, 2, 1, 2, 2, 1]
    assert log.offsets.tolist() == [0, 3, 4, 5, 6]


def test_an_act_of_a_named_kind_is_no_repeat_of_one_of_another():
    log = log_of([[1, 1, 1, 1, 1]], 2)
    log.event_types[:] = [1, 3, 3, 1, 3]
    assert without_repeats(log, (3,)).event_types.tolist() == [1, 3, 3]
    assert without_repeats(log).event_types.tolist() == [1]


def test_an_unknown_way_with_repeats_is_refused():
    with pytest.raises(InvalidValueError, match="keep, drop, new"):
        checked_repeats("collapse")
