"""The visits of one day: who comes, when, looking for what."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from active_customers.core.clock import DAY, HOUR
from active_customers.core.event import Channel
from active_customers.evaluation.simulator.customers import NOTHING, Memory
from active_customers.evaluation.simulator.needs import Needs
from active_customers.evaluation.simulator.seasons import visit_factor, visit_times
from active_customers.evaluation.simulator.shelves import Shelves
from active_customers.evaluation.simulator.shop import Shop

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

VISITS_A_DAY = 2
LOYALTY = 0.15
"""Rise of the visit rate with each order, up to `LOYAL_ORDERS`."""
LOYAL_ORDERS = 4
CART_SIZE = 6
VIEWS_KEPT = 12
"""Products of a session that no later page of it lists again."""
ADVERT_SHARE = 0.12
"""Visits that begin on the page of a product, by an advertisement or another site."""
STAPLE_MOOD = 3.0
"""Eagerness to buy, in log-odds, of a customer who has used something up."""
COMPLEMENT_VISITS = 0.15
"""How often a customer who bought something comes back for what goes with it."""


@dataclass(frozen=True, slots=True)
class Visits:
    """Sessions of one day as columns; the simulation moves them on page by page.

    Shapes, for s sessions: `customer`, `number`, `clock` (microseconds), `channel`, `pages_left` int64[s]; `mood`
    float64[s], eagerness to buy in log-odds; `needs` of s rows; `current` int64[s], product on the page (-1: none);
    `viewed` int64[s, 12]; `searched` int64[s], kind searched for last (-1: none); `cart` int64[s, 6] and `n_cart`
    int64[s]; `seeks_complement` bool[s].
    """

    customer: Integers
    number: Integers
    clock: Integers
    channel: Integers
    pages_left: Integers
    mood: Floats
    needs: Needs
    current: Integers
    viewed: Integers
    searched: Integers
    cart: Integers
    n_cart: Integers
    seeks_complement: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.customer)

    def acts(self, rows: Integers) -> dict[str, Integers]:
        """Return the columns that every event of these visits has, as of now."""
        return {
            "time": self.clock[rows],
            "customer": self.customer[rows],
            "session": self.number[rows],
            "channel": self.channel[rows],
        }


class Doorman:
    """Lets the customers of a day in."""

    def __init__(self, shop: Shop, memory: Memory) -> None:
        self._shop = shop
        self._memory = memory
        self._counted = 0

    def admit(self, day: int, shelves: Shelves, rng: np.random.Generator) -> Visits:
        """Return the visits of a day of the period, ordered by their beginning."""
        config = self._shop.config
        moment = config.moment_of(day)
        customer, clock = self._arrivals(day, moment, rng)
        n = len(customer)
        mood = rng.normal(0, 0.9, n) + LOYALTY * np.minimum(self._memory.orders[customer], LOYAL_ORDERS)
        needs = self._needs(customer, moment, shelves, rng)
        used_up = self._used_up(customer, day)
        mood[used_up != NOTHING] += STAPLE_MOOD
        taken_up = np.where(used_up != NOTHING, used_up, self._taken_up(customer, rng))
        back = np.flatnonzero(taken_up != NOTHING)
        needs.put(back, Needs.like(self._shop.catalogue, taken_up[back]))
        self._counted += n
        return Visits(
            customer=customer,
            number=np.arange(self._counted - n + 1, self._counted + 1),
            clock=clock,
            channel=np.where(rng.random(n) < config.mobile_share, int(Channel.MOBILE), int(Channel.WEB)),
            pages_left=self._lengths(n, rng),
            mood=mood,
            needs=needs,
            current=np.where(taken_up != NOTHING, taken_up, self._advertised(needs, shelves, rng)),
            viewed=np.full((n, VIEWS_KEPT), NOTHING, np.int64),
            searched=np.full(n, NOTHING, np.int64),
            cart=np.full((n, CART_SIZE), NOTHING, np.int64),
            n_cart=np.zeros(n, np.int64),
            seeks_complement=np.zeros(n, np.bool_),
        )

    def _arrivals(self, day: int, moment: int, rng: np.random.Generator) -> tuple[Integers, Integers]:
        """Return who comes and when; a second visit of a day comes some hours after or before the first."""
        people, orders = self._shop.customers, self._memory.orders
        is_alive = (people.first_day <= day) & (day <= people.last_day)
        rate = people.visits_per_day * (1 + LOYALTY * np.minimum(orders, LOYAL_ORDERS)) * visit_factor(moment)
        times = np.minimum(rng.poisson(rate * is_alive), VISITS_A_DAY)
        times = np.maximum(times, people.first_day == day)
        customer = np.repeat(np.arange(len(people)), times)
        time = visit_times(people.hour[customer], rng)
        is_second = np.concatenate(([False], customer[1:] == customer[:-1]))
        earlier = np.concatenate(([0], time[:-1]))
        shift = (rng.uniform(2, 5, len(time)) * HOUR).astype(np.int64)
        time = np.where(is_second, np.where(earlier + shift < DAY, earlier + shift, earlier - shift), time)
        order = np.argsort(time, kind="stable")
        return customer[order], moment + time[order]

    def _lengths(self, n: int, rng: np.random.Generator) -> Integers:
        """Return how many pages each visit may have: one for those who leave at once, else geometric."""
        config = self._shop.config
        pages = 1 + rng.geometric(1 / max(config.pages_per_session - 1, 1), n)
        return np.where(rng.random(n) < config.bounce_share, 1, pages)

    def _needs(self, customer: Integers, moment: int, shelves: Shelves, rng: np.random.Generator) -> Needs:
        """Return what each looks for: their taste, or sometimes what goes with the product bought last."""
        catalogue = self._shop.catalogue
        needs = self._shop.draw_needs(customer, moment, shelves, rng)
        bought = self._memory.owned[customer, 0]
        other = catalogue.assortment.complements[catalogue.category[bought], 0]
        follows_up = (bought != NOTHING) & (other != NOTHING) & (rng.random(len(customer)) < COMPLEMENT_VISITS)
        rows = np.flatnonzero(follows_up)
        needs.put(rows, Needs.like(catalogue, shelves.of_categories(other[rows], 1, rng)[:, 0]))
        return needs

    def _used_up(self, customer: Integers, day: int) -> Integers:
        """Return the product that each has used up by now (-1: none); it comes up once."""
        memory = self._memory
        is_due = (memory.staple[customer] != NOTHING) & (memory.staple_day[customer] <= day)
        used_up = np.where(is_due, memory.staple[customer], NOTHING)
        memory.staple[customer[is_due]] = NOTHING
        return used_up

    def _taken_up(self, customer: Integers, rng: np.random.Generator) -> Integers:
        """Return the product of last time that some come back to (-1: none)."""
        comes_back = rng.random(len(customer)) < self._shop.config.resume_share
        return np.where(comes_back, self._memory.wanted[customer], NOTHING)

    def _advertised(self, needs: Needs, shelves: Shelves, rng: np.random.Generator) -> Integers:
        """Return the product, of the kind needed, that an advertisement brought some to (-1: none)."""
        starts = self._shop.catalogue.kind_start
        product = shelves.draw(starts[needs.kind], starts[needs.kind + 1], 1, rng)[:, 0]
        return np.where(rng.random(len(product)) < ADVERT_SHARE, product, NOTHING)
