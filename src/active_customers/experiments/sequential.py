"""Tests that may be looked at at any time, as often as one likes, without more false alarms.

Normal mixtures: what is known after n customers is weighed against effects of every size, those that the planned
number of customers can just tell apart most. As asymptotic confidence sequences they need nothing of the values but a
finite variance (Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas: Time-uniform central limit theory and asymptotic
confidence sequences, 2024); in form they are the mixture SPRT (Robbins 1970; Johari, Pekelis, Walsh 2015).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from active_customers.experiments.distributions import chi_square_tail
from active_customers.experiments.estimators import Difference, Interval

TUNED_AT = 0.05
"""The level at which the interval is narrowest when the planned number of customers is there."""
_WEIGHT = -2 * math.log(TUNED_AT) + math.log(1 - 2 * math.log(TUNED_AT))
_PRIOR_CUSTOMERS = 1_000.0
"""About so many customers' worth of belief that the sample ratio is right."""


def sequential_interval(found: Difference, planned: int, level: float) -> Interval:
    """Return the interval that holds the truth at every look, but for a share `level` of experiments.

    `planned` is the number of customers, of both variants, at which it is to be narrowest: it holds before and after.
    """
    reach = width_factor(found.n / planned, level) * math.sqrt(found.cautious)
    return Interval(found.effect - reach, found.effect + reach)


def width_factor(progress: float, level: float) -> float:
    """Return how many standard errors the interval reaches to each side when a share of the planned customers is there.

    >>> round(width_factor(1.0, 0.05), 2), round(width_factor(0.1, 0.05), 2)
    (3.04, 3.86)
    """
    weight = _WEIGHT * progress
    return math.sqrt((weight + 1) / weight * math.log((weight + 1) / level**2))


def always_valid_p(found: Difference, planned: int) -> float:
    """Return the p-value that may be looked at at any time: below `level` when the interval leaves out 0."""
    if not found.cautious > 0:
        return 1.0
    weight = _WEIGHT * found.n / planned
    log_p = math.log(weight + 1) / 2 - found.effect**2 / found.cautious * weight / (2 * (weight + 1))
    return math.exp(min(log_p, 0.0))


def ratio_p(counts: Sequence[int], shares: Sequence[float]) -> float:
    """Return how well numbers of customers go with the shares they were to have, if it is looked at once (chi-square).

    >>> round(ratio_p([5_000, 5_000], [0.5, 0.5]), 3), ratio_p([5_200, 4_800], [0.5, 0.5]) < 0.001
    (1.0, True)
    """
    total = sum(counts)
    if not total:
        return 1.0
    away = sum((count - share * total) ** 2 / (share * total) for count, share in zip(counts, shares, strict=True))
    return chi_square_tail(len(counts) - 1, away)


def ratio_always_valid_p(counts: Sequence[int], shares: Sequence[float]) -> float:
    """Return the same for looks at any time (Lindon, Malek: Anytime-Valid Inference for Multinomial Count Data, 2022).

    >>> ratio_always_valid_p([5_000, 5_000], [0.5, 0.5]), ratio_always_valid_p([10_400, 9_600], [0.5, 0.5]) < 0.001
    (1.0, True)
    """
    evidence = math.lgamma(_PRIOR_CUSTOMERS) - math.lgamma(_PRIOR_CUSTOMERS + sum(counts))
    for count, share in zip(counts, shares, strict=True):
        belief = _PRIOR_CUSTOMERS * share
        evidence += math.lgamma(belief + count) - math.lgamma(belief) - count * math.log(share)
    return math.exp(min(-evidence, 0.0))
