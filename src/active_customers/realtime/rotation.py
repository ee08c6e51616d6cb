"""Rotation: what a customer was shown again and again, and did not act on, makes room for something else."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from active_customers.core.config import Config
from active_customers.core.session import H_VERSION, LAYOUT_VERSION, SHOWN_DAYS, State
from active_customers.kernels.answer_rows import Rows
from active_customers.kernels.shown import shown_counts, shown_too_often
from active_customers.kernels.state_sections import Numbers
from active_customers.models.base import NO_PRODUCTS
from active_customers.models.kernel_arguments import Prepared


class RotationConfig(Config):
    """When a product that a customer does not act on is no longer shown to them; it takes impression events."""

    after: Annotated[int, Field(ge=0, le=100)] = 5
    """Impressions without an act of the customer on the product, after which it is not in their answers; 0 switches
    rotation off."""
    forget_days: Annotated[int, Field(ge=1, le=SHOWN_DAYS)] = 7
    """Days for which an impression counts: today (UTC) and those before."""


class Rotation:
    """Tells by a customer's state what is not to be shown to them for a while; it only reads."""

    def __init__(self, config: RotationConfig | None = None) -> None:
        self._config = config or RotationConfig()
        self._too_often = Prepared(shown_too_often)
        self._counts = Prepared(shown_counts)

    def resting(self, state: State | None, now: int) -> Numbers:
        """Return the products that were shown too often, the least shown first; of most customers none."""
        if state is None or state.item(H_VERSION) == LAYOUT_VERSION or not self._config.after:
            return NO_PRODUCTS
        return self._too_often(state, now, self._config.after, self._config.forget_days)

    def rehearse(self, state: State) -> None:
        """Ask of a state what no answer asked yet, so that none waits for what is loaded on its first use."""
        self._too_often(state, 0, 1, 1)
        self.times(state, 0, 0)

    def times(self, state: State, product: int, now: int) -> int:
        """Return how often a product was shown since the customer last acted on it."""
        products, times = self._counts(state, now, self._config.forget_days)
        return int(np.sum(times[products == product]))


def copied(rows: Rows, size: int) -> Rows:
    """Return the first rows as arrays of their own."""
    return Rows._make(column[:size].copy() for column in rows)


def only_resting(found: Rows, resting: Numbers) -> Rows:
    """Return the rows of products that are `resting`, in the order of `resting`."""
    row_of = {product: row for row, product in enumerate(found.products.tolist())}
    chosen = np.array([row_of[product] for product in resting.tolist() if product in row_of], np.int64)
    return Rows._make(column[chosen] for column in found)
