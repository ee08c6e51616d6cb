"""What acts of each type say about a product."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from active_customers.core.config import Config
from active_customers.core.event import TASTE_TYPES

Weight = Annotated[float, Field(ge=0)]


class EventWeights(Config):
    """How much one act of each type says about a product."""

    view: Weight = 1.0
    """Looking at it."""
    click: Weight = 1.0
    """Choosing it from a list."""
    wishlist_add: Weight = 3.0
    """Keeping it in mind."""
    cart_add: Weight = 3.0
    """Putting it into the cart."""
    purchase: Weight = 5.0
    """Buying it."""
    email_click: Weight = 1.0
    """Following it from an email."""
    push_click: Weight = 1.0
    """Following it from a push message."""

    def table(self) -> NDArray[np.float64]:
        """Return the weights by event type number, 0 for types that say nothing."""
        weights = np.zeros(256)
        for kind in TASTE_TYPES:
            weights[kind] = getattr(self, kind.word)
        return weights
