"""What the shop shows on one day: products on sale, the more wanted and the newer the more often."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from active_customers.core.event import Context
from active_customers.evaluation.simulator.catalogue import N_RELATED, Catalogue
from active_customers.evaluation.simulator.needs import Needs

Integers = NDArray[np.int64]

NOVELTY_LIFT = 1.5
"""How much more often a product is shown on its first day."""


class Shelves:
    """Draws what is listed on a page; the shop it stands for ranks by sales and does not know its customers."""

    def __init__(self, catalogue: Catalogue, moment: int) -> None:
        self._catalogue = catalogue
        novelty = catalogue.novelty(np.arange(len(catalogue)), moment)
        weight = catalogue.demand * (catalogue.released <= moment) * (1 + NOVELTY_LIFT * novelty)
        self._cumulated = np.concatenate(([0.0], np.cumsum(weight)))

    def draw(self, start: Integers, stop: Integers, n: int, rng: np.random.Generator) -> Integers:
        """Return `n` products for each range of rows, int64[s, n]; with repetitions, as likely as they are wanted."""
        low, high = self._cumulated[start][:, None], self._cumulated[stop][:, None]
        at = low + rng.random((len(start), n)) * (high - low)
        product = np.searchsorted(self._cumulated, at, side="right") - 1
        return np.asarray(np.clip(product, start[:, None], stop[:, None] - 1))

    def of_categories(self, category: Integers, n: int, rng: np.random.Generator) -> Integers:
        """Return `n` products of each given category, int64[s, n]."""
        starts = self._catalogue.category_start
        return self.draw(starts[category], starts[category + 1], n, rng)

    def page(self, source: Integers, needs: Needs, current: Integers, n: int, rng: np.random.Generator) -> Integers:
        """Return what is listed for each customer, int64[s, n].

        `source` says on which page (home: the whole shop; category and cart: the category needed; search: the kind
        needed; browse and out of stock: what is like the product `current`).
        """
        catalogue = self._catalogue
        on_home, on_search = source == Context.HOME, source == Context.SEARCH
        start = np.where(on_search, catalogue.kind_start[needs.kind], catalogue.category_start[needs.category])
        stop = np.where(on_search, catalogue.kind_start[needs.kind + 1], catalogue.category_start[needs.category + 1])
        listed = self.draw(np.where(on_home, 0, start), np.where(on_home, len(catalogue), stop), n, rng)
        columns = rng.integers(N_RELATED, size=listed.shape)
        is_browse = (source == Context.BROWSE) | (source == Context.OUT_OF_STOCK)
        listed[is_browse] = catalogue.related[current[is_browse][:, None], columns[is_browse]]
        return listed
