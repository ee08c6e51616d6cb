"""What the live index's counts say: the most popular products, and how much a product's share of the sessions grows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from active_customers.core.identifiers import NO_NUMBER
from active_customers.kernels.candidate_set import Proposals
from active_customers.kernels.decayed_counts import value
from active_customers.kernels.jit import kernel
from active_customers.kernels.live_index import LONGER, NEWEST, RECENT, LiveCounts, Scales
from active_customers.kernels.shared_memory import load
from active_customers.kernels.top_n import Wanted, top_n

FAINTEST = 2.0**-30
"""What a count that is not 0 says at least, however long ago: old favourites are better than nothing."""


@kernel
def most_popular(counts: LiveCounts, scales: Scales, products: NDArray[np.uint32], wanted: Wanted) -> Proposals:
    """Return the largest counts of acts, decayed and weighted, without evidence; `products` are 0, 1, 2, ..."""
    still = np.empty(len(products), np.float64)  # ranking needs numbers that do not change meanwhile
    for product in range(len(products)):
        still[product] = load(counts.popular, product)
    ranked = top_n(products, still, wanted)
    age = load(counts.header, NEWEST) / scales.popular
    scores = np.empty(len(ranked), np.float32)
    for place, product in enumerate(ranked):
        scores[place] = max(value(still, product, age), FAINTEST)
    return ranked.astype(np.uint32), scores, np.full(len(ranked), NO_NUMBER, np.uint32)


@kernel
def sessions_lately(counts: LiveCounts, scales: Scales, products: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Return in how many sessions each product was, decayed by the longer scale; 0 for unknown products."""
    sessions = np.zeros(len(products), np.float64)
    age = load(counts.header, NEWEST) / scales.longer
    for row, product in enumerate(products):
        if product < len(counts.longer):
            sessions[row] = value(counts.longer, product, age)
    return sessions


@kernel
def lifts(counts: LiveCounts, scales: Scales, products: NDArray[np.uint32], shrinkage: float) -> NDArray[np.float64]:
    """Return how many times the expected sessions each product had recently, shrunk towards 1; 1 for unknown products.

    What came before is the difference of the longer and the recent count. Where there is less of it than of the recent,
    over all products, there is no past to compare with, and every lift is 1.
    """
    lifted = np.ones(len(products), np.float64)
    newest = load(counts.header, NEWEST)
    recent_age, longer_age = newest / scales.recent, newest / scales.longer
    all_recent = value(counts.totals, RECENT, recent_age)
    all_before = value(counts.totals, LONGER, longer_age) - all_recent
    if not all_before > 0.0 or all_before < all_recent:
        return lifted
    for row, product in enumerate(products):
        if product < len(counts.recent):
            recent = value(counts.recent, product, recent_age)
            before = max(value(counts.longer, product, longer_age) - recent, 0.0)
            lifted[row] = (recent + shrinkage) / (before * all_recent / all_before + shrinkage)
    return lifted
