"""Whether filters hold, for many products at once: what `filters.holds` says of each."""

from __future__ import annotations

from functools import reduce

import numpy as np
from numpy.typing import NDArray

from active_customers.catalog.columns import Columns, ProductColumns, Rows
from active_customers.catalog.filters import ORDERS, AllOf, AnyOf, Compare, Filter, Not, age_in_days
from active_customers.kernels.product_words import have_marked, have_one

Mask = NDArray[np.bool_]

_FEW = 8
"""Values that are looked for one by one: sorting takes longer."""


class Masks:
    """Answers filters of some products, by ascending numbers below the columns' n, as the columns are now.

    `now` is the time in microseconds that ages go by.
    """

    def __init__(self, kept: ProductColumns, rows: Rows, now: int) -> None:
        self._kept = kept
        self._columns: Columns = kept.columns
        self._rows = rows
        is_run = len(rows) > 0 and rows[-1] - rows[0] == len(rows) - 1
        self._at = slice(int(rows[0]), int(rows[-1]) + 1) if is_run else rows  # a slice copies nothing
        self._now = now

    def of(self, asked: Filter) -> Mask:
        """Return for each of the products whether a filter holds."""
        match asked:
            case Not(part):
                return ~self.of(part)
            case AllOf(parts):
                return reduce(np.logical_and, map(self.of, parts))
            case AnyOf(parts):
                return reduce(np.logical_or, map(self.of, parts))
            case Compare(_, _, _):
                return self._compared(asked)

    def _compared(self, asked: Compare) -> Mask:
        field = asked.field
        if field in self._columns.codes:
            return _among(self._columns.codes[field][self._at], self._columns.answering(asked))
        if field in self._columns.numbers or field == "age":
            return self._of_number(asked)
        if field == "product_id":
            return _are_among(self._kept.numbers_of(asked), self._rows)
        return self._with_word(asked)

    def _with_word(self, asked: Compare) -> Mask:
        words, wanted = self._columns.words, self._columns.answering(asked)
        if len(wanted) <= _FEW:
            found: Mask = have_one(words, self._rows, wanted)
            return found
        is_wanted = np.zeros(int(wanted[-1]) + 1, np.bool_)
        is_wanted[wanted] = True
        marked: Mask = have_marked(words, self._rows, is_wanted)
        return marked

    def _of_number(self, asked: Compare) -> Mask:
        numbers = self._columns.numbers["released" if asked.field == "age" else asked.field][self._at]
        if asked.field == "age":
            numbers = age_in_days(numbers, self._now)
        if asked.operator == "=":
            return np.isin(numbers, asked.values)
        compared: Mask = ORDERS[asked.operator](numbers, asked.values[0])
        return compared


def _are_among(numbers: NDArray[np.int64], rows: Rows) -> Mask:
    """Tell of each row whether it is one of the numbers, which are ascending."""
    at = np.searchsorted(numbers, rows)
    among: Mask = np.append(numbers, -1)[at] == rows
    return among


def _among(codes: NDArray[np.uint32], wanted: NDArray[np.uint32]) -> Mask:
    if len(wanted) > _FEW:
        return np.isin(codes, wanted)
    found = np.zeros(len(codes), np.bool_)
    for code in wanted:
        found |= codes == code
    return found
