"""The regressions of a linear model, made from a log."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.core.clock import DAY
from active_customers.kernels.gram import Acts, Gram, first_acts, meeting_rows, no_meetings, thresholds
from active_customers.kernels.sessions import newest_rows
from active_customers.models.base import SessionLog
from active_customers.models.kernel_arguments import frozen

SMALLEST_WEIGHT = np.float32(1e-20)
"""What recency leaves of the oldest sessions, so that each pair of products that met has a weight."""


class Penalty(NamedTuple):
    """What holds the weights of the regressions small; see `LinearConfig`. `meetings` bounds the matrix."""

    share: float
    regularisation: float
    dropout: float
    meetings: int


def make_acts(log: SessionLog, session_length: int, half_life_days: float) -> Acts:
    """Return the newest acts of the sessions of two acts and more; sessions keep their numbers, some are empty."""
    lengths = np.diff(log.offsets)
    sessions = np.repeat(np.arange(log.n_sessions, dtype=np.uint32), lengths)
    is_recent = log.offsets[1:][sessions] - np.arange(len(sessions)) <= session_length
    kept = is_recent & (lengths[sessions] > 1)
    sessions, products = sessions[kept], frozen(log.products[kept])
    offsets = frozen(np.append(0, np.cumsum(np.bincount(sessions, minlength=log.n_sessions))))
    row_offsets, rows = newest_rows(offsets, products, log.n_products, max(len(products), 1))
    return Acts(
        offsets=offsets,
        products=products,
        sessions=sessions,
        is_first=first_acts(offsets, products, log.n_products),
        session_weights=_recency(log, half_life_days),
        row_offsets=row_offsets,
        rows=rows,
    )


def session_counts(acts: Acts, n_products: int) -> NDArray[np.float64]:
    """Return how many sessions hold each product, by their weights."""
    first = acts.is_first
    weights = acts.session_weights[acts.sessions[first]]
    return np.bincount(acts.products[first], weights, n_products).astype(np.float64)


def make_gram(acts: Acts, counts: NDArray[np.float64], penalty: Penalty) -> Gram:
    """Return the matrix that all regressions share, with what penalises weights on its diagonal.

    What is left out of it is added to the diagonal of both products, so that it stays positive definite.
    """
    rarity = np.maximum(counts, SMALLEST_WEIGHT) ** -0.5
    scratch = no_meetings(len(counts))
    limits = thresholds(acts, rarity, penalty.meetings, scratch)
    offsets, products, weights, left = meeting_rows(acts, rarity, limits, scratch)
    weights *= np.float32(penalty.share)
    seen = penalty.share * counts + (1.0 - penalty.share) * _times_followed(acts, len(counts))
    diagonal = seen / (1.0 - penalty.dropout) + penalty.share * left + penalty.regularisation
    return Gram(offsets, products, weights, diagonal)


def _recency(log: SessionLog, half_life_days: float) -> NDArray[np.float32]:
    """Return what each session counts."""
    if log.n_sessions == 0:
        return np.empty(0, np.float32)
    age_days = np.maximum(log.reference_time - log.times[log.offsets[1:] - 1], 0) / DAY
    return np.maximum((0.5 ** (age_days / half_life_days)).astype(np.float32), SMALLEST_WEIGHT)


def _times_followed(acts: Acts, n_products: int) -> NDArray[np.float64]:
    """Return how many acts on each product another act followed in the session, by the sessions' weights."""
    is_last = np.zeros(len(acts.products), np.bool_)
    is_last[acts.offsets[1:][np.diff(acts.offsets) > 0] - 1] = True
    weights = acts.session_weights[acts.sessions[~is_last]]
    return np.bincount(acts.products[~is_last], weights, n_products).astype(np.float64)
