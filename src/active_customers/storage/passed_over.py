"""Whose acts teach nothing: who was erased, who wants no profile, and robots."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from active_customers.storage.base import Customers, Erasures


class PassedOver:
    """`Unlearned` over a store's erasures and customers."""

    def __init__(self, erasures: Erasures, customers: Customers) -> None:
        self._erasures = erasures
        self._customers = customers

    def customers(self) -> NDArray[np.uint32]:
        """Return their numbers, ascending."""
        return np.union1d(self._erasures.customers(), self._customers.passed_over()).astype(np.uint32)

    def count(self) -> int:
        """Return a number that is another one when `customers` is."""
        return self._erasures.count() + self._customers.changes()
