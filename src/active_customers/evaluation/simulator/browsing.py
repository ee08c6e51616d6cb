"""What happens on the pages of one day: all sessions go on together, a page at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from active_customers.core.clock import SECOND
from active_customers.core.event import Context, EventType
from active_customers.evaluation.simulator.buying import Buying, Minds
from active_customers.evaluation.simulator.customers import NOTHING, Memory
from active_customers.evaluation.simulator.journal import Journal
from active_customers.evaluation.simulator.needs import Needs
from active_customers.evaluation.simulator.searches import draw_searches
from active_customers.evaluation.simulator.shelves import Shelves
from active_customers.evaluation.simulator.shop import Shop, first_clicks
from active_customers.evaluation.simulator.visits import VIEWS_KEPT, Visits

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

MAX_PAGES = 40
SOURCES = np.array([Context.HOME, Context.CATEGORY, Context.SEARCH, Context.BROWSE])
FIRST_PAGES = np.array([0.36, 0.3, 0.34, 0.0])
"""Which page a visit begins on, where it does not begin on a product; in the order of `SOURCES`."""
NEXT_PAGES = np.array([0.06, 0.26, 0.14, 0.54])
NEXT_PAGES_AFTER_NOTHING = np.array([0.12, 0.5, 0.38, 0.0])
SECONDS_ON_PAGE, SPREAD_ON_PAGE = 32.0, 0.8
"""Median time on a page and standard deviation of its logarithm."""
BUYING_MOOD = 0.9
"""Eagerness gained with the first product in the cart: who buys one thing buys another."""
COMPLEMENT_MOOD = 1.0
"""Eagerness gained by looking for what goes with it."""
PAGES_AFTER_CART = 2
"""Pages that a customer goes on for with each product put into the cart."""


class BrowsingDay:
    """One day in the shop; `run` plays it and leaves the carts in the visits."""

    def __init__(self, shop: Shop, memory: Memory, journal: Journal, day: int) -> None:
        self._shop = shop
        self._memory = memory
        self._journal = journal
        self._moment = shop.config.moment_of(day)
        self._rng = shop.config.rng(3, day)
        self._stocked = shop.catalogue.in_stock(day)
        self._shelves = Shelves(shop.catalogue, self._moment)
        self._buying = Buying(shop, day)

    def run(self, visits: Visits) -> None:
        """Play every visit to its last page."""
        self.land(visits, np.flatnonzero(visits.current != NOTHING))
        for _ in range(MAX_PAGES):
            active = np.flatnonzero(visits.pages_left > 0)
            if not len(active):
                break
            self.read(visits, active, self.open_page(visits, active))
            visits.pages_left[active] -= 1

    def land(self, visits: Visits, rows: Integers) -> None:
        """Let visits begin on the page of their current product."""
        self._look_at(visits, rows, np.full(len(rows), int(Context.BROWSE)))
        visits.pages_left[rows] -= 1

    def open_page(self, visits: Visits, rows: Integers) -> Integers:
        """Let each visit go on to a page that lists products; return which (a `Context`), int64[s]."""
        self._wander(visits, rows)
        source = self._sources(visits, rows)
        visits.seeks_complement[rows] = False
        self._spend_time(visits, rows)
        self._search(visits, rows[source == Context.SEARCH])
        return source

    def read(self, visits: Visits, rows: Integers, source: Integers) -> None:
        """Show each visit the shop's own list on the page and go on to the product that is clicked, if any.

        What the session has seen before is not listed again: its place stays empty.
        """
        needs, who = visits.needs.at(rows), visits.customer[rows]
        shown = self._shelves.page(source, needs, visits.current[rows], self._shop.config.page_size, self._rng)
        click = self._shop.click_probabilities(who, shown, self._moment, needs)
        place = first_clicks(click * is_new(shown, visits.viewed[rows]), self._shop.config.read_on_share, self._rng)
        hit = np.flatnonzero(place >= 0)
        visits.current[rows] = NOTHING
        visits.current[rows[hit]] = shown[hit, place[hit]]
        self._record_clicks(visits, rows[hit], source[hit])
        self._look_at(visits, rows[hit], source[hit])

    def _wander(self, visits: Visits, rows: Integers) -> None:
        """Let some turn to something else that they like, and others to another product of the same category."""
        turned = rows[self._rng.random(len(rows)) < self._shop.config.wander_share]
        stays = self._rng.random(len(turned)) < 0.5
        fresh = self._shop.draw_needs(visits.customer[turned], self._moment, self._shelves, self._rng)
        category = np.where(stays, visits.needs.category[turned], fresh.category)
        mind = self._shelves.of_categories(category, 1, self._rng)[:, 0]
        visits.needs.put(turned, Needs.like(self._shop.catalogue, mind))

    def _sources(self, visits: Visits, rows: Integers) -> Integers:
        """Draw on which page the next products are listed."""
        is_first = visits.viewed[rows, 0] == NOTHING
        on_product = visits.current[rows] != NOTHING
        shares = np.where(is_first[:, None], FIRST_PAGES, NEXT_PAGES_AFTER_NOTHING)
        shares = np.where(on_product[:, None], NEXT_PAGES, shares)
        drawn = (np.cumsum(shares, axis=1) <= self._rng.random((len(rows), 1))).sum(axis=1)
        source = SOURCES[np.minimum(drawn, len(SOURCES) - 1)]
        on_empty_shelf = on_product & ~self._stocked[visits.current[rows]]
        source = np.where(on_empty_shelf, int(Context.OUT_OF_STOCK), source)
        return np.where(visits.seeks_complement[rows], int(Context.CART), source)

    def _spend_time(self, visits: Visits, rows: Integers) -> None:
        seconds = SECONDS_ON_PAGE * np.exp(self._rng.normal(0, SPREAD_ON_PAGE, len(rows)))
        visits.clock[rows] += (np.clip(seconds, 2, 900) * 1000).astype(np.int64) * (SECOND // 1000)

    def _search(self, visits: Visits, rows: Integers) -> None:
        """Type a query, except for those who only turn the page of what they found before."""
        asking = rows[visits.searched[rows] != visits.needs.kind[rows]]
        assortment, kind = self._shop.catalogue.assortment, visits.needs.kind[asking]
        department = assortment.category_department[visits.needs.category[asking]]
        favourite = self._shop.customers.favourites[visits.customer[asking], department]
        query = draw_searches(assortment, kind, favourite, self._rng)
        context = np.full(len(asking), int(Context.SEARCH))
        self._journal.record(EventType.SEARCH, **visits.acts(asking), query=query, context=context)
        visits.searched[asking] = kind
        visits.clock[asking] += 3 * SECOND

    def _record_clicks(self, visits: Visits, rows: Integers, source: Integers) -> None:
        recorded = self._rng.random(len(rows)) < self._shop.config.click_event_share
        self._record_sight(EventType.CLICK, visits, rows[recorded], source[recorded])
        visits.clock[rows] += SECOND // 2

    def _record_sight(self, event_type: EventType, visits: Visits, rows: Integers, source: Integers) -> None:
        """Record a click or view of the current product, with the category where it was found on a category's page."""
        product = visits.current[rows]
        category = np.where(source == Context.CATEGORY, self._shop.catalogue.category[product], NOTHING)
        acts = visits.acts(rows) | self._origin(rows)
        self._journal.record(event_type, **acts, product=product, context=source, category=category)

    def _origin(self, rows: Integers) -> dict[str, Integers]:
        """Return the columns that tell which answer of a service led each to the current product."""
        return {"answer": np.full(len(rows), NOTHING)}

    def _look_at(self, visits: Visits, rows: Integers, source: Integers) -> None:
        """View the current product, remember it, and perhaps put it into the cart or onto the wish list."""
        product = visits.current[rows]
        self._record_sight(EventType.VIEW, visits, rows, source)
        visits.viewed[rows] = np.column_stack((product, visits.viewed[rows, : VIEWS_KEPT - 1]))
        self._memory.wanted[visits.customer[rows]] = product
        wishes = rows[self._rng.random(len(rows)) < self._shop.config.wishlist_rate]
        self._spend_time(visits, rows)
        self._journal.record(
            EventType.WISHLIST_ADD,
            **visits.acts(wishes),
            product=visits.current[wishes],
            context=np.full(len(wishes), int(Context.BROWSE)),
        )
        self._fill_carts(visits, rows[self._rng.random(len(rows)) < self._cart_chance(visits, rows)])

    def _cart_chance(self, visits: Visits, rows: Integers) -> Floats:
        """Return the chance that each puts the product on the page into the cart; 0 when it cannot be bought."""
        minds = Minds.of(visits, rows, self._memory)
        return self._buying.cart_chances(minds, visits.current[rows][:, None])[:, 0]

    def _fill_carts(self, visits: Visits, rows: Integers) -> None:
        catalogue, product = self._shop.catalogue, visits.current[rows]
        visits.cart[rows, visits.n_cart[rows]] = product
        visits.n_cart[rows] += 1
        context = np.full(len(rows), int(Context.BROWSE))
        acts = visits.acts(rows) | self._origin(rows)
        self._journal.record(
            EventType.CART_ADD, **acts, product=product, price=catalogue.price[product], context=context
        )
        visits.mood[rows] += BUYING_MOOD * (visits.n_cart[rows] == 1)
        visits.pages_left[rows] += PAGES_AFTER_CART
        self._seek_complements(visits, rows)

    def _seek_complements(self, visits: Visits, rows: Integers) -> None:
        """Turn some of those who put the current product into their cart to what goes with it."""
        catalogue = self._shop.catalogue
        first, second = catalogue.assortment.complements[catalogue.category[visits.current[rows]]].T
        other = np.where((second != NOTHING) & (self._rng.random(len(rows)) < 0.5), second, first)
        seeks = (other != NOTHING) & (self._rng.random(len(rows)) < self._shop.config.complement_share)
        seekers = rows[seeks]
        mind = self._shelves.of_categories(other[seeks], 1, self._rng)[:, 0]
        visits.needs.put(seekers, Needs.like(catalogue, mind))
        visits.mood[seekers] += COMPLEMENT_MOOD
        visits.seeks_complement[seekers] = True


def is_new(shown: Integers, viewed: Integers) -> Flags:
    """Return where a page shows a product for the first time on it and in the session, bool[s, n]."""
    was_viewed = (shown[:, :, None] == viewed[:, None, :]).any(axis=2)
    same = shown[:, :, None] == shown[:, None, :]
    is_repeated = np.tril(same, -1).any(axis=2)
    return np.asarray(~was_viewed & ~is_repeated)
