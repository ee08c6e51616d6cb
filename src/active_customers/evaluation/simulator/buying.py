"""How likely customers put what they look at into the cart, and what that is worth to the shop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from active_customers.evaluation.simulator.customers import NOTHING, Memory
from active_customers.evaluation.simulator.needs import Needs
from active_customers.evaluation.simulator.orders import SECOND_PIECES
from active_customers.evaluation.simulator.shop import Shop
from active_customers.evaluation.simulator.visits import CART_SIZE, Visits

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

USUAL_ODDS = -1.2
"""Log-odds of the click on a product that a customer neither loves nor dislikes after having seen it."""
LIKING = 0.8
"""How much of the liking that makes a click also puts the product into the cart."""
PRICE_CAUTION = 0.12
"""Log-odds of putting into the cart lost with each unit of the logarithm of the price."""
USUAL_PRICE = 40.0
OWNED = 4.0
"""Log-odds lost for a product of which a variant is in the cart, or owned and not used up."""


@dataclass(frozen=True, slots=True)
class Minds:
    """What customers want and have at one moment, as columns of s rows.

    Shapes: `customer` int64[s]; `needs` of s rows; `mood` float64[s], eagerness to buy in log-odds; `viewed`
    int64[s, v], `cart` int64[s, c] and `owned` int64[s, o], products (-1: none).
    """

    customer: Integers
    needs: Needs
    mood: Floats
    viewed: Integers
    cart: Integers
    owned: Integers

    def __len__(self) -> int:
        return len(self.customer)

    @classmethod
    def of(cls, visits: Visits, rows: Integers, memory: Memory) -> Self:
        """Return the minds of some visits."""
        customer = visits.customer[rows]
        return cls(
            customer=customer,
            needs=visits.needs.at(rows),
            mood=visits.mood[rows],
            viewed=visits.viewed[rows],
            cart=visits.cart[rows],
            owned=memory.owned[customer],
        )

    @classmethod
    def joined(cls, parts: Sequence[Minds]) -> Minds:
        """Return the rows of several."""
        columns = ("mood", "viewed", "cart", "owned")
        return cls(
            np.concatenate([part.customer for part in parts]),
            Needs.joined([part.needs for part in parts]),
            *(np.concatenate([getattr(part, name) for part in parts]) for name in columns),
        )


class Buying:
    """What a day's customers do with a product once they look at it."""

    def __init__(self, shop: Shop, day: int) -> None:
        self._shop = shop
        self._moment = shop.config.moment_of(day)
        self._stocked = shop.catalogue.in_stock(day)
        again = np.array([category.again > 0 for category in shop.catalogue.assortment.categories])
        self._replenishable = again[shop.catalogue.category]

    def cart_chances(self, minds: Minds, products: Integers) -> Floats:
        """Return the chance that each puts each product ([s, n]) into the cart; 0 when it cannot be bought."""
        catalogue, config = self._shop.catalogue, self._shop.config
        liking = self._shop.log_odds(minds.customer, products, self._moment, minds.needs)
        rate = np.clip(config.cart_rate, 1e-9, 1 - 1e-9)
        is_owned = self._has_variant(products, minds.owned) & ~self._replenishable[products]
        is_alike = self._has_variant(products, minds.cart)
        odds = (
            np.log(rate / (1 - rate))
            + LIKING * (liking - USUAL_ODDS)
            + minds.mood[:, None]
            - PRICE_CAUTION * np.log(catalogue.price[products] / USUAL_PRICE)
            - OWNED * (is_owned | is_alike)
        )
        can = self._stocked[products] & ((minds.cart != NOTHING).sum(axis=1) < CART_SIZE)[:, None]
        can &= ~(minds.cart[:, None, :] == products[:, :, None]).any(axis=2)
        return np.where(can, 1 / (1 + np.exp(-odds)), 0.0)

    def worth(self, minds: Minds, products: Integers) -> Floats:
        """Return what the shop may expect to earn when each looks at each product, in EUR, [s, n] in and out.

        It is what the product itself brings in this visit, not what the customer goes on to afterwards.
        """
        return self.earned(self.cart_chances(minds, products), products)

    def earned(self, chance: Floats, products: Integers) -> Floats:
        """Return what the shop may expect of products that come into a cart with a chance, in EUR; shapes are alike."""
        catalogue, config = self._shop.catalogue, self._shop.config
        ordered = (1 - config.cart_remove_rate) * config.checkout_rate * config.payment_rate
        pieces = 1 + SECOND_PIECES * self._replenishable[products]
        return np.asarray(chance * ordered * pieces * catalogue.price[products])

    def _has_variant(self, products: Integers, others: Integers) -> Flags:
        """Return whether a variant of each product (int64[s, n]) is among the others (int64[s, m], -1: none)."""
        group = self._shop.catalogue.group
        same = group[others][:, None, :] == group[products][:, :, None]
        return np.asarray((same & (others != NOTHING)[:, None, :]).any(axis=2))
