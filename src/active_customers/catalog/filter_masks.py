"""Whether filters hold, for many products at once: what `filters.holds` says of each."""

from __future__ import annotations

from functools import reduce

import numpy as np
from numpy.typing import NDArray

from active_customers.catalog.columns import Columns, ProductColumns, Rows
from active_customers.catalog.filters import ORDERS, AllOf, AnyOf, Compare, Filter, Not
from active_customers.core.clock import DAY
from active_customers.kernels.product_words import have_one

Mask = NDArray[np.bool_]


class Masks:
    """Answers filters over the columns as they are now; `now` is the time in microseconds that ages go by."""

    def __init__(self, kept: ProductColumns, now: int) -> None:
        self._kept = kept
        self._columns: Columns = kept.columns
        self._now = now

    def of(self, asked: Filter, rows: Rows) -> Mask:
        """Return for each of some products, by number below the columns' n, whether a filter holds."""
        match asked:
            case Not(part):
                return ~self.of(part, rows)
            case AllOf(parts):
                return reduce(np.logical_and, (self.of(part, rows) for part in parts))
            case AnyOf(parts):
                return reduce(np.logical_or, (self.of(part, rows) for part in parts))
            case Compare(_, _, _):
                return self._compared(asked, rows)

    def _compared(self, asked: Compare, rows: Rows) -> Mask:
        field = asked.field
        if field in self._columns.codes:
            return _among(self._columns.codes[field][rows], self._kept.answering(asked))
        if field in self._columns.numbers or field == "age":
            return self._of_number(asked, rows)
        if field == "product_id":
            return np.isin(rows, self._kept.numbers_of(asked.values))
        return have_one(self._columns.words, rows, np.array(self._kept.answering(asked), np.uint32))

    def _of_number(self, asked: Compare, rows: Rows) -> Mask:
        numbers = self._columns.numbers["released" if asked.field == "age" else asked.field][rows]
        if asked.field == "age":
            numbers = (self._now - numbers) / DAY
        if asked.operator == "=":
            return np.isin(numbers, asked.values)
        compared: Mask = ORDERS[asked.operator](numbers, asked.values[0])
        return compared


def _among(codes: NDArray[np.uint32], wanted: list[int]) -> Mask:
    if len(wanted) == 1:
        return codes == wanted[0]
    return np.isin(codes, wanted) if wanted else np.zeros(len(codes), np.bool_)
