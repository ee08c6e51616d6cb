"""What arms have in common, learned from all of them: the prior that each is judged from (empirical Bayes).

Arms of a shop are alike: click rates lie within a factor of two or three of each other. Whoever starts each of twenty
arms from nothing pays for learning that twenty times. So the spread of the arms is estimated from their results
(Efron and Morris, 1975; for bandits Basu et al., "No regrets for learning the prior in bandits", 2021), as the number
of observations that the prior counts for: few where arms differ much, many where they hardly do. It is taken from a
grid, each value weighed by its likelihood, so that equal arms, a single one, arms without data or without a single
reward need no case of their own: the grid bounds what can be concluded.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln

Floats = NDArray[np.float64]

STRENGTHS: Floats = np.exp2(np.arange(6.0, 13.0))
"""How many observations a prior may count for: 64 to 4,096. With a rate of 3 % arms then differ by 70 % down to 9 %."""


MIDDLE = 512.0
"""The middle of the grid, where the strength itself would depend on what it is needed for."""


class Prior(NamedTuple):
    """The `mean` of arms, and how many observations it counts for."""

    mean: float
    strength: float


def prior_of_rates(counts: Floats, sums: Floats) -> Prior:
    """Return the prior of arms with rewards between 0 and 1, given how often each was observed and what it earned.

    The likelihood is the beta-binomial one. Without any observation the mean is one half.
    """
    means = common_means(counts, sums)
    floor = 0.5 / (counts.sum() + 1.0)
    means = np.clip(means, floor, 1.0 - floor)
    wins, misses = means * STRENGTHS, (1.0 - means) * STRENGTHS
    likelihoods = betaln(wins[:, None] + sums, misses[:, None] + counts - sums) - betaln(wins, misses)[:, None]
    return _likeliest(means, likelihoods.sum(axis=1))


def prior_of_means(counts: Floats, sums: Floats, variance: float) -> Prior:
    """Return the prior of arms whose rewards have this variance, by the normal likelihood of their averages."""
    means = common_means(counts, sums)
    tried = counts > 0.0
    spread = variance * (1.0 / counts[tried] + 1.0 / STRENGTHS[:, None])
    away = sums[tried] / counts[tried] - means[:, None]
    return _likeliest(means, -0.5 * (np.log(spread) + away**2 / spread).sum(axis=1))


def strength_of_weights(known: Floats, away: Floats, variance: float) -> float:
    """Return how many observations the weights in common count for in those of an arm.

    `known` are the eigenvalues of what was observed of each arm, in units of one usual observation, and `away` its
    moments beyond what the weights in common explain, along the eigenvectors; rows are arms.
    """
    strengths = STRENGTHS[:, None, None]
    likelihoods = np.log(strengths / (known + strengths)) + away**2 / (variance * (known + strengths))
    return _likeliest(STRENGTHS, 0.5 * likelihoods.sum(axis=(1, 2))).strength


def common_means(counts: Floats, sums: Floats) -> Floats:
    """Return the likeliest mean of all arms for each strength: each arm weighs by how much is known of it.

    Not the mean of all observations: most of these are of the arm that is best.
    """
    weights = counts / (counts + STRENGTHS[:, None])
    averages = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0.0)
    total = weights.sum(axis=1)
    return np.asarray(np.divide(weights @ averages, total, out=np.full(len(STRENGTHS), 0.5), where=total > 0.0))


def _likeliest(means: Floats, likelihoods: Floats) -> Prior:
    """Return mean and strength averaged over the grid, strengths in logarithms."""
    weights = np.exp(likelihoods - likelihoods.max())
    weights /= weights.sum()
    return Prior(float(weights @ means), float(np.exp(weights @ np.log(STRENGTHS))))
