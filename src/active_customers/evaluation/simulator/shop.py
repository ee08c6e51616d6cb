"""The shop as an object whose truth is known: how likely a customer clicks on what they are shown."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray

from active_customers.core.clock import DAY
from active_customers.core.errors import InvalidValueError
from active_customers.evaluation.simulator.assortment import assortment_for
from active_customers.evaluation.simulator.catalogue import Catalogue, make_catalogue
from active_customers.evaluation.simulator.config import SimulatorConfig
from active_customers.evaluation.simulator.customers import Customers, make_customers
from active_customers.evaluation.simulator.needs import Intent, Needs
from active_customers.evaluation.simulator.seasons import demand_factors
from active_customers.evaluation.simulator.shelves import Shelves

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# What moves the log-odds of a click, beside `SimulatorConfig.click_bias`.
CATEGORY_NEEDED = 1.3
KIND_NEEDED = 1.5
COMPLEMENT_OF_NEED = 0.7
IDLE = 1.0
"""For customers who look for nothing in particular, on everything."""
TASTE = 0.5
"""Times the logarithm of the category's share of the taste against an even share, cut to -2..2."""
STYLE = 1.2
WISH = 1.8
APPEAL = 0.35
FAVOURITE_BRAND = 0.9
PRICE_MISFIT = 0.25
"""Against: times the square of the distance from the price level looked for, cut to 6."""
OVER_BUDGET = 0.6
"""Against: times the logarithm of the price over the budget, where it is over."""
NOVELTY = 0.5


class Shop:
    """A catalogue, customers, and the probability of every click; nothing in it changes when it is asked.

    A click is drawn with `click_probability` for each product that the customer looks at. A page is read from the top:
    after each product that was not clicked, the customer reads on with the chance `read_on_share`, and the first click
    leaves the page (the cascade model; Craswell et al., "An Experimental Comparison of Click Position-Bias Models",
    WSDM 2008). The simulation draws its clicks from the same functions, so that the regret of any ranking can be
    computed exactly. Customers and products are rows of `customers` and `catalogue`.

    >>> shop = Shop.open(SimulatorConfig(customers=20, products=30, days=7))
    >>> shop.click_probability(3, np.arange(5), shop.config.start).shape
    (5,)
    """

    def __init__(self, config: SimulatorConfig, catalogue: Catalogue, customers: Customers) -> None:
        self.config = config
        self.catalogue = catalogue
        self.customers = customers
        self._taste_odds = _taste_odds(customers.taste)
        self._brand_department = _brand_departments(catalogue)

    @classmethod
    def open(cls, config: SimulatorConfig) -> Self:
        """Return the shop of a configuration; the same one each time."""
        assortment = assortment_for(config.products)
        return cls(config, make_catalogue(config, assortment), make_customers(config, assortment))

    def click_probability(self, customer: int, products: Integers, moment: int, intent: Intent | None = None) -> Floats:
        """Return the true chance that the customer clicks on each product (int64[n]) when looking at it, float64[n].

        `moment` (microseconds) counts by its day: before its release a product is never clicked, in the first weeks
        after it more often. Without an `intent` the customer looks for nothing in particular. Raises
        `InvalidValueError` for a row that does not exist.
        """
        shown, who = np.asarray(products, np.int64), np.array([customer])
        _check_rows("customer", who, len(self.customers))
        _check_rows("products", shown, len(self.catalogue))
        needs = Needs.of(intent, self.catalogue.style.shape[1])
        return np.asarray(self.click_probabilities(who, shown[None, :], moment, needs)[0])

    def click_probabilities(self, customers: Integers, products: Integers, moment: int, needs: Needs) -> Floats:
        """Return `click_probability` of many customers (int64[s]), each with their own products: [s, n] in and out."""
        chance = 1 / (1 + np.exp(-self.log_odds(customers, products, moment, needs)))
        return np.where(self.catalogue.released[products] <= moment, chance, 0.0)

    def choice_probabilities(self, customer: int, shown: Integers, moment: int, intent: Intent | None = None) -> Floats:
        """Return the chance that each product of a page is the one that is clicked, float64[n]; sums to at most 1."""
        click = self.click_probability(customer, shown, moment, intent)
        reached = np.cumprod(np.concatenate(([1.0], self.config.read_on_share * (1 - click[:-1]))))
        return reached[: len(click)] * click

    def respond(
        self,
        customer: int,
        shown: Integers,
        rng: np.random.Generator,
        moment: int | None = None,
        intent: Intent | None = None,
    ) -> int | None:
        """Draw which product of a page the customer clicks: its place in `shown`, or None.

        Without a `moment` it is the last day of the simulated period.
        """
        at = self.config.stop - DAY if moment is None else moment
        click = self.click_probability(customer, shown, at, intent)
        place = int(first_clicks(click[None, :], self.config.read_on_share, rng)[0])
        return None if place < 0 else place

    def draw_intent(self, customer: int, moment: int, rng: np.random.Generator) -> Intent:
        """Draw what the customer would look for on this day: taste times season, as at the start of a session."""
        needs = self.draw_needs(np.array([customer]), moment, Shelves(self.catalogue, moment), rng)
        return Intent(int(needs.category[0]), int(needs.kind[0]), needs.wish[0])

    def draw_needs(self, customers: Integers, moment: int, shelves: Shelves, rng: np.random.Generator) -> Needs:
        """Draw an intent for each of many customers (int64[s])."""
        interest = np.cumsum(
            self.customers.taste[customers] * demand_factors(self.catalogue.assortment, moment), axis=1
        )
        at = rng.random((len(customers), 1)) * interest[:, -1:]
        category = np.minimum((interest <= at).sum(axis=1), interest.shape[1] - 1)
        return Needs.like(self.catalogue, shelves.of_categories(category, 1, rng)[:, 0])

    def log_odds(self, customers: Integers, products: Integers, moment: int, needs: Needs) -> Floats:
        """Return the log-odds of a click, float64[s, n]: the sum of everything that speaks for and against it."""
        category = self.catalogue.category[products]
        return np.asarray(
            self.config.click_bias
            + self._fit_of_need(products, category, needs)
            + self._fit_of_person(customers, products, category)
            + self._fit_of_price(customers, products)
            + APPEAL * self.catalogue.appeal[products]
            + NOVELTY * self.catalogue.novelty(products, moment)
        )

    def _fit_of_need(self, products: Integers, category: Integers, needs: Needs) -> Floats:
        wanted = needs.category[:, None]
        complements = self.catalogue.assortment.complements[needs.category]
        is_complement = (category == complements[:, :1]) | (category == complements[:, 1:])
        return np.asarray(
            CATEGORY_NEEDED * (category == wanted)
            + KIND_NEEDED * (self.catalogue.kind[products] == needs.kind[:, None])
            + COMPLEMENT_OF_NEED * (is_complement & (wanted >= 0))
            + IDLE * (wanted < 0)
            + WISH * np.einsum("snd,sd->sn", self.catalogue.style[products], needs.wish)
        )

    def _fit_of_person(self, customers: Integers, products: Integers, category: Integers) -> Floats:
        brand = self.catalogue.brand[products]
        favourite = self.customers.favourites[customers[:, None], self._brand_department[brand]]
        return np.asarray(
            TASTE * self._taste_odds[customers[:, None], category]
            + STYLE * np.einsum("snd,sd->sn", self.catalogue.style[products], self.customers.style[customers])
            + FAVOURITE_BRAND * (favourite == brand)
        )

    def _fit_of_price(self, customers: Integers, products: Integers) -> Floats:
        distance = self.catalogue.dearness[products] - self.customers.price_level[customers][:, None]
        excess = np.log(self.catalogue.price[products] / self.customers.budget[customers][:, None])
        return np.asarray(-PRICE_MISFIT * np.minimum(distance**2, 6) - OVER_BUDGET * np.maximum(excess, 0))


def first_clicks(click: Floats, read_on: float, rng: np.random.Generator) -> Integers:
    """Draw the place of the click on each page ([s, n] probabilities), int64[s]; -1 where nothing was clicked."""
    if click.shape[1] == 0:
        return np.full(len(click), -1, np.int64)
    goes_on = np.where(np.arange(click.shape[1]) == 0, 1.0, read_on)
    looked_at = np.cumprod(rng.random(click.shape) < goes_on, axis=1)
    is_clicked = (rng.random(click.shape) < click) & (looked_at == 1)
    return np.where(is_clicked.any(axis=1), is_clicked.argmax(axis=1), -1)


def _check_rows(field: str, rows: Integers, n: int) -> None:
    if len(rows) and (rows.min() < 0 or rows.max() >= n):
        raise InvalidValueError(field, rows.tolist(), f"send rows from 0 to {n - 1}")


def _taste_odds(taste: Floats) -> Floats:
    return np.asarray(np.clip(np.log(taste * taste.shape[1]), -2, 2))


def _brand_departments(catalogue: Catalogue) -> Integers:
    departments = catalogue.assortment.departments
    return np.array(
        [departments.index(b.department) if b.department in departments else -1 for b in catalogue.assortment.brands]
    )
