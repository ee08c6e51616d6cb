"""How many customers, and days, a test needs before it starts, and what it can find with those that come."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from active_customers.core.errors import InvalidValueError
from active_customers.experiments.estimators import Interval, mean_of, ratio_of
from active_customers.experiments.sequential import width_factor


@dataclass(frozen=True, slots=True)
class Usual:
    """What a figure is without any test: its value, and its standard deviation from customer to customer.

    `told_before` is the correlation of a customer's figure with their own past: CUPED takes out its square of the
    variance.

    >>> Usual.of_share(0.5).deviation
    0.5
    """

    value: float
    deviation: float
    told_before: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.value < math.inf:
            raise InvalidValueError("usual", self.value, "give a number above 0: effects are planned as shares of it")
        if not 0 < self.deviation < math.inf:
            raise InvalidValueError("deviation", self.deviation, "give a number above 0")
        if not -1 < self.told_before < 1:
            raise InvalidValueError("told_before", self.told_before, "give a correlation, between -1 and 1")

    @classmethod
    def of_share(cls, share: float, told_before: float = 0.0) -> Usual:
        """Return that of a share of customers, such as those who buy."""
        if not 0 < share < 1:
            raise InvalidValueError("usual", share, "give a number between 0 and 1, or a mean and its deviation")
        return cls(share, math.sqrt(share * (1 - share)), told_before)

    @classmethod
    def of_values(cls, values: NDArray[np.float64], told_before: float = 0.0) -> Usual:
        """Return that of a value for each customer, such as revenue."""
        found = mean_of(values)
        return cls(found.value, float(found.influence.std()), told_before)

    @classmethod
    def of_ratio(cls, above: NDArray[np.float64], below: NDArray[np.float64]) -> Usual:
        """Return that of a ratio of sums, such as clicks over answers, from both for each customer."""
        found = ratio_of(above, below)
        return cls(found.value, float(found.influence.std()))

    @property
    def spread(self) -> float:
        """The variance that is left from customer to customer."""
        return self.deviation**2 * (1 - self.told_before**2)


@dataclass(frozen=True, slots=True)
class Design:
    """How a test is to be read: `share` of its customers get the variant, `n_comparisons` variants meet the control.

    `power` is the share of tests that are to find the effect where there is one, `level` the share that may find one
    where there is none; with several comparisons each gets its part of it. With `sequential` the test may be looked at
    at any time, and the power is that at its planned end.
    """

    share: float = 0.5
    power: float = 0.8
    level: float = 0.05
    n_comparisons: int = 1
    sequential: bool = True

    def __post_init__(self) -> None:
        for name in ("share", "power", "level"):
            if not 0 < getattr(self, name) < 1:
                raise InvalidValueError(name, getattr(self, name), "give a number between 0 and 1")
        if self.n_comparisons < 1:
            raise InvalidValueError("n_comparisons", self.n_comparisons, "give at least 1")

    @property
    def errors_needed(self) -> float:
        """How many standard errors an effect must have."""
        return self.reach + NormalDist().inv_cdf(self.power)

    @property
    def reach(self) -> float:
        """How many standard errors the interval reaches to each side at the planned end."""
        level = self.level / self.n_comparisons
        return width_factor(1.0, level) if self.sequential else NormalDist().inv_cdf(1 - level / 2)

    @property
    def variance_factor(self) -> float:
        """The variance of the difference, times the number of customers, over that of a customer."""
        return 1 / (self.share * (1 - self.share))


@dataclass(frozen=True, slots=True)
class Duration:
    """What a test needs: customers of the variant and the control together, and whole days until they have come.

    `interval` is how wide the relative effect's interval will be then, around an effect as planned.
    """

    customers: int
    days: int
    effect: float
    interval: Interval

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {**asdict(self), "interval": list(self.interval)}


def customers_needed(usual: Usual, effect: float, design: Design) -> int:
    """Return how many customers, of both, find a relative effect such as 0.05 with the power that is wanted.

    Raises `InvalidValueError` for no effect at all.

    >>> customers_needed(Usual.of_share(0.1), 0.1, Design(sequential=False))
    28256
    """
    if not 0 < abs(effect) < math.inf:
        raise InvalidValueError("effect", effect, "give the least relative effect that matters, such as 0.05")
    absolute = effect * usual.value
    return math.ceil(usual.spread * design.variance_factor * (design.errors_needed / absolute) ** 2)


def detectable_effect(usual: Usual, customers: int, design: Design) -> float:
    """Return the least relative effect that so many customers, of both, find with the power that is wanted."""
    if customers < 2:
        raise InvalidValueError("customers", customers, "give at least 2")
    return design.errors_needed * _error(usual, customers, design)


def duration(usual: Usual, effect: float, daily_customers: float, design: Design) -> Duration:
    """Return what it takes to find a relative effect; `daily_customers` are new ones a day, of variant and control."""
    if not 0 < daily_customers < math.inf:
        raise InvalidValueError("daily", daily_customers, "give a number above 0")
    customers = customers_needed(usual, effect, design)
    half = design.reach * _error(usual, customers, design)
    return Duration(customers, math.ceil(customers / daily_customers), effect, Interval(effect - half, effect + half))


def _error(usual: Usual, customers: int, design: Design) -> float:
    """Return the relative effect's standard error when so many customers are there."""
    return math.sqrt(usual.spread * design.variance_factor / customers) / usual.value
