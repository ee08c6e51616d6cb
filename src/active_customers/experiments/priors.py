"""What arms have in common, learned from all of them: the prior that each is judged from (empirical Bayes).

Arms of a shop are alike: their rates lie within a factor of two or three of each other. Whoever starts each of twenty
arms from nothing pays for learning that twenty times. So how far arms differ is estimated from what they earned (Efron
and Morris, 1975; for bandits Basu et al., "No regrets for learning the prior in bandits", 2021) and told as the number
of observations that the prior counts for: few where arms differ much, many where they hardly do. It is taken from a
grid, each value weighed by its likelihood. So equal arms, a single one, arms without data or without a single reward
need no case of their own: the grid bounds what can be concluded.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln

Floats = NDArray[np.float64]

SPREADS: Floats = np.array([0.5, 0.35, 0.25])
"""Standard deviations of the arms, as shares of their mean. Arms that differ by less lose little when they are taken to
differ by a quarter; a prior that holds them to be equal loses much when one of them is not."""

STRENGTHS: Floats = np.exp2(np.arange(6.0, 13.0))
"""Observations that weights in common may count for in those of an arm: 64 to 4,096."""

MIDDLE = 512.0
"""The middle of those, for what is needed before the strength is known."""

_MOST = 1e6


class Prior(NamedTuple):
    """The `mean` of arms, and how many observations it counts for."""

    mean: float
    strength: float


def prior_of_rates(counts: Floats, sums: Floats) -> Prior:
    """Return the prior of arms with rewards from 0 to 1, given how often each was observed and what it earned in all.

    The likelihood is the beta-binomial one. Without any observation the mean is one half.
    """
    floor = 0.5 / (counts.sum() + 1.0)
    mean = float(np.clip(_common_mean(counts, sums, MIDDLE), floor, 1.0 - floor))
    strengths = _strengths(mean, mean * (1.0 - mean))
    wins, misses = mean * strengths, (1.0 - mean) * strengths
    likelihoods = betaln(wins[:, None] + sums, misses[:, None] + counts - sums) - betaln(wins, misses)[:, None]
    return Prior(mean, _likeliest(strengths, likelihoods.sum(axis=1)))


def prior_of_means(counts: Floats, sums: Floats, variance: float) -> Prior:
    """Return the prior of arms whose rewards have this variance, by the normal likelihood of their averages."""
    mean, tried = _common_mean(counts, sums, MIDDLE), counts > 0.0
    strengths = _strengths(mean, variance)
    spread = variance * (1.0 / counts[tried] + 1.0 / strengths[:, None])
    away = sums[tried] / counts[tried] - mean
    return Prior(mean, _likeliest(strengths, -0.5 * (np.log(spread) + away**2 / spread).sum(axis=1)))


def strength_of_weights(known: Floats, away: Floats, variance: float) -> float:
    """Return how many observations the weights in common count for in those of an arm.

    `known` are the eigenvalues of what was observed of each arm, in units of one usual observation, and `away` its
    moments beyond what the weights in common explain, along the eigenvectors; rows are arms.
    """
    strengths = STRENGTHS[:, None, None]
    likelihoods = np.log(strengths / (known + strengths)) + away**2 / (variance * (known + strengths))
    return _likeliest(STRENGTHS, 0.5 * likelihoods.sum(axis=(1, 2)))


def _common_mean(counts: Floats, sums: Floats, strength: float) -> float:
    """Return the likeliest mean of all arms: each weighs by how much is known of it; one half where nothing is.

    Not the mean of all observations, since most of these are of the arm that is best.
    """
    tried = counts > 0.0
    if not tried.any():
        return 0.5
    weights = counts[tried] / (counts[tried] + strength)
    return float(weights @ (sums[tried] / counts[tried]) / weights.sum())


def _strengths(mean: float, variance: float) -> Floats:
    """Return how many observations a prior counts for, for each spread of the arms."""
    return np.minimum(variance / np.maximum((SPREADS * mean) ** 2, 1e-300), _MOST)


def _likeliest(strengths: Floats, likelihoods: Floats) -> float:
    """Return the strength averaged over the grid, in logarithms."""
    weights = np.exp(likelihoods - likelihoods.max())
    return float(np.exp(weights @ np.log(strengths) / weights.sum()))
