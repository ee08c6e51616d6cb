"""Files put together into sessions."""

from dataclasses import replace

import numpy as np
import pytest

from active_customers.core.errors import InvalidValueError
from active_customers.core.event import EventType
from active_customers.evaluation.interactions import Interactions, joined


def rows(sessions, products, times=None, kinds=None):
    given = None if times is None else np.array(times, np.int64)
    types = np.full(len(products), EventType.VIEW, np.uint8) if kinds is None else np.array(kinds, np.uint8)
    return Interactions(np.array(sessions), np.array(products), types, given)


def test_without_times_each_file_has_sessions_of_its_own():
    together = joined([rows([0, 0, 1], [5, 6, 7]), rows([0, 1, 1], [8, 9, 5])])
    assert together.codes.tolist() == [0, 0, 1, 2, 3, 3]
    assert together.session_ids.tolist() == [0, 1, 0, 1]


def test_without_times_the_order_of_rows_is_the_order_of_time():
    together = joined([rows([7, 7, 3, 3], [1, 2, 3, 4]), rows([1], [5])])
    assert (np.diff(together.times) > 0).all()


def test_with_times_a_session_may_go_on_in_the_next_file():
    together = joined([rows(["a", "b"], [1, 2], [10, 20]), rows(["b", "c"], [3, 4], [30, 40])])
    assert together.codes.tolist() == [0, 1, 1, 2]
    assert together.times.tolist() == [10, 20, 30, 40]


def test_files_with_and_without_times_do_not_mix():
    with pytest.raises(InvalidValueError, match="times"):
        joined([rows([1], [1], [5]), rows([1], [1])])


def test_only_acts_of_taste_are_kept():
    kinds = [EventType.VIEW, EventType.SEARCH, EventType.PURCHASE, EventType.DECISION]
    assert joined([rows([1] * 4, [1, 2, 3, 4], [1, 2, 3, 4], kinds)]).products.tolist() == [1, 3]


def test_integer_and_string_ids_meet_as_strings():
    assert joined([rows([1], [5], [1]), rows([2], ["x"], [2])]).products.tolist() == ["5", "x"]


def test_customers_are_known_where_all_files_name_them():
    named = replace(rows(["x", "y"], [1, 2], [1, 2]), customers=np.array(["a", "a"]))
    other = rows(["z"], [3], [3])
    assert joined([named, named]).customers.tolist() == ["a"] * 4
    assert joined([named, other]).customers is None
    assert joined([named]).customer_of_sessions().tolist() == [0, 0]
    assert joined([named, other]).customer_of_sessions().tolist() == [0, 1, 2]
