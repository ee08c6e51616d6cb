"""When customers come and what they want then: the year, the week, the day."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from active_customers.core.clock import DAY, SECOND
from active_customers.evaluation.simulator.assortment import Assortment

WEEKDAYS = np.array([1.08, 1.02, 0.98, 0.97, 0.85, 0.92, 1.18])
"""Visits on each day of the week, Monday first, against the mean."""
RUSH_HOURS = np.array([9.0, 12.6, 16.5, 20.6])
"""Hours around which customers like to visit, UTC (the shop lives by it)."""
RUSH_SHARES = np.array([0.14, 0.2, 0.16, 0.5])
RUSH_WIDTH = 1.7
"""Standard deviation, in hours, of a visit around the customer's own hour."""
GIFT_LIFT, GIFT_PEAK, GIFT_WIDTH = 0.45, 342, 17
"""How many more visits come before the holidays, on which day of the year most, and how wide the hill is, in days."""


def demand_factors(assortment: Assortment, moment: int) -> NDArray[np.float64]:
    """Return by how much each category is wanted at this time of the year against its mean, float64[L]."""
    day = _day_of_year(moment)
    peak = np.array([category.peak for category in assortment.categories])
    strength = np.array([category.season for category in assortment.categories])
    # The mean of exp(s cos x) over a year is the Bessel function I0(s).
    return np.asarray(np.exp(strength * np.cos(2 * np.pi * (day - peak) / 365.25)) / np.i0(strength))


def visit_factor(moment: int) -> float:
    """Return how many visits come on this day against the mean."""
    hill = np.exp(-(((_day_of_year(moment) - GIFT_PEAK) / GIFT_WIDTH) ** 2))
    return float(WEEKDAYS[(moment // DAY + 3) % 7] * (1 + GIFT_LIFT * hill))  # 1970 began on a Thursday


def favourite_hours(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the hour around which each of `n` customers likes to visit, float64[n] in 0..24."""
    rush = rng.choice(len(RUSH_HOURS), n, p=RUSH_SHARES)
    return np.asarray((RUSH_HOURS[rush] + rng.normal(0, 1.0, n)) % 24)


def visit_times(favourite: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return times of day in microseconds, to the second, near each favourite hour."""
    hours = (favourite + rng.normal(0, RUSH_WIDTH, len(favourite))) % 24
    return (hours * 3600).astype(np.int64) * SECOND


def _day_of_year(moment: int) -> int:
    return datetime.fromtimestamp(moment // SECOND, UTC).timetuple().tm_yday
