"""Item-to-item relations as a model: looked at together, bought together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from active_customers.core.clock import DAY
from active_customers.core.config import Config
from active_customers.core.event import EventType
from active_customers.core.session import SessionQuery
from active_customers.kernels.candidate_set import Room, candidate_set, evidence_of, make_room, scores_of
from active_customers.kernels.item_knn import (
    Baskets,
    Pairing,
    PairScratch,
    Relation,
    RelationScratch,
    collect,
    recommend,
    related_rows,
)
from active_customers.kernels.sessions import last_acts, newest_rows
from active_customers.models.base import NO_PRODUCTS, Arrays, Candidates, SessionLog
from active_customers.models.kernel_arguments import PerThread, frozen, longest_row, question, wanted

CHUNK = 8192
"""Products whose rows are made in one call: bounds the memory that fitting needs beside the result."""


class ItemKnnConfig(Config):
    """Parameters of `ItemKnn`. Distances are e-folds: after that many steps 1/e of a weight is left."""

    neighbours: Annotated[int, Field(ge=1)] = 100
    """Related products kept for each product and relation."""
    window: Annotated[int, Field(ge=1)] = 10
    """Acts between two products beyond which they were not looked at together."""
    distance_decay: Annotated[float, Field(gt=0)] = 3.0
    """How fast a pair loses weight with the acts between, in `viewed`."""
    damping: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Power of the two products' session counts that a pair's weight is divided by; 0.5 is the cosine."""
    cart_strength: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """What a product put into the cart counts, as a part of one bought, in `bought`. A pair counts as its weaker half,
    and only if `min_support` sessions bought both: carts strengthen what purchases have shown."""
    min_support: Annotated[int, Field(ge=1)] = 2
    """Sessions that must have bought both products of a pair in `bought`: one basket alone shows no habit."""
    query_depth: Annotated[int, Field(ge=1, le=256)] = 10
    """Newest distinct products of the customer's session that are used."""
    query_decay: Annotated[float, Field(gt=0)] = 1.5
    """How fast older products of the customer's session lose weight, in distinct products."""
    basket_depth: Annotated[int, Field(ge=1, le=256)] = 50
    """Newest products of a cart that are used, all alike, in `bought_with`."""
    recency_half_life_days: Annotated[float, Field(gt=0)] = 90.0
    """Age at which a session counts half."""
    session_length: Annotated[int, Field(ge=2, le=1000)] = 100
    """Newest acts of a session that are used."""


class ItemKnn:
    """Proposes what stands together with the products of a session, in two relations.

    `viewed` pairs all acts of a session by their distance; `bought` pairs what at least `min_support` sessions bought.
    Both are pruned to the strongest `neighbours` of each product. The evidence is the product of the query that is
    related strongest.
    """

    def __init__(self, config: ItemKnnConfig | None = None) -> None:
        self.config = config or ItemKnnConfig()
        self._open(no_relation(), no_relation())

    def fit(self, log: SessionLog) -> None:
        """Count the pairs of the log's sessions."""
        config = self.config
        near = np.exp(-(np.arange(config.window + 1) - 1.0) / config.distance_decay)
        everywhere = np.ones(config.session_length)
        viewed = self._relate(log, np.ones(len(log.products), np.float32), self._pairing(log, near, 1))
        bought = self._relate(log, self._purchase_strengths(log), self._pairing(log, everywhere, config.min_support))
        self._open(viewed, bought)

    def candidates(self, session: SessionQuery, n: int, excluded: NDArray[np.uint32] = NO_PRODUCTS) -> Candidates:
        """Return at most `n` products looked at together with those of the session, best first."""
        return self._ask(self.viewed, self.by_place, session.products, n, excluded)

    def bought_with(
        self, products: NDArray[np.uint32], n: int, excluded: NDArray[np.uint32] = NO_PRODUCTS
    ) -> Candidates:
        """Return at most `n` products bought together with the given ones (oldest first, all alike), best first."""
        return self._ask(self.bought, self.alike, products, n, excluded)

    def score(self, session: SessionQuery, products: NDArray[np.uint32]) -> NDArray[np.float32]:
        """Return how strongly each product is related to the session in `viewed`; 0 where it is not."""
        scratch = self._scratch.get()
        count = collect(self.viewed, self.by_place, scratch, question(session.products))
        return scores_of(scratch.candidates, count, question(products))

    def why(self, session: SessionQuery, product: int) -> int:
        """Return the product of the session that this one is related to strongest in `viewed`, or `NO_NUMBER`."""
        scratch = self._scratch.get()
        count = collect(self.viewed, self.by_place, scratch, question(session.products))
        return evidence_of(scratch.candidates, count, int(product))

    def arrays(self) -> Arrays:
        """Return both relations, fields named `<relation>_<field>`."""
        relations = {"viewed": self.viewed, "bought": self.bought}
        return {f"{name}_{field}": a for name, r in relations.items() for field, a in r._asdict().items()}

    @classmethod
    def from_arrays(cls, arrays: Arrays, config: Mapping[str, object]) -> Self:
        """Make the model again from what `arrays` returned and its configuration."""
        model = cls(ItemKnnConfig.model_validate(config))
        viewed, bought = (
            Relation(*(arrays[f"{name}_{field}"] for field in Relation._fields)) for name in ("viewed", "bought")
        )
        model._open(viewed, bought)
        return model

    def _open(self, viewed: Relation, bought: Relation) -> None:
        self.viewed = Relation(*(frozen(array) for array in viewed))
        self.bought = Relation(*(frozen(array) for array in bought))
        self.by_place = np.exp(-np.arange(self.config.query_depth) / self.config.query_decay)
        self.alike = np.ones(self.config.basket_depth)
        self._scratch = PerThread(lambda: RelationScratch(*make_room(self.room)))

    @property
    def room(self) -> Room:
        """The scratch memory that a question needs."""
        depth = max(self.config.query_depth, self.config.basket_depth)
        longest = max(longest_row(self.viewed.offsets), longest_row(self.bought.offsets))
        return Room(depth * longest, len(self.viewed.offsets) - 1)

    def _ask(
        self,
        relation: Relation,
        by_place: NDArray[np.float64],
        products: NDArray[np.uint32],
        n: int,
        excluded: NDArray[np.uint32],
    ) -> Candidates:
        return Candidates(*recommend(relation, by_place, self._scratch.get(), question(products), wanted(n, excluded)))

    def _pairing(self, log: SessionLog, by_distance: NDArray[np.float64], min_support: int) -> Pairing:
        ends = log.times[log.offsets[1:] - 1] if log.n_sessions else np.empty(0, np.int64)
        age_days = np.maximum(log.reference_time - ends, 0) / DAY
        recency = (0.5 ** (age_days / self.config.recency_half_life_days)).astype(np.float32)
        return Pairing(by_distance, recency, self.config.damping, self.config.neighbours, min_support)

    def _purchase_strengths(self, log: SessionLog) -> NDArray[np.float32]:
        strengths = np.zeros(256, np.float32)
        strengths[EventType.CART_ADD] = self.config.cart_strength
        strengths[EventType.PURCHASE] = 1.0
        return strengths[log.event_types]

    def _relate(self, log: SessionLog, strengths: NDArray[np.float32], pairing: Pairing) -> Relation:
        return relate(make_baskets(log, strengths, self.config.session_length), pairing, log.n_products)


def relate(baskets: Baskets, pairing: Pairing, n_products: int) -> Relation:
    """Return which products stand together in baskets, and how strongly."""
    scratch = PairScratch(candidate_set(n_products), np.zeros(n_products, np.uint32))
    parts = [
        related_rows(baskets, pairing, scratch, first, min(first + CHUNK, n_products))
        for first in range(0, max(n_products, 1), CHUNK)
    ]
    lengths, products, weights, support = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Relation(np.concatenate(([0], np.cumsum(lengths))), products, weights, support)


def no_relation() -> Relation:
    """Return a relation of no products."""
    nothing = np.empty(0, np.uint32)
    return Relation(np.zeros(1, np.int64), nothing, np.empty(0, np.float32), nothing)


def make_baskets(log: SessionLog, strengths: NDArray[np.float32], kept: int) -> Baskets:
    """Return the log's acts of positive strength: one row for each product of a session, its strongest, latest act.

    Sessions keep their numbers; some may be empty. Positions count acts, of which the `kept` newest
    are looked at.
    """
    sessions = np.repeat(np.arange(log.n_sessions), np.diff(log.offsets))
    positions = kept - (log.offsets[1:][sessions] - np.arange(len(sessions)))
    acts = np.flatnonzero((strengths > 0) & (positions >= 0))
    order = acts[np.lexsort((acts, strengths[acts], sessions[acts]))]
    offsets = np.concatenate(([0], np.cumsum(np.bincount(sessions[order], minlength=log.n_sessions))))
    distinct_offsets, picked = last_acts(frozen(offsets), frozen(log.products[order]), log.n_products, kept)
    rows = order[picked]
    products = frozen(log.products[rows])
    row_offsets, inverse = newest_rows(frozen(distinct_offsets), products, log.n_products, max(len(rows), 1))
    return Baskets(
        offsets=distinct_offsets,
        products=products,
        positions=positions[rows].astype(np.int16),
        strengths=strengths[rows],
        sessions=sessions[rows].astype(np.uint32),
        row_offsets=row_offsets,
        rows=inverse,
    )
