"""What a cart lacks until its delivery is free, and products that would close the gap."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.core.session import CART_AGE, CustomerState, State
from active_customers.kernels.answer_rows import Rows
from active_customers.realtime.context_engine import ShopConfig


class Gap(NamedTuple):
    """From which value on delivery is free, what the cart is worth, and what it lacks; 0 where it lacks nothing."""

    threshold: float
    cart_value: float
    missing: float


class FreeDelivery:
    """Looks at carts by the prices of the moment: `prices_of` returns those of products, NaN where nobody told one."""

    def __init__(self, config: ShopConfig, prices_of: Callable[[NDArray[np.int64]], NDArray[np.float64]]) -> None:
        self._config = config
        self._prices_of = prices_of

    def gap(self, state: State, now: int) -> Gap | None:
        """Return what a customer's cart lacks; None for an empty one, and for one with a line of unknown price."""
        lines = CustomerState.of(state).cart
        lines = lines[lines[:, 2] >= now - CART_AGE]
        if not len(lines):
            return None
        value = float(np.sum(self._prices_of(lines[:, 0]) * lines[:, 1]))
        if np.isnan(value):
            return None
        threshold = self._config.free_delivery_from
        return Gap(threshold, round(value, 2), round(max(threshold - value, 0.0), 2))

    def prefer(self, rows: Rows, size: int, gap: Gap) -> None:
        """Multiply the scores of rows that would close a gap, and put the rows in order again."""
        if gap.missing <= 0 or size == 0:
            return
        scores = rows.scores[:size] * self.factors(rows.products[:size], gap)
        order = np.argsort(-scores, kind="stable")
        rows.scores[:size] = scores / max(float(scores.max()), 1.0)
        for column in rows:
            column[:size] = column[:size][order]

    def factors(self, products: NDArray[np.int64], gap: Gap) -> NDArray[np.float64]:
        """Return what the scores of products are multiplied by: more than 1 where one of them would close the gap."""
        if gap.missing <= 0:
            return np.ones(len(products))
        prices = self._prices_of(products)
        closes = (prices >= gap.missing) & (prices <= gap.missing * self._config.gap_reach)
        return np.where(closes, self._config.gap_factor, 1.0)
