"""Simulated tests whose true effect is known, one kind for each estimator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.experiments.estimators import (
    Counted,
    Difference,
    Sample,
    adjusted,
    cap_of,
    difference,
    fixed_interval,
    mean_of,
    ratio_of,
    relative,
)

LEVEL = 0.05
_CUSTOMERS = 2_000
_OURS, _THEIRS = 0.12, 0.1
_ORDER = (3.0, 1.0)
"""Mean and standard deviation of the logarithm of an order's value."""

Floats = NDArray[np.float64]
Generator = np.random.Generator


class Run(NamedTuple):
    """What one test found, and the true effect."""

    found: Difference
    truth: float

    @property
    def is_held(self) -> bool:
        """Whether the interval of a single look holds the truth."""
        low, high = fixed_interval(self.found, LEVEL)
        return low <= self.truth <= high


def revenue(rng: Generator, buyers: float) -> Floats:
    """Return what customers spend: most nothing, the others skewed."""
    return (rng.random(_CUSTOMERS) < buyers) * rng.lognormal(*_ORDER, _CUSTOMERS)


def mean_run(rng: Generator) -> Run:
    """Test revenue per customer."""
    found = difference(mean_of(revenue(rng, _OURS)), mean_of(revenue(rng, _THEIRS)))
    return Run(found, (_OURS - _THEIRS) * float(np.exp(_ORDER[0] + _ORDER[1] ** 2 / 2)))


def capped_run(rng: Generator) -> Run:
    """Test capped revenue per customer."""
    values = revenue(rng, _OURS), revenue(rng, _THEIRS)
    cap = cap_of(values, 0.99)
    found = difference(*(mean_of(np.minimum(each, cap)) for each in values))
    return Run(found, (_OURS - _THEIRS) * _capped_order())


@cache
def _capped_order() -> float:
    """Return an order's mean value when it counts no more than the quantile of all orders that caps it."""
    values = np.sort(np.random.default_rng(0).lognormal(*_ORDER, 4_000_000))
    return float(np.minimum(values, np.quantile(values, 0.99)).mean())


def ratio_run(rng: Generator) -> Run:
    """Test clicks over answers, where who clicks more is shown more."""
    return Run(difference(_clicks(rng, _OURS), _clicks(rng, _THEIRS)), _click_rate(_OURS) - _click_rate(_THEIRS))


def _clicks(rng: Generator, rate: float) -> Sample:
    taste = rng.beta(2, 2 / rate - 2, _CUSTOMERS)
    answers = 1 + rng.poisson(40 * taste)
    return ratio_of(rng.binomial(answers, taste).astype(float), answers.astype(float))


@cache
def _click_rate(rate: float) -> float:
    """Return E[taste * answers] / E[answers], of the Beta distribution's moments."""
    square = rate**2 + rate * (1 - rate) / (2 / rate + 1)
    return (rate + 40 * square) / (1 + 40 * rate)


def adjusted_run(rng: Generator) -> Run:
    """Test a value that customers' past tells a part of (CUPED)."""
    past = [rng.lognormal(0, 0.8, _CUSTOMERS) for _ in range(2)]
    now = [0.7 * each + rng.lognormal(0, 0.5, _CUSTOMERS) for each in past]
    figures = mean_of(now[0] + 0.1), mean_of(now[1])
    return Run(difference(*adjusted(figures, (mean_of(past[0]), mean_of(past[1])))), 0.1)


def relative_run(rng: Generator) -> Run:
    """Test a share of customers, relative to the control's."""
    pair = (Counted.of_share(rng.binomial(_CUSTOMERS, rate), _CUSTOMERS) for rate in (_OURS, _THEIRS))
    found = relative(*pair)
    assert found is not None  # the control's share is never 0
    return Run(found, _OURS / _THEIRS - 1)


WORLDS: Mapping[str, Callable[[Generator], Run]] = MappingProxyType(
    {
        "mean": mean_run,
        "winsorised": capped_run,
        "ratio": ratio_run,
        "CUPED": adjusted_run,
        "relative": relative_run,
    }
)
"""By estimator."""


def coverage(name: str, rng: Generator, runs: int) -> float:
    """Return the share of runs whose interval holds the true effect."""
    return float(np.mean([WORLDS[name](rng).is_held for _ in range(runs)]))
