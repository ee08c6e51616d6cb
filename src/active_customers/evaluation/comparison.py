"""Whether one model is better than another, on the same questions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.evaluation.metrics import CONFIDENCE, Earned, Interval, batches, cluster_totals, drawn_means

DRAWS = 10_000
DETECTED = 2.8
"""Standard errors that a true difference must have to be found in 80 % of such evaluations, at 95 % confidence."""


class Difference(NamedTuple):
    """One measure of one model less that of the other.

    `interval` is the 95 % bootstrap interval; `p` that of a two-sided sign-flip test, times the comparisons by Holm;
    `smallest_detectable` the true difference that such a test part finds four times in five.
    """

    mean: float
    interval: Interval
    p: float
    smallest_detectable: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of 0."""
        low, high = self.interval
        return low > 0 or high < 0

    def as_dict(self) -> dict[str, Any]:
        """Return the difference for JSON."""
        return {
            "difference": self.mean,
            "interval": list(self.interval),
            "excludes_zero": self.excludes_zero,
            "p_holm": self.p,
            "smallest_detectable": self.smallest_detectable,
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """A model against the one that was named: differences by measure, and in how many folds the sign is the same."""

    model: str
    against: str
    differences: Mapping[str, Difference]
    folds_agreeing: Mapping[str, int]

    def as_dict(self) -> dict[str, Any]:
        """Return the comparison for JSON."""
        return {
            "model": self.model,
            "against": self.against,
            **{
                name: {**difference.as_dict(), "folds_agreeing": self.folds_agreeing[name]}
                for name, difference in self.differences.items()
            },
        }


def differences(
    ours: Earned, theirs: Earned, clusters: NDArray[np.int64], rng: np.random.Generator
) -> dict[str, Difference]:
    """Return by measure how much more the first earned on the same questions, with intervals over whole clusters.

    The clusters drawn are the same for both (a paired bootstrap). p is not corrected yet: see `holm`.
    """
    apart = {name: values - theirs[name] for name, values in ours.items()}
    totals = cluster_totals(apart, clusters)
    means = drawn_means(totals, DRAWS, rng)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, (tail, 1 - tail), axis=0)
    p = _sign_flip(totals[:, 1:], rng)
    found = totals[:, 1:].sum(axis=0) / totals[:, 0].sum()
    spread = DETECTED * means.std(axis=0)
    return {
        name: Difference(float(found[i]), (float(low[i]), float(high[i])), float(p[i]), float(spread[i]))
        for i, name in enumerate(apart)
    }


def holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return p values corrected for their number (Holm, 1979).

    >>> holm(np.array([0.01, 0.04, 0.03])).tolist()
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p)
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return corrected


def corrected(comparisons: list[Comparison]) -> list[Comparison]:
    """Return the comparisons with p values corrected over all their models, measure by measure."""
    if not comparisons:
        return []
    by_measure = {
        name: holm(np.array([comparison.differences[name].p for comparison in comparisons]))
        for name in comparisons[0].differences
    }
    return [
        Comparison(
            comparison.model,
            comparison.against,
            {name: found._replace(p=float(by_measure[name][i])) for name, found in comparison.differences.items()},
            comparison.folds_agreeing,
        )
        for i, comparison in enumerate(comparisons)
    ]


def _sign_flip(sums: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return how often clusters with signs by chance differ as much, in all [measures]; at least 1 / (draws + 1)."""
    found = np.abs(sums.sum(axis=0)) - 1e-9  # a draw that equals it but for rounding counts
    reached = np.zeros(sums.shape[1])
    for count in batches(DRAWS, len(sums)):
        signs = rng.integers(0, 2, (count, len(sums))) * 2.0 - 1
        reached += (np.abs(signs @ sums) >= found).sum(axis=0)
    return (reached + 1) / (DRAWS + 1)
