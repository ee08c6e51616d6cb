"""Experiments that never happened: customers who come over two weeks, few of whom buy, some of those for a lot."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.experiments.estimators import Counted, Difference, difference, fixed_p
from active_customers.experiments.sequential import always_valid_p, sequential_interval

HOURS = 14 * 24
_BUYERS = 0.06
"""Orders of a customer, on average."""
_DELAY = 48.0
"""Hours from arrival to an order, on average."""
LOG_SPREAD = 1.0
"""Standard deviation of the logarithm of an order's value."""

Floats = NDArray[np.float64]


class Moments(NamedTuple):
    """What is known of two arms at each hour of each run: customers, revenue and squares; [run, hour, arm]."""

    n: Floats
    total: Floats
    squares: Floats

    def at(self, run: int, hour: int) -> Difference:
        """Return how far the second arm's mean revenue lies from the first's, at an hour of a run."""
        n = self.n[run, hour]
        mean = self.total[run, hour] / np.maximum(n, 1)
        spread = self.squares[run, hour] / np.maximum(n, 1) - mean**2
        control, treatment = (Counted(float(mean[arm]), float(spread[arm]), int(n[arm])) for arm in (0, 1))
        return difference(treatment, control)


def hourly(rng: np.random.Generator, n_runs: int, customers: int, share: float = 0.5) -> Moments:
    """Simulate runs without an effect; `share` is that of the second arm.

    A customer's revenue grows order by order, so that what is counted at one look is not final.
    """
    shape = (n_runs, HOURS, 2)
    arrival = rng.integers(0, HOURS, n_runs * customers)
    arm = (rng.random(len(arrival)) < share).astype(np.int64)
    cell = (np.repeat(np.arange(n_runs), customers) * HOURS + arrival) * 2 + arm
    orders = rng.poisson(_BUYERS, len(arrival))
    who = np.repeat(np.arange(len(arrival)), orders)
    hour = arrival[who] + rng.exponential(_DELAY, len(who)).astype(np.int64)
    in_time = hour < HOURS
    who, hour = who[in_time], hour[in_time]
    order = np.lexsort((hour, who))
    who, hour = who[order], hour[order]
    value = rng.lognormal(3.5, LOG_SPREAD, len(who))
    before = np.cumsum(value) - value
    first = np.r_[True, who[1:] != who[:-1]] if len(who) else np.empty(0, bool)
    before -= np.maximum.accumulate(np.where(first, before, 0))
    place = cell[who] + (hour - arrival[who]) * 2
    size = int(np.prod(shape))
    found = (
        np.bincount(cell, minlength=size),
        np.bincount(place, value, size),
        np.bincount(place, value**2 + 2 * value * before, size),
    )
    return Moments(*(np.cumsum(part.reshape(shape), axis=1, dtype=float) for part in found))


def false_alarms(moments: Moments, planned: int, level: float) -> float:
    """Return the share of runs without an effect in which any hourly look finds one."""
    runs, hours, _ = moments.n.shape
    looked = [
        any(always_valid_p(moments.at(run, hour), planned) <= level for hour in range(hours)) for run in range(runs)
    ]
    return float(np.mean(looked))


def fixed_false_alarms(moments: Moments, level: float) -> float:
    """Return the same for whoever looks at fixed intervals every hour, from the second day on."""
    runs, hours, _ = moments.n.shape
    looked = [any(fixed_p(moments.at(run, hour)) <= level for hour in range(24, hours)) for run in range(runs)]
    return float(np.mean(looked))


def always_held(moments: Moments, planned: int, level: float) -> float:
    """Return the share of runs whose interval holds the truth, 0, at every hourly look."""
    runs = len(moments.n)
    return float(np.mean([_held(moments, run, planned, level) for run in range(runs)]))


def _held(moments: Moments, run: int, planned: int, level: float) -> bool:
    looks = (moments.at(run, hour) for hour in range(moments.n.shape[1]) if moments.n[run, hour].all())
    return all(low <= 0 <= high for low, high in (sequential_interval(look, planned, level) for look in looks))
