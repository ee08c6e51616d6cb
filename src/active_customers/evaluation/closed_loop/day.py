"""One day of simulated customers in a shop whose pages show recommendations."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.core.event import EventType
from active_customers.evaluation.simulator.browsing import MAX_PAGES, BrowsingDay
from active_customers.evaluation.simulator.buying import Minds
from active_customers.evaluation.simulator.customers import NOTHING
from active_customers.evaluation.simulator.simulation import Life
from active_customers.evaluation.simulator.truth import Truth, reached
from active_customers.evaluation.simulator.visits import Visits

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


class Ended(NamedTuple):
    """Visits that have ended: whose (int64[s]), when (microseconds, int64[s]), what they were to bring, float64[s].

    That is the price of all that was looked at, times the true chance that it was ordered.
    """

    customer: Integers
    time: Integers
    expected: NDArray[np.float64]


class Seen(NamedTuple):
    """How recommendations were read.

    Shapes, for s pages of n products: `looked` bool[s], whether they were looked at; `read` int64[s], how many
    products were (0 where none); `place` int64[s], which was clicked (-1: none); `click` float64[s, n], the true
    chance of a click on each when it is looked at; `worth` float64[s], what the recommendations were truly worth, as
    `Truth.values` has it, whether or not they were looked at.
    """

    looked: Flags
    read: Integers
    place: Integers
    click: NDArray[np.float64]
    worth: NDArray[np.float64]


class ShoppingDay(BrowsingDay):
    """The visits that begin on one day, moved on page by page as the clock goes.

    A page shows recommendations above the shop's own list. They are looked at with the chance `attention`, from the
    top, as `Truth` has it; where nothing in them is clicked, the shop's own list is read as in a shop without them.
    """

    def __init__(self, life: Life, day: int, attention: float) -> None:
        super().__init__(life.shop, life.memory, life.journal, day)
        self.day = day
        self.visits = life.admit(day)
        self._checkout = life.checkout
        self._truth = Truth(life.shop)
        self._attention = attention
        self._read_on = life.shop.config.read_on_share
        self._leaving = life.shop.config.rng(4, day)
        n = len(self.visits)
        self._answer = np.full(n, NOTHING, np.int64)
        """Number of the answer in which the current product was found."""
        self._has_landed = self.visits.current == NOTHING
        self._has_left = np.zeros(n, np.bool_)
        self._turned = np.zeros(n, np.int64)
        self._expected = np.zeros(n)
        self._ended: list[Integers] = []

    @property
    def is_over(self) -> bool:
        """Whether all visits have ended."""
        return bool(self._has_left.all())

    def turn(self, until: int) -> tuple[Integers, Integers]:
        """Let everybody whose time comes before `until` go on to their next page, or leave the shop.

        Returns the visits with a page that lists products, and which page it is (`Context`), both int64[s].
        """
        visits = self.visits
        self.land(visits, self._take(~self._has_landed, self._has_landed, until))
        is_done = (visits.pages_left <= 0) | (self._turned >= MAX_PAGES)
        rows = self._take(is_done & ~self._has_left, self._has_left, until)
        self._checkout.let_go(visits, rows, self.day, self._leaving)
        self._ended.append(rows)
        turning = np.flatnonzero(self._has_landed & ~is_done & (visits.clock < until))
        self._turned[turning] += 1
        return turning, self.open_page(visits, turning)

    def ended(self) -> Ended:
        """Return the visits that have ended since it was last asked."""
        rows = np.concatenate([*self._ended, np.empty(0, np.int64)])
        self._ended = []
        return Ended(self.visits.customer[rows], self.visits.clock[rows], self._expected[rows])

    def minds(self, rows: Integers) -> Minds:
        """Return what the customers of some visits want and have now."""
        return Minds.of(self.visits, rows, self._memory)

    def see(self, rows: Integers, source: Integers, pages: Integers, numbers: Integers) -> Seen:
        """Let each visit read its page: the recommendations (int64[s, n], -1: none), then the shop's own list.

        `numbers` (int64[s]) are those of the answers.
        """
        visits = self.visits
        looked = (self._rng.random(len(rows)) < self._attention) & (pages[:, :1] != NOTHING).any(axis=1)
        minds = self.minds(rows)
        click = self._truth.clicks(minds, pages, self.day)
        worth = reached(click, self._read_on) * click * self._buying.worth(minds, np.maximum(pages, 0))
        place, read = read_lists(click, pages != NOTHING, self._read_on, self._rng)
        place = np.where(looked, place, NOTHING)
        self._record_impressions(rows[looked], source[looked], numbers[looked], read[looked])
        hit = place != NOTHING
        self._answer[rows] = np.where(hit, numbers, NOTHING)
        found = rows[hit]
        visits.current[found] = pages[hit, place[hit]]
        self._record_sight(EventType.CLICK, visits, found, source[hit])
        self._look_at(visits, found, source[hit])
        self.read(visits, rows[~hit], source[~hit])
        visits.pages_left[rows] -= 1
        return Seen(looked, np.where(looked, read, 0), place, click, worth.sum(axis=1))

    def _cart_chance(self, visits: Visits, rows: Integers) -> NDArray[np.float64]:
        chance = super()._cart_chance(visits, rows)
        self._expected[rows] += self._buying.earned(chance, visits.current[rows])
        return chance

    def _take(self, wanted: Flags, taken: Flags, until: int) -> Integers:
        """Return the wanted visits whose time comes before `until`, and note them as taken."""
        rows = np.flatnonzero(wanted & (self.visits.clock < until))
        taken[rows] = True
        return rows

    def _record_impressions(self, rows: Integers, source: Integers, numbers: Integers, read: Integers) -> None:
        """Record lists that were seen, as one event each; `quantity` says how far down each was read."""
        acts = self.visits.acts(rows)
        self._journal.record(EventType.IMPRESSION, **acts, context=source, answer=numbers, quantity=read)

    def _origin(self, rows: Integers) -> dict[str, Integers]:
        return {"answer": self._answer[rows]}


def read_lists(
    click: NDArray[np.float64], is_shown: Flags, read_on: float, rng: np.random.Generator
) -> tuple[Integers, Integers]:
    """Draw how each list is read, by the chances of clicks ([s, n]).

    Returns the place of the click (-1: none), int64[s], and how many products were looked at, int64[s].
    """
    goes_on = rng.random(click.shape) < np.where(np.arange(click.shape[1]) == 0, 1.0, read_on)
    looked_at = (np.cumprod(goes_on, axis=1) == 1) & is_shown
    is_clicked = (rng.random(click.shape) < click) & looked_at
    has_click = is_clicked.any(axis=1)
    place = np.where(has_click, is_clicked.argmax(axis=1), NOTHING)
    return place, np.where(has_click, place + 1, looked_at.sum(axis=1))
