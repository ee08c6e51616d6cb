"""What a list of products is truly worth to the shop when a customer sees it, and which list would be worth most."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from active_customers.core.clock import DAY
from active_customers.evaluation.simulator.browsing import is_new
from active_customers.evaluation.simulator.buying import Buying, Minds
from active_customers.evaluation.simulator.customers import NOTHING
from active_customers.evaluation.simulator.needs import Intent, Needs
from active_customers.evaluation.simulator.shop import Shop

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class Truth:
    """Tells what answers are worth, in EUR: the chance that each product is clicked, times what the click brings.

    A list is read from the top; after each product that is not clicked the customer reads on with the chance
    `read_on_share`, and the first click leaves the list (the cascade of `Shop`), so that a product lower down counts
    less. A click brings the chance that the product ends up in an order of this visit, times its price. What has been
    viewed in the visit is not clicked again, and what is sold out brings nothing.

    >>> from active_customers.evaluation.simulator import SimulatorConfig
    >>> shop = Shop.open(SimulatorConfig(customers=20, products=30, days=7))
    >>> truth = Truth(shop)
    >>> truth.value(3, [0, 1, 2]) <= truth.value(3, truth.best(3, 3))
    True
    """

    def __init__(self, shop: Shop) -> None:
        self._shop = shop

    def value(
        self, customer: int, answer: Sequence[int], moment: int | None = None, intent: Intent | None = None
    ) -> float:
        """Return what an answer (rows of the catalogue, best first) is worth to a customer who begins a visit.

        `moment` (microseconds) counts by its day; without one it is the last day of the period.
        """
        pages = np.asarray(answer, np.int64)[None, :]
        return float(self.values(self._newcomer(customer, intent), pages, self._day(moment))[0])

    def best(self, customer: int, n: int, moment: int | None = None, intent: Intent | None = None) -> Integers:
        """Return the `n` products, best first, whose list is worth most to a customer who begins a visit."""
        return np.asarray(self.best_pages(self._newcomer(customer, intent), n, self._day(moment))[0])

    def clicks(self, minds: Minds, pages: Integers, day: int) -> Floats:
        """Return the chance that each product of each page (int64[s, n], -1: none), looked at, is clicked, [s, n]."""
        return self._chances(minds, pages, day) * is_new(pages, minds.viewed)

    def _chances(self, minds: Minds, pages: Integers, day: int) -> Floats:
        moment = self._shop.config.moment_of(day)
        chance = self._shop.click_probabilities(minds.customer, np.maximum(pages, 0), moment, minds.needs)
        return np.where(pages == NOTHING, 0.0, chance)

    def values(self, minds: Minds, pages: Integers, day: int) -> Floats:
        """Return what each page (int64[s, n], -1: none) is worth to each customer, float64[s]."""
        click = self.clicks(minds, pages, day)
        worth = Buying(self._shop, day).worth(minds, np.maximum(pages, 0))
        return np.asarray((reached(click, self._shop.config.read_on_share) * click * worth).sum(axis=1))

    def best_pages(self, minds: Minds, n: int, day: int) -> Integers:
        """Return for each customer the page of `n` products that is worth most, int64[s, n] (-1: none)."""
        everything = np.tile(np.arange(len(self._shop.catalogue)), (len(minds), 1))
        click = self._chances(minds, everything, day)
        row, place = np.nonzero(minds.viewed != NOTHING)
        click[row, minds.viewed[row, place]] = 0.0
        worth = Buying(self._shop, day).worth(minds, everything)
        return best_lists(click, worth, self._shop.config.read_on_share, n)

    def _newcomer(self, customer: int, intent: Intent | None) -> Minds:
        nothing = np.full((1, 1), NOTHING)
        return Minds(
            customer=np.array([customer]),
            needs=Needs.of(intent, self._shop.catalogue.style.shape[1]),
            mood=np.zeros(1),
            viewed=nothing,
            cart=nothing,
            owned=nothing,
        )

    def _day(self, moment: int | None) -> int:
        config = self._shop.config
        return config.days - 1 if moment is None else (moment - config.start) // DAY


def reached(click: Floats, read_on: float) -> Floats:
    """Return the chance that each place of each list is looked at, [s, n] in and out."""
    goes_on = np.cumprod(read_on * (1 - click[:, :-1]), axis=1)
    return np.concatenate((np.ones((len(click), min(1, click.shape[1]))), goes_on), axis=1)


def best_lists(click: Floats, worth: Floats, read_on: float, n: int) -> Integers:
    """Return for each row the `n` places (-1: none) whose list is worth most, best first; [s, m] chances and worths.

    In the best list products are ordered by what they bring over the chance that they end the reading; which ones are
    in it follows by dynamic programming (Kempe and Mahdian, "A Cascade Model for Externalities in Sponsored Search",
    WINE 2008).
    """
    gain, goes_on = click * worth, read_on * (1 - click)
    order = np.argsort(-gain / np.maximum(1 - goes_on, 1e-12), axis=1, kind="stable")
    rows = np.arange(len(click))
    value = np.zeros((len(click), n + 1))
    """Of the best list of at most so many products among those that come later in the order."""
    is_taken = np.zeros((click.shape[1], len(click), n + 1), np.bool_)
    for place in range(click.shape[1] - 1, -1, -1):
        product = order[:, place]
        taken = gain[rows, product][:, None] + goes_on[rows, product][:, None] * value[:, :-1]
        is_taken[place, :, 1:] = taken > value[:, 1:]
        value[:, 1:] = np.maximum(value[:, 1:], taken)
    lists = np.full((len(click), n), NOTHING, np.int64)
    length, left = np.zeros(len(click), np.int64), np.full(len(click), n)
    for place in range(click.shape[1]):
        chosen = rows[is_taken[place, rows, left]]
        lists[chosen, length[chosen]] = order[chosen, place]
        length[chosen] += 1
        left[chosen] -= 1
    return lists
