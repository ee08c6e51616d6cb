"""Whose acts teach nothing: who was erased, who wants no profile, and robots."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from active_customers.storage.base import Customers, Erasures

PAUSE = 10.0
"""Seconds between two looks at who else is passed over: with every one models are loaded again."""


class PassedOver:
    """`Unlearned` over a store's erasures, which count at once, and customers."""

    def __init__(self, erasures: Erasures, customers: Customers, timer: Callable[[], float] = time.monotonic) -> None:
        self._erasures = erasures
        self._customers = customers
        self._timer = timer
        self._changes = customers.changes()
        self._next_look = timer() + PAUSE

    def customers(self) -> NDArray[np.uint32]:
        """Return their numbers, ascending."""
        return np.union1d(self._erasures.customers(), self._customers.passed_over())

    def count(self) -> int:
        """Return a number that is another one when `customers` is."""
        if self._timer() >= self._next_look:
            self._next_look = self._timer() + PAUSE
            self._changes = self._customers.changes()
        return self._erasures.count() + self._changes
