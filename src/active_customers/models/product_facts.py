"""What the history says of each product by itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from active_customers.models.base import SessionLog

_RECENT, _NEWEST = 0.07, 0.01
"""Shares of the sessions, the newest."""

FACTS = ("acts", "trend", "newest acts", "age", "idle", "exits")


def product_facts(log: SessionLog) -> NDArray[np.float32]:
    """Return float32[n_products, len(FACTS)].

    Acts as ln(1 + n), their trend as ln(recent share / share expected) shrunken by one act, those of the very newest
    sessions as ln(1 + n); the share of the sessions since the first one with the product, and since the last; the share
    of its acts that ended a session. All are relative to the log, so that a longer one gives values of the same scale.
    """
    n, n_sessions = log.n_products, max(log.n_sessions, 1)
    sessions = np.repeat(np.arange(log.n_sessions), np.diff(log.offsets))

    def counted(share: float) -> NDArray[np.int64]:
        return np.bincount(log.products[sessions >= round(log.n_sessions * (1 - share))], minlength=n)

    acts, recent, newest = counted(1.0), counted(_RECENT), counted(_NEWEST)
    first = np.full(n, log.n_sessions)
    np.minimum.at(first, log.products, sessions)
    last = np.zeros(n, np.int64)
    np.maximum.at(last, log.products, sessions)
    exits = np.bincount(log.products[log.offsets[1:] - 1], minlength=n)
    columns = (
        np.log1p(acts),
        np.log((recent + 1) / (acts * _RECENT + 1)),
        np.log1p(newest),
        1 - first / n_sessions,
        1 - last / n_sessions,
        exits / np.maximum(acts, 1),
    )
    return np.stack(columns, axis=1).astype(np.float32)
