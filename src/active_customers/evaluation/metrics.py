"""Figures of merit for lists with one right answer each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from active_customers.core.identifiers import NO_NUMBER

DRAWS = 1_000
CONFIDENCE = 0.95

Interval = tuple[float, float]


def gains(ranks: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Return what each prediction earns: `hr` (was it there), `mrr` (1 / rank), `ndcg` (1 / log2(1 + rank)).

    `ranks` count from 1; 0 is a miss and earns nothing.

    >>> {name: earned.tolist() for name, earned in gains(np.array([1, 0, 3])).items()}
    {'hr': [1.0, 0.0, 1.0], 'mrr': [1.0, 0.0, 0.3333333333333333], 'ndcg': [1.0, 0.0, 0.5]}
    """
    hit = ranks > 0
    shown = np.maximum(ranks, 1)
    return {
        "hr": hit.astype(np.float64),
        "mrr": np.where(hit, 1.0 / shown, 0.0),
        "ndcg": np.where(hit, 1.0 / np.log2(1.0 + shown), 0.0),
    }


def coverage(products: NDArray[np.uint32], n_products: int) -> float:
    """Return the share of the catalogue that stands in any list; places without a product hold `NO_NUMBER`."""
    return len(np.unique(products[products != NO_NUMBER])) / n_products


def intervals(
    earned: dict[str, NDArray[np.float64]], sessions: NDArray[np.int64], rng: np.random.Generator
) -> dict[str, Interval]:
    """Return 95 % percentile intervals of the means by bootstrap over whole sessions.

    Predictions of one session are not independent, so sessions are drawn, not predictions (a cluster bootstrap).
    `sessions` [n] says which session each prediction belongs to.
    """
    _, codes = np.unique(sessions, return_inverse=True)
    counts = np.bincount(codes)
    columns = [counts, *(np.bincount(codes, values) for values in earned.values())]
    totals = np.stack(columns, axis=1).astype(np.float64)
    means = np.empty((DRAWS, len(earned)))
    for draw in range(DRAWS):
        drawn = totals[rng.integers(0, len(counts), len(counts))].sum(axis=0)
        means[draw] = drawn[1:] / drawn[0]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, (tail, 1 - tail), axis=0)
    return {name: (float(low[i]), float(high[i])) for i, name in enumerate(earned)}
