"""Figures of variants, and how far apart two of them are: pure functions of one value for each customer.

A figure is kept with the influence of each customer on it, so that means, ratios and adjusted figures are compared by
the same few lines: the variance of any of them is the variance of its influences over the number of customers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from active_customers.core.errors import NoDataError
from active_customers.experiments.distributions import student_quantile, student_tails

Values = NDArray[np.float64]


class Interval(NamedTuple):
    """From where to where."""

    low: float
    high: float


class Figure(Protocol):
    """A variant's figure, however it came about."""

    @property
    def value(self) -> float:
        """The figure itself."""
        ...

    @property
    def n(self) -> int:
        """How many customers it is of."""
        ...

    @property
    def variance(self) -> float:
        """Of the figure, not of a customer."""
        ...


class Counted(NamedTuple):
    """A mean that somebody else counted: `spread` is the variance from customer to customer, or answer to answer."""

    value: float
    spread: float
    n: int

    @property
    def variance(self) -> float:
        """Of the mean; 0 where nothing was counted."""
        return self.spread / self.n if self.n else 0.0

    @classmethod
    def of_share(cls, cases: int, n: int) -> Self:
        """Return how often something happened among `n`."""
        share = cases / n if n else 0.0
        return cls(share, share * (1 - share), n)


class Sample(NamedTuple):
    """A variant's figure, and how much each of its customers moves it: float64[n] with mean 0."""

    value: float
    influence: Values

    @property
    def n(self) -> int:
        """How many customers."""
        return len(self.influence)

    @property
    def variance(self) -> float:
        """Of the figure, not of a customer; 0 for fewer than two customers."""
        return float(self.influence.var(ddof=1)) / self.n if self.n > 1 else 0.0


class Difference(NamedTuple):
    """How far one figure lies from another, with the variance of that and Welch's degrees of freedom.

    `pooled` is the variance if customers of both vary alike; `n` counts those of both.
    """

    effect: float
    variance: float
    pooled: float
    freedom: float
    n: int

    @property
    def error(self) -> float:
        """The standard error."""
        return float(np.sqrt(self.variance))

    @property
    def cautious(self) -> float:
        """The larger of the two variances.

        Of a small variant nobody may have bought yet, which looks like no variance at all: of all tests of a 10 %
        share, looked at every hour, a quarter would end in a false alarm.
        """
        return max(self.variance, self.pooled)


def mean_of(values: Values) -> Sample:
    """Return the mean of a value for each customer; raises `NoDataError` without customers."""
    if not len(values):
        raise NoDataError("a variant has no customers: wait until each has been shown to somebody")
    mean = float(values.mean())
    return Sample(mean, values - mean)


def ratio_of(above: Values, below: Values) -> Sample:
    """Return the sum of one value over the sum of another, such as clicks over answers; nan where that sum is 0.

    Customers are independent and answers are not, so the variance is that over customers, by the delta method (Deng,
    Knoblich, Lu: Applying the Delta Method in Metric Analytics, 2018).
    """
    whole = float(below.sum())
    if whole == 0:
        return Sample(float("nan"), np.zeros(len(below)))
    ratio = float(above.sum()) / whole
    return Sample(ratio, (above - ratio * below) / below.mean())


def cap_of(samples: Sequence[Values], quantile: float) -> float:
    """Return the cap that winsorises: a quantile of the values above 0 of all variants together.

    One cap for all, or the variants would be changed differently; infinity when no value is above 0.
    """
    values = np.concatenate(samples)
    above = values[values > 0]
    return float(np.quantile(above, quantile)) if len(above) else float("inf")


def adjusted(pair: tuple[Sample, Sample], before: tuple[Sample, Sample]) -> tuple[Sample, Sample]:
    """Return two figures without what customers' own past says of them (CUPED), and so with less noise.

    `before` is a figure of the same customers from before they were exposed, which no variant can have moved. The share
    of it that is taken out is the one that makes the variance of the difference least, so never larger than it was
    (Deng, Xu, Kohavi, Walker: Improving the Sensitivity of Online Controlled Experiments, 2013).
    """
    told = sum(past.variance for past in before)
    if not told > 0:
        return pair
    theta = sum(_covariance(now, past) for now, past in zip(pair, before, strict=True)) / told
    total = sum(past.n for past in before)
    usual = sum(past.value * past.n for past in before) / total
    now, control = (
        Sample(figure.value - theta * (past.value - usual), figure.influence - theta * past.influence)
        for figure, past in zip(pair, before, strict=True)
    )
    return now, control


def _covariance(now: Sample, past: Sample) -> float:
    """Return that of two figures of the same customers."""
    return float(now.influence @ past.influence) / ((now.n - 1) * now.n) if now.n > 1 else 0.0


def difference(treatment: Figure, control: Figure) -> Difference:
    """Return how much more the first is, in its own unit (Welch: the variances need not be equal)."""
    return _difference(treatment.value - control.value, (treatment, control), (1.0, 1.0))


def relative(treatment: Figure, control: Figure) -> Difference | None:
    """Return how much more the first is, as a share of the second; None when the second is not above 0.

    The second is an estimate as well, which the variance counts (delta method).
    """
    if not control.value > 0:
        return None
    ratio = treatment.value / control.value
    return _difference(ratio - 1, (treatment, control), (1 / control.value, ratio / control.value))


def _difference(effect: float, pair: tuple[Figure, Figure], scales: tuple[float, float]) -> Difference:
    n = sum(figure.n for figure in pair)
    parts = [figure.variance * scale**2 for figure, scale in zip(pair, scales, strict=True)]
    spread = sum(part**2 / max(figure.n - 1, 1) for part, figure in zip(parts, pair, strict=True))
    alike = sum(part * figure.n**2 for part, figure in zip(parts, pair, strict=True)) / max(n, 1)
    return Difference(
        effect,
        variance=sum(parts),
        pooled=alike * sum(1 / max(figure.n, 1) for figure in pair),
        freedom=sum(parts) ** 2 / spread if spread > 0 else 1.0,
        n=n,
    )


def fixed_interval(found: Difference, level: float) -> Interval:
    """Return the interval that holds the truth but for a share `level` of experiments, if it is looked at once."""
    reach = student_quantile(found.freedom, 1 - level / 2) * found.error
    return Interval(found.effect - reach, found.effect + reach)


def fixed_p(found: Difference) -> float:
    """Return the two-sided p-value, if it is looked at once; 1 while nothing varies."""
    return student_tails(found.freedom, found.effect / found.error) if found.variance > 0 else 1.0


def holm(ps: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number: a share `level` of families has any that is wrongly below it.

    Holm 1979; holds however they depend on each other.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(ps)
    raised = np.asarray(ps)[order] * np.arange(len(ps), 0, -1)
    corrected = np.empty(len(ps))
    corrected[order] = np.minimum(np.maximum.accumulate(raised), 1)
    return [float(p) for p in corrected]
