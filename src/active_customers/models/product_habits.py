"""How customers come back to each product."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from active_customers.core.clock import DAY
from active_customers.models.base import SessionLog

HABITS = ("comes again", "days between")

_SHRINKAGE = 5.0
"""Customers by which a product's share is drawn to that of all."""


def product_habits(log: SessionLog) -> NDArray[np.float32]:
    """Return float32[n_products, len(HABITS)].

    The share of a product's customers who acted on it in two sessions or more, drawn to the share of all products, and
    ln(1 + mean days) between such sessions; 0 where there are none.
    """
    n, sessions = log.n_products, np.repeat(np.arange(log.n_sessions), np.diff(log.offsets))
    customers = log.customers[sessions].astype(np.int64)
    order = np.lexsort((sessions, log.products, customers))
    customer, product, session = customers[order], log.products[order], sessions[order]
    same_pair = np.zeros(len(order), bool)
    same_pair[1:] = (customer[1:] == customer[:-1]) & (product[1:] == product[:-1])
    again = same_pair.copy()
    again[1:] &= session[1:] != session[:-1]
    pairs = np.bincount(product[~same_pair], minlength=n)
    pair = np.cumsum(~same_pair) - 1
    came_again = np.zeros(len(order) and pair[-1] + 1, bool)
    came_again[pair[again]] = True
    comers = np.bincount(product[~same_pair], came_again, minlength=n)
    share = comers.sum() / max(pairs.sum(), 1)
    times = log.times[order]
    days = np.zeros(len(order))
    days[1:] = (times[1:] - times[:-1]) / DAY
    returns = np.bincount(product[again], minlength=n)
    gaps = np.bincount(product[again], days[again], minlength=n) / np.maximum(returns, 1)
    columns = ((comers + _SHRINKAGE * share) / (pairs + _SHRINKAGE), np.log1p(np.maximum(gaps, 0)))
    return np.stack(columns, axis=1).astype(np.float32)
