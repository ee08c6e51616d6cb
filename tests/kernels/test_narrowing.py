"""Narrow answers: everything but the members is closed, and the members fill the answer up."""

from __future__ import annotations

import numpy as np

from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.product import Standing
from active_customers.core.recommendation import ReasonCode
from active_customers.kernels.answer_rows import Rows
from active_customers.kernels.narrowing import add_members, narrowed
from active_customers.kernels.top_n import Wanted


def numbers(*values: int) -> np.ndarray:
    return np.array(values, np.uint32)


def rows_of(*products: int) -> Rows:
    rows = Rows(np.zeros(8, np.int64), np.zeros(8), np.zeros(8, np.int64), np.zeros(8, np.int64))
    rows.products[: len(products)], rows.scores[: len(products)] = products, 0.5
    return rows


def test_all_but_the_members_are_closed_and_members_stand_as_they_did():
    standing = np.array([Standing.OPEN, Standing.SOLD_OUT, Standing.OPEN], np.uint8)
    only = narrowed(standing, numbers(1, 2, 4), 6)
    hidden = Standing.HIDDEN
    assert only.tolist() == [hidden, Standing.SOLD_OUT, Standing.OPEN, hidden, Standing.OPEN, hidden]


def test_members_fill_up_by_popularity_then_the_newest_and_none_twice():
    rows, standing = rows_of(3), np.array([1, 1, 1, 1, 1, Standing.SOLD_OUT], np.uint8)
    members, popularity = numbers(0, 1, 2, 3, 4, 5, 6), np.array([0, 2, 5, 9, 0, 9, 9], np.float32)
    size = add_members(rows, 1, members, popularity, Wanted(5, numbers(6), standing))
    assert rows.products[:size].tolist() == [3, 2, 1, 4, 0]
    assert rows.reasons[1:size].tolist() == [ReasonCode.SEEN] * 2 + [ReasonCode.CATALOG] * 2
    assert set(rows.evidence[1:size].tolist()) == {NO_NUMBER}
    assert np.all(np.diff(rows.scores[:size]) < 0)


def test_no_more_are_added_than_are_wanted():
    rows = rows_of()
    size = add_members(rows, 0, numbers(0, 1, 2), np.zeros(3, np.float32), Wanted(2, numbers(), numbers().astype("u1")))
    assert rows.products[:size].tolist() == [2, 1]
    assert rows.scores[0] == 1.0
