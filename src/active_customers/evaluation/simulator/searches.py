"""What customers type into the search box of the simulated shop."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from active_customers.evaluation.simulator.assortment import Assortment

Integers = NDArray[np.int64]

CATEGORY_SHARE = 0.3
"""How often the category is typed instead of the kind of product."""
BRAND_SHARE = 0.5
"""How often a customer with a favourite brand types it too."""


def search_texts(assortment: Assortment) -> list[str]:
    """Return every text that is searched for; its place is its number.

    With K kinds: 0..K-1 the kinds, K..2K-1 the categories of the kinds, then K for each brand: brand and kind.
    """
    kinds = [kind.lower() for kind in assortment.kinds]
    categories = [assortment.categories[category].name.lower() for category in assortment.kind_category]
    return kinds + categories + [f"{brand.name.lower()} {kind}" for brand in assortment.brands for kind in kinds]


def draw_searches(assortment: Assortment, kind: Integers, favourite: Integers, rng: np.random.Generator) -> Integers:
    """Draw the number of the text that each customer types, who looks for a kind and may like a brand (-1: none)."""
    n_kinds = len(assortment.kinds)
    chance = rng.random((2, len(kind)))
    plain = kind + n_kinds * (chance[0] < CATEGORY_SHARE)
    with_brand = kind + n_kinds * (2 + favourite)
    return np.where((favourite >= 0) & (chance[1] < BRAND_SHARE), with_brand, plain)
