"""What the catalogue decides of an answer: categories, searches, what stands in for a product, and what only would."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from active_customers.catalog.kinds import ProductKinds
from active_customers.catalog.table import TableReader
from active_customers.catalog.word_index import WordIndex
from active_customers.core.config import Config
from active_customers.core.event import Context
from active_customers.core.session import State
from active_customers.kernels.answer_rows import Rows
from active_customers.kernels.candidate_set import CandidateSet, candidate_set
from active_customers.kernels.narrowing import add_members, narrowed
from active_customers.kernels.retrieval import Asked, kept_out
from active_customers.kernels.shelves import put_nearest
from active_customers.kernels.state_sections import Numbers
from active_customers.kernels.substitutes import Nearness, stand_ins_of
from active_customers.kernels.top_n import Wanted
from active_customers.models.kernel_arguments import PerThread, Prepared
from active_customers.realtime.schemas import MAX_N, Query
from active_customers.realtime.session_recommender import SessionRecommender
from active_customers.storage.base import CatalogStore

NARROW = frozenset({Context.CATEGORY, Context.SEARCH, Context.OUT_OF_STOCK})
"""Contexts that only certain products fit."""


class StorefrontConfig(Config):
    """What counts as a substitute: of the cart, which is not proposed with it, and of what is sold out."""

    near_price: Annotated[float, Field(gt=0, le=1)] = 0.7
    """Share of the higher price that the lower one has at least, where two products of one leaf category serve one
    need."""
    often_baskets: Annotated[int, Field(ge=1)] = 5
    """Baskets that hold both of two such products, from which on they are no substitutes but go together."""


class Storefront:
    """Answers where only certain products fit; `kinds` and `words` are to be followed beside."""

    def __init__(self, catalog: CatalogStore, table: TableReader, config: StorefrontConfig | None = None) -> None:
        self._catalog = catalog
        config = config or StorefrontConfig()
        self.nearness = Nearness(config.near_price, config.often_baskets)
        self.kinds = ProductKinds(table)
        self.words = WordIndex(catalog, table)
        self._stand_ins = Prepared(stand_ins_of)
        self._rows = PerThread(lambda: Rows(*(np.zeros(MAX_N, dtype) for dtype in ("i8", "f8", "i8", "i8"))))
        self._scratch = PerThread(_Grown)

    def missing(self, context: Context, *, is_found: bool = False) -> list[str]:
        """Say why nothing was found, or perhaps not all."""
        if not self.words.is_ready and context != Context.OUT_OF_STOCK:
            return ["catalogue_index"]
        return [] if is_found else ["no_match"]

    def stand_ins(self, recommender: SessionRecommender, state: State, now: int) -> Numbers:
        """Return what would only replace a product of the cart."""
        bought = recommender.shelf_sources.bought
        found: Numbers = self._stand_ins(self.kinds.handed(), bought, state, now, self.nearness)
        return found

    def found(
        self, recommender: SessionRecommender, state: State, query: Query, asked: Asked
    ) -> tuple[Rows, int] | None:
        """Return the answer where only certain products fit, and its length; None where there are none."""
        if query.context == Context.OUT_OF_STOCK:
            if not len(asked.products):
                return None
            wanted = Wanted(asked.n, kept_out(state, asked), asked.standing)
            return self.nearest(recommender, int(asked.products[0]), wanted, by_price=True)
        members = self.members(query.category, query.query)
        if not len(members):
            return None
        rows, size = recommender.retrieve(state, self.among(members, asked), query.channel)
        if size < asked.n:
            wanted = Wanted(asked.n, kept_out(state, asked), asked.standing)
            size = add_members(rows, size, members, recommender.popularity(members), wanted)
        return (rows, size) if size else None

    def among(self, members: Numbers, asked: Asked) -> Asked:
        """Return what is asked with all closed but some products (ascending, one at least)."""
        only = narrowed(asked.standing, members, max(self._catalog.n_products(), int(members[-1]) + 1))
        only.flags.writeable = False
        return asked._replace(standing=only)

    def members(self, category: str | None, query: str | None = None) -> Numbers:
        """Return the products of a category, or those that a search finds, ascending."""
        return self.words.in_category(category) if category else self.words.find(query or "")

    def nearest(
        self, recommender: SessionRecommender, product: int, wanted: Wanted, *, by_price: bool
    ) -> tuple[Rows, int] | None:
        """Return what is nearest to a product (see `kernels.substitutes.nearest`); None where nothing is."""
        handed, related = self.kinds.handed(), recommender.shelf_sources.related
        scratch = self._scratch.get().of(max(recommender.n_products, self.kinds.n_products))
        found = put_nearest(handed, related, scratch, (product, by_price), wanted)
        size, rows = len(found[0]), self._rows.get()
        for column, values in zip(rows, (*found, np.full(size, product)), strict=True):
            column[:size] = values
        return (rows, size) if size else None


class _Grown:
    """A candidate set that is made anew when it is too small."""

    def __init__(self) -> None:
        self._set = candidate_set(0)

    def of(self, n_products: int) -> CandidateSet:
        """Return a set with room for so many products."""
        if len(self._set.slots) < n_products:
            self._set = candidate_set(2 * n_products)
        return self._set
