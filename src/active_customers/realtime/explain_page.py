"""What one page asks of products beside the ranking, as accounts tell it: its category, stand-ins, free delivery."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from active_customers.core.event import Context
from active_customers.core.session import H_CART, State
from active_customers.kernels.retrieval import Asked, Sources, kept_out
from active_customers.kernels.state_sections import Numbers
from active_customers.kernels.top_n import Wanted
from active_customers.models.base import NO_PRODUCTS
from active_customers.realtime.engine import Answer, Engine
from active_customers.realtime.free_delivery import Gap
from active_customers.realtime.schemas import MAX_N, Query
from active_customers.realtime.storefront import NARROW

CodeAndText = tuple[str, str]


class Page(NamedTuple):
    """What the answer went by.

    `substitutes` would only replace what is in the cart. `members` alone are shown where a category or a search is
    asked for, `nearest` are what stands in for a product, best first; None where the answer did not go by it. `shown`
    says how often what was shown too often was shown.
    """

    sources: Sources
    substitutes: Numbers
    members: Numbers | None
    nearest: list[int] | None
    context: Context
    gap: Gap | None
    shown: dict[int, int]

    @classmethod
    def of(cls, engine: Engine, query: Query, question: tuple[State, Asked], answer: Answer) -> Page:
        """Return what an answer to a query went by; what it fell back from is none of it."""
        state, asked = question
        storefront, recommender = engine.storefront, engine.way(query).recommender
        is_narrow = query.context in NARROW and not set(storefront.missing(query.context)).intersection(answer.degraded)
        substitutes, members, nearest = NO_PRODUCTS, None, None
        if asked.is_cart and state[H_CART]:
            substitutes = storefront.stand_ins(recommender, state, asked.now)
        if is_narrow and query.context == Context.OUT_OF_STOCK:
            wanted = Wanted(MAX_N, kept_out(state, asked), asked.standing)
            found = storefront.nearest(recommender, int(asked.products[0]), wanted, by_price=True)
            nearest = [] if found is None else found[0].products[: found[1]].tolist()
        elif is_narrow:
            members = storefront.members(query.category, query.query)
        resting = engine.rotation.resting(state, asked.now).tolist()
        shown = {number: engine.rotation.times(state, number, asked.now) for number in resting}
        sources = recommender.sources_in(query.channel)
        return cls(sources, substitutes, members, nearest, query.context, answer.gap, shown)

    def kept_out(self, number: int) -> list[CodeAndText]:
        """Return why the page has no place for a product."""
        found = []
        if number in self.shown:
            times = self.shown[number]
            found.append(("rotated", f"it was shown {times} times without an act of the customer on it"))
        if number in self.substitutes:
            found.append(("substitute", "it would only replace a product of the cart"))
        if self.members is not None and number not in self.members:
            if self.context == Context.CATEGORY:
                found.append(("not_in_category", "it is neither in the category asked for nor below it"))
            else:
                found.append(("not_found", "the search does not find it"))
        return found

    def stood_in(self, number: int, n: int) -> CodeAndText:
        """Return where a product is among what stands in for another, of which `n` are shown."""
        nearest = self.nearest or []
        if number in nearest:
            place = nearest.index(number) + 1
            if place > n:
                return "stand_in", f"it is at place {place} of what stands in for the product; the answer ends at {n}"
            return "moved_out", f"it is at place {place} of what stands in: what was applied afterwards moved it out"
        if len(nearest) < MAX_N:
            return "stand_in", "it does not stand in: no visit, description, category or variant relates the two"
        return "stand_in", f"{MAX_N} others stand in for the product before it"

    @property
    def moved_by(self) -> str:
        """What moves products once they are ranked, as the end of a sentence."""
        prefers = self.gap is not None and self.gap.missing > 0
        return "what was applied afterwards" + (", what closes the gap to free delivery first," if prefers else "")


def delivery_factor(engine: Engine, number: int, gap: Gap | None) -> float:
    """Return what the gap to free delivery multiplies a product's score by, 1 where it does nothing."""
    if engine.delivery is None or gap is None:
        return 1.0
    return float(engine.delivery.factors(np.array([number], np.int64), gap)[0])
