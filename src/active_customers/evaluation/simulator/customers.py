"""The customers of the simulated shop: what they like, when they come, and what they remember."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from active_customers.evaluation.simulator.assortment import Assortment
from active_customers.evaluation.simulator.config import SimulatorConfig
from active_customers.evaluation.simulator.seasons import favourite_hours

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

FIRST_ID = 200_001
TASTE_FOCUS = 6.0
"""Sum of the Dirichlet parameters of a taste: the lower, the fewer categories a customer cares for."""
DEPARTMENT_SPREAD = 0.8
"""How much customers differ in whole departments (standard deviation of the logarithm)."""
LOYAL_SHARE = 0.6
"""How often a customer has a favourite brand in a department."""
ACTIVITY_SHAPE = 0.7
"""Shape of the gamma distribution of visit rates: the lower, the more a few customers do."""
NOTHING = -1
"""No product, no category."""


@dataclass(frozen=True, slots=True)
class Customers:
    """Who they are; none of it changes. A customer is a row.

    Shapes, for n customers, L categories and D styles: `taste` float64[n, L], share of interest in each category, rows
    sum to 1; `style` float64[n, D], unit vectors; `price_level` float64[n], how dear a product they look for, in
    standard deviations of its category; `budget` float64[n], what one product may cost without a second thought, EUR;
    `favourites` int64[n, T], the brand preferred in each of T departments (-1: none); `visits_per_day` float64[n];
    `first_day` and `last_day` int64[n], of the period, both included; `hour` float64[n]; `is_anonymous` bool[n].
    """

    taste: Floats
    style: Floats
    price_level: Floats
    budget: Floats
    favourites: Integers
    visits_per_day: Floats
    first_day: Integers
    last_day: Integers
    hour: Floats
    is_anonymous: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.hour)


class Memory:
    """What customers carry from visit to visit; the simulation writes it, the truth of a click never reads it.

    Shapes: `orders` int64[n]; `owned` int64[n, 4], products bought last, newest first; `wanted` int64[n], product left
    in the cart or viewed last; `staple` int64[n] and `staple_day` int64[n], what is used up, and on which day.
    """

    def __init__(self, n_customers: int) -> None:
        self.orders = np.zeros(n_customers, np.int64)
        self.owned = np.full((n_customers, 4), NOTHING, np.int64)
        self.wanted = np.full(n_customers, NOTHING, np.int64)
        self.staple = np.full(n_customers, NOTHING, np.int64)
        self.staple_day = np.zeros(n_customers, np.int64)


def customer_id(customer: int, is_anonymous: bool) -> str:
    """Return the shop's id of a customer: a number when known, a visitor's cookie when not.

    >>> customer_id(4, False), customer_id(4, True)
    ('200005', 'visitor-e334c9b5')
    """
    number = FIRST_ID + customer
    # Multiplying by an odd number permutes the 32-bit integers: cookies look random and are unique.
    return f"visitor-{number * 2_654_435_761 % 2**32:08x}" if is_anonymous else str(number)


def make_customers(config: SimulatorConfig, assortment: Assortment) -> Customers:
    """Return the customers of a configuration; the same ones each time."""
    rng = config.rng(2)
    n = config.customers
    style = rng.normal(0, 1, (n, len(assortment.styles)))
    price_level = rng.normal(0, 0.8, n)
    first_day, last_day = _life(config, rng)
    return Customers(
        taste=_tastes(n, assortment, rng),
        style=style / np.linalg.norm(style, axis=1, keepdims=True),
        price_level=price_level,
        budget=np.exp(rng.normal(4.6, 0.6, n) + 0.4 * price_level),
        favourites=_favourite_brands(style, price_level, assortment, rng),
        visits_per_day=config.visits_per_month / 30 * rng.gamma(ACTIVITY_SHAPE, 1 / ACTIVITY_SHAPE, n),
        first_day=first_day,
        last_day=last_day,
        hour=favourite_hours(n, rng),
        is_anonymous=rng.random(n) < config.anonymous_share,
    )


def _tastes(n: int, assortment: Assortment, rng: np.random.Generator) -> Floats:
    """Return tastes: few categories each, more alike within a department than across."""
    leaning = np.exp(rng.normal(0, DEPARTMENT_SPREAD, (n, len(assortment.departments))))
    interest = rng.gamma(TASTE_FOCUS * assortment.demand, size=(n, len(assortment.categories)))
    taste = leaning[:, assortment.category_department] * (interest + 1e-4)
    return np.asarray(taste / taste.sum(axis=1, keepdims=True))


def _favourite_brands(style: Floats, price_level: Floats, assortment: Assortment, rng: np.random.Generator) -> Integers:
    """Return for each department the brand whose style and price suit the customer best, with some chance in it."""
    brand_style = np.array([brand.style for brand in assortment.brands])
    level = np.array([brand.level for brand in assortment.brands])
    liking = style[:, brand_style] - 0.3 * (level - price_level[:, None]) ** 2
    liking += rng.gumbel(0, 0.7, liking.shape)
    favourites = np.full((len(style), len(assortment.departments)), NOTHING, np.int64)
    for i, department in enumerate(assortment.departments):
        brands = assortment.brands_of(department)
        best = brands[np.argmax(liking[:, brands], axis=1)]
        favourites[:, i] = np.where(rng.random(len(style)) < LOYAL_SHARE, best, NOTHING)
    return favourites


def _life(config: SimulatorConfig, rng: np.random.Generator) -> tuple[Integers, Integers]:
    """Return first and last day in the period: newcomers at any time, the others rather early; some only once."""
    n = config.customers
    is_new = rng.random(n) < config.newcomer_share
    share = np.where(is_new, rng.random(n), rng.beta(1, 2.5, n))
    first = (share * config.days).astype(np.int64)
    length = np.where(rng.random(n) < config.one_time_share, 0, rng.exponential(config.lifetime_days, n))
    return first, first + length.astype(np.int64)
