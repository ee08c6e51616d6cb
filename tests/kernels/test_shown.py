"""How often a customer was shown what: counted by day, set back by an act, bounded, forgotten in time."""

from __future__ import annotations

import numpy as np
import pytest

from active_customers.core.clock import DAY, HOUR
from active_customers.core.event import EventType
from active_customers.core.session import (
    H_VERSION,
    LAYOUT_VERSION,
    MAX_WORDS,
    SESSION_WORDS,
    SHOWN_KEPT,
    SHOWN_WORDS,
    CustomerState,
    empty_state,
)
from active_customers.kernels.session_state import fold, merge
from active_customers.kernels.shown import shown_counts, shown_too_often

NOW = 20_000 * DAY + 12 * HOUR
SHOWN = EventType.IMPRESSION


def after(*acts, state=None):
    """Return the state after acts: (type, product, hours before now)."""
    rows = [(kind, product, NOW - hours * HOUR, 1, 0, place) for place, (kind, product, hours) in enumerate(acts, 1)]
    out = np.empty(MAX_WORDS, np.int64)
    length = fold(empty_state() if state is None else state, np.array(rows, np.int64).reshape(-1, 6), out)
    return out[:length].copy()


def counts(state, days=7, now=NOW):
    products, times = shown_counts(state, now, days)
    return {product: n for product, n in zip(products.tolist(), times.tolist(), strict=True) if n}


def test_each_impression_counts_for_its_product():
    assert counts(after((SHOWN, 4, 3), (SHOWN, 5, 2), (SHOWN, 4, 1))) == {4: 2, 5: 1}


@pytest.mark.parametrize(
    "act",
    [
        EventType.VIEW,
        EventType.CLICK,
        EventType.CART_ADD,
        EventType.CART_REMOVE,
        EventType.PURCHASE,
        EventType.WISHLIST_ADD,
        EventType.EMAIL_CLICK,
        EventType.PUSH_CLICK,
    ],
)
def test_an_act_on_the_product_sets_its_count_back_and_no_other(act):
    assert counts(after((SHOWN, 4, 3), (SHOWN, 5, 3), (act, 4, 2))) == {5: 1}


def test_after_an_act_counting_begins_anew():
    assert counts(after((SHOWN, 4, 3), (EventType.VIEW, 4, 2), (SHOWN, 4, 1))) == {4: 1}


def test_an_act_that_comes_late_leaves_what_was_shown_on_later_days():
    assert counts(after((SHOWN, 4, 60), (SHOWN, 4, 1), (EventType.VIEW, 4, 30))) == {4: 1}


def test_an_impression_that_comes_late_and_was_before_an_act_does_not_count():
    assert counts(after((EventType.VIEW, 4, 2), (SHOWN, 4, 3))) == {}


def test_an_impression_counts_for_as_many_days_as_are_asked_for():
    state = after((SHOWN, 4, 6 * 24), (SHOWN, 4, 24), (SHOWN, 5, 9 * 24))
    assert counts(state, days=7) == {4: 2}
    assert counts(state, days=6) == {4: 1}
    assert counts(state, days=15) == {4: 2, 5: 1}
    assert counts(state, days=7, now=NOW + DAY) == {4: 1}
    assert counts(state, days=15, now=NOW + 100 * DAY) == {}


def test_a_clock_behind_the_latest_impression_forgets_nothing():
    assert counts(after((SHOWN, 4, 0)), days=1, now=NOW - 3 * DAY) == {4: 1}


def test_so_many_products_are_kept_and_those_shown_longest_ago_go():
    state = after(*((SHOWN, product, 24 * 10 - product) for product in range(SHOWN_KEPT + 20)))
    assert sorted(counts(state, days=15)) == list(range(20, SHOWN_KEPT + 20))
    assert sorted(counts(after((SHOWN, 999, 24 * 14), state=state), days=15)) == list(range(20, SHOWN_KEPT + 20))


def test_what_was_shown_too_often_comes_least_shown_first():
    state = after(*[(SHOWN, 4, 3)] * 6, *[(SHOWN, 5, 2)] * 5, *[(SHOWN, 6, 1)] * 4)
    assert shown_too_often(state, NOW, 5, 7).tolist() == [5, 4]
    assert shown_too_often(state, NOW, 7, 7).tolist() == []


def test_a_merge_adds_what_both_were_shown_and_an_act_of_one_sets_back_the_other():
    mine = after((SHOWN, 4, 30), (SHOWN, 5, 30), (EventType.VIEW, 6, 1))
    theirs = after((SHOWN, 4, 2), (EventType.VIEW, 5, 1), (SHOWN, 6, 2))
    out = np.empty(MAX_WORDS, np.int64)
    assert counts(out[: merge(mine, theirs, (0, 0), out)].copy()) == {4: 2}


def test_a_merge_with_nobody_keeps_what_was_shown_after_an_act_of_the_same_day():
    state = after((EventType.VIEW, 4, 3), (SHOWN, 4, 2))
    out = np.empty(MAX_WORDS, np.int64)
    for pair in ((state, empty_state()), (empty_state(), state)):
        assert counts(out[: merge(*pair, (0, 0), out)].copy()) == {4: 1}


def test_a_state_from_before_impressions_were_counted_is_read_as_it_is():
    old = after((EventType.CART_ADD, 4, 3))
    assert old[H_VERSION] == LAYOUT_VERSION
    assert counts(old) == {}
    state = after((SHOWN, 9, 1), state=old)
    assert counts(state) == {9: 1}
    assert CustomerState.of(state).cart[:, 0].tolist() == [4]
    assert len(state) == len(old) + SESSION_WORDS + SHOWN_WORDS
