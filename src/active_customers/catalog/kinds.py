"""Which products are of one leaf category, or variants of one product: found again when the table changes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from active_customers.catalog.table import TableReader
from active_customers.core.identifiers import NO_NUMBER
from active_customers.kernels.handover import hand_over
from active_customers.kernels.substitutes import Kinds

_Numbers = NDArray[np.uint32]


class ProductKinds:
    """The table and the kinds in it, as kernels take them. One thread may `follow` while another asks."""

    def __init__(self, table: TableReader) -> None:
        self._table = table
        self._categories = self._groups = np.empty(0, np.uint32)
        self._kinds = Kinds(*_by(self._categories), *_by(self._groups))
        self._handed: tuple[Any, Any, Any] = (None, None, None)

    def follow(self) -> None:
        """Group the products anew where any has another category or variant group than it had."""
        columns = self._table.columns()
        known = columns.standing > 0
        categories, groups = (
            np.where(known, column, np.uint32(NO_NUMBER)) for column in (columns.categories, columns.groups)
        )
        if not np.array_equal(categories, self._categories) or not np.array_equal(groups, self._groups):
            self._categories, self._groups = categories, groups
            self._kinds = Kinds(*_by(categories), *_by(groups))

    @property
    def n_products(self) -> int:
        """How many products the table has rows for."""
        return len(self._table.columns().standing)

    def handed(self) -> Any:
        """Return `TableColumns` and `Kinds`, handed over (see `kernels.handover`)."""
        columns, kinds = self._table.columns(), self._kinds
        if self._handed[0] is not columns or self._handed[1] is not kinds:
            self._handed = columns, kinds, hand_over((columns, kinds))
        return self._handed[2]


def _by(numbers: _Numbers) -> tuple[NDArray[np.int64], _Numbers]:
    """Return where the products of each number begin, and the products."""
    rows = np.flatnonzero(numbers != NO_NUMBER)
    counts = np.bincount(numbers[rows].astype(np.int64))
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    ordered = rows[np.argsort(numbers[rows], kind="stable")].astype(np.uint32)
    for array in (offsets, ordered):
        array.flags.writeable = False
    return offsets, ordered
