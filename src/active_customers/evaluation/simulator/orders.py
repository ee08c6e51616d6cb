"""What becomes of the carts: taken out again, abandoned, or ordered; and what is sent back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from active_customers.core.clock import DAY, SECOND
from active_customers.core.event import Context, EventType
from active_customers.evaluation.simulator.customers import NOTHING, Memory
from active_customers.evaluation.simulator.journal import Column, Journal
from active_customers.evaluation.simulator.shop import Shop
from active_customers.evaluation.simulator.visits import CART_SIZE, Visits

Integers = NDArray[np.int64]

SECOND_PIECES = 0.35
"""Mean number of further pieces of a product that is used up."""
RETURN_DAYS = (3, 14)


class Checkout:
    """Closes the carts of a day; gives every order its number."""

    def __init__(self, shop: Shop, memory: Memory, journal: Journal) -> None:
        self._shop = shop
        self._memory = memory
        self._journal = journal
        self._again = np.array([category.again for category in shop.catalogue.assortment.categories])
        self._counted = 0

    def close(self, visits: Visits, day: int) -> None:
        """Let all customers of a day leave, some of those with a cart with an order."""
        self.let_go(visits, np.arange(len(visits)), day, self._shop.config.rng(4, day))

    def let_go(self, visits: Visits, rows: Integers, day: int, rng: np.random.Generator) -> None:
        """Let the customers of some visits leave."""
        self._take_out(visits, rows, rng)
        full = rows[(visits.cart[rows] != NOTHING).any(axis=1)]
        self._memory.wanted[visits.customer[full]] = visits.cart[full, (visits.cart[full] != NOTHING).argmax(axis=1)]
        leaving = full[rng.random(len(full)) < self._shop.config.checkout_rate]
        visits.clock[leaving] += 20 * SECOND
        context = np.full(len(leaving), int(Context.CART))
        self._journal.record(EventType.CHECKOUT, **visits.acts(leaving), context=context)
        paying = leaving[rng.random(len(leaving)) < self._shop.config.payment_rate]
        visits.clock[paying] += (rng.uniform(40, 240, len(paying)) * 1000).astype(np.int64) * (SECOND // 1000)
        self._order(visits, paying, day, rng)

    def _take_out(self, visits: Visits, leaving: Integers, rng: np.random.Generator) -> None:
        cart = visits.cart[leaving]
        taken = (cart != NOTHING) & (rng.random(cart.shape) < self._shop.config.cart_remove_rate)
        nth, slots = np.nonzero(taken)
        rows = leaving[nth]
        visits.clock[np.unique(rows)] += 5 * SECOND
        context = np.full(len(rows), int(Context.CART))
        product = visits.cart[rows, slots]
        self._journal.record(EventType.CART_REMOVE, **visits.acts(rows), product=product, context=context)
        visits.cart[rows, slots] = NOTHING

    def _order(self, visits: Visits, paying: Integers, day: int, rng: np.random.Generator) -> None:
        number = np.arange(self._counted + 1, self._counted + len(paying) + 1)
        self._counted += len(paying)
        line, slots = np.nonzero(visits.cart[paying] != NOTHING)
        rows = paying[line]
        product = visits.cart[rows, slots]
        is_used_up = self._again[self._shop.catalogue.category[product]] > 0
        lines: dict[str, Column] = {
            **visits.acts(rows),
            "product": product,
            "quantity": 1 + rng.poisson(SECOND_PIECES * is_used_up),
            "price": self._shop.catalogue.price[product],
            "order": number[line],
        }
        context = np.full(len(rows), int(Context.CHECKOUT))
        self._journal.record(EventType.PURCHASE, **lines, context=context)
        self._send_back(lines, rng)
        self._remember(visits.customer[rows], product, day)
        self._memory.orders[visits.customer[paying]] += 1
        self._memory.wanted[visits.customer[paying]] = NOTHING

    def _send_back(self, lines: Mapping[str, Column], rng: np.random.Generator) -> None:
        """Record refunds of some lines, whole and some days later, outside of any session."""
        sent = np.flatnonzero(rng.random(len(lines["product"])) < self._shop.config.refund_rate)
        refunds = {name: column[sent] for name, column in lines.items() if name not in ("session", "channel")}
        days = rng.uniform(*RETURN_DAYS, len(sent))
        refunds["time"] = lines["time"][sent].astype(np.int64) + (days * DAY).astype(np.int64) // SECOND * SECOND
        self._journal.record(EventType.REFUND, **refunds)

    def _remember(self, customer: Integers, product: Integers, day: int) -> None:
        """Note what is owned now, and when what is used up will be needed again."""
        again = self._again[self._shop.catalogue.category[product]]
        staples = again > 0
        self._memory.staple[customer[staples]] = product[staples]
        self._memory.staple_day[customer[staples]] = day + again[staples]
        for slot in range(CART_SIZE):
            nth = _nth_of_customer(customer) == slot
            owner, bought = customer[nth], product[nth]
            self._memory.owned[owner] = np.column_stack((bought, self._memory.owned[owner, :-1]))


def _nth_of_customer(customer: Integers) -> Integers:
    """Return for each row how many earlier rows in a run of the same customer there are."""
    starts = np.flatnonzero(np.concatenate(([True], customer[1:] != customer[:-1]))) if len(customer) else customer
    return np.arange(len(customer)) - np.repeat(starts, np.diff(np.append(starts, len(customer))))
