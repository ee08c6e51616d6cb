"""Figures of merit for lists with one right answer each, or with several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from active_customers.core.identifiers import NO_NUMBER

DRAWS = 1_000
CONFIDENCE = 0.95
NUMBERS_AT_ONCE = 250_000

Interval = tuple[float, float]
Earned = Mapping[str, NDArray[np.float64]]
"""What each question earned [n], by measure."""


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


def first_ranks(hits: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the place of the first hit in each list of `hits` [n, k], from 1; 0 where there is none."""
    return np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, 0)


def set_gains(hits: NDArray[np.bool_], n_right: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Return what each list earns where several products are right.

    `hits` [n, k] marks the places that hold one, `n_right` [n] says how many there are (at least 1). `hr` and `mrr` see
    the first hit; `recall` is the share of what is right, `recall_capped` the share of what a list of k can hold of
    it, `precision` the share of the k places, filled or not; `ndcg` and `map` are 1 when all that fits is right and in
    front.

    >>> earned = set_gains(np.array([[False, True]]), np.array([4]))
    >>> [(name, earned[name].item()) for name in ("mrr", "recall", "recall_capped", "precision", "map")]
    [('mrr', 0.5), ('recall', 0.25), ('recall_capped', 0.5), ('precision', 0.5), ('map', 0.25)]
    """
    k = hits.shape[1]
    places = np.arange(1, k + 1)
    n_hits, fitting = hits.sum(axis=1), np.minimum(n_right, k)
    discounts = 1 / np.log2(1.0 + places)
    ideal = np.cumsum(discounts)[fitting - 1]
    first = gains(first_ranks(hits))
    return {
        "hr": first["hr"],
        "mrr": first["mrr"],
        "ndcg": (hits * discounts).sum(axis=1) / ideal,
        "recall": n_hits / n_right,
        "recall_capped": n_hits / fitting,
        "precision": n_hits / k,
        "map": (hits * np.cumsum(hits, axis=1) / places).sum(axis=1) / fitting,
    }


def coverage(products: NDArray[np.uint32], n_products: int) -> float:
    """Return the share of the catalogue that stands in any list; places without a product hold `NO_NUMBER`."""
    return len(np.unique(products[products != NO_NUMBER])) / n_products


def cluster_totals(earned: Earned, clusters: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return, for each cluster, how many questions it has and what they earned by measure: [clusters, 1 + measures]."""
    _, codes = np.unique(clusters, return_inverse=True)
    columns = [np.bincount(codes), *(np.bincount(codes, values) for values in earned.values())]
    return np.stack(columns, axis=1).astype(np.float64)


def drawn_means(totals: NDArray[np.float64], draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the means by measure [draws, measures] over as many clusters as there are, drawn with replacement.

    `totals` are those of `cluster_totals`.
    """
    n = len(totals)
    drawn = np.concatenate([totals[rng.integers(0, n, (count, n))].sum(axis=1) for count in batches(draws, n)])
    return np.asarray(drawn[:, 1:] / drawn[:, :1])


def batches(draws: int, width: int) -> Iterator[int]:
    """Yield how many draws of `width` numbers to make at once, so that they fit into memory, until all are made."""
    at_once = max(1, NUMBERS_AT_ONCE // max(width, 1))
    for start in range(0, draws, at_once):
        yield min(at_once, draws - start)


def intervals(earned: Earned, sessions: NDArray[np.int64], rng: np.random.Generator) -> dict[str, Interval]:
    """Return 95 % percentile intervals of the means by bootstrap over whole sessions.

    Predictions of one session are not independent, so sessions are drawn, not predictions (a cluster bootstrap).
    `sessions` [n] says which session, or which other cluster, each prediction belongs to.
    """
    means = drawn_means(cluster_totals(earned, sessions), DRAWS, rng)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, (tail, 1 - tail), axis=0)
    return {name: (float(low[i]), float(high[i])) for i, name in enumerate(earned)}
