"""A linear item-item model: what a session's products foretell, each in the light of the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from active_customers.core.clock import DAY
from active_customers.core.config import Config
from active_customers.core.session import SessionQuery
from active_customers.kernels.candidate_set import Room, candidate_set, evidence_of, make_room, scores_of
from active_customers.kernels.item_knn import (
    Pairing,
    PairScratch,
    Relation,
    RelationScratch,
    collect,
    recommend,
    related_rows,
)
from active_customers.kernels.linear import Fitting, Moments, Rows, Walk, solve, walked
from active_customers.models.base import NO_PRODUCTS, Arrays, Candidates, SessionLog
from active_customers.models.item_knn import make_baskets
from active_customers.models.kernel_arguments import PerThread, frozen, longest_row, question, wanted

_CHUNK = 2048
"""Products whose rows are made in one call: bounds the memory that fitting needs beside the result."""


class LinearConfig(Config):
    """Parameters of `Linear`. Distances are e-folds: after that many steps 1/e of a weight is left."""

    neighbours: Annotated[int, Field(ge=1)] = 200
    """Products that each product speaks for, at most: the strongest."""
    support: Annotated[int, Field(ge=1, le=2000)] = 200
    """Predictors of each product; fitting takes time with the third power."""
    ridge: Annotated[float, Field(gt=0)] = 3.0
    """How much weights are drawn to 0: as if so many more sessions had held each predictor and nothing else."""
    together: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Weight of what stands anywhere in the same session; the rest is that of what comes later."""
    forward_decay: Annotated[float, Field(gt=0)] = 1.5
    """How fast what comes later loses weight with the acts between."""
    window: Annotated[int, Field(ge=1)] = 20
    """Acts between two products beyond which neither foretells the other."""
    length_damping: Annotated[float, Field(ge=0, le=2)] = 1.0
    """Power of a session's distinct products that its pairs' weight is divided by."""
    recency_half_life_days: Annotated[float, Field(gt=0)] = 90.0
    """Age at which a session counts half."""
    steps: Annotated[int, Field(ge=1, le=10)] = 3
    """Steps of the walk over what products speak for."""
    go_on: Annotated[float, Field(ge=0, lt=1)] = 0.8
    """Chance of each further step."""
    pairs: Annotated[int, Field(ge=1)] = 2000
    """Products that a product's sums are kept with: bounds the memory of fitting."""
    query_depth: Annotated[int, Field(ge=1, le=256)] = 10
    """Newest distinct products of the customer's session that are used."""
    query_decay: Annotated[float, Field(gt=0)] = 2.5
    """How fast older products of the customer's session lose weight, in distinct products."""
    session_length: Annotated[int, Field(ge=2, le=1000)] = 60
    """Newest acts of a session that are used."""
    threads: Annotated[int, Field(ge=1)] = 2
    """Threads that fit."""


class Linear:
    """Proposes what the products of a session foretell by ridge regression.

    SLIST (Choi et al., "Session-aware linear item-item models", WWW 2021): what stands together and what follows,
    weighed against each other, with a closed form, no product foretelling itself. Instead of the inverse of a matrix
    that is dense in the catalogue each product has a regression on its own strongest predictors (fsSLIM; Ning and
    Karypis, "SLIM", ICDM 2011).
    """

    def __init__(self, config: LinearConfig | None = None) -> None:
        self.config = config or LinearConfig()
        nothing = np.empty(0, np.uint32)
        self._open(Relation(np.zeros(1, np.int64), nothing, np.empty(0, np.float32), nothing))

    def fit(self, log: SessionLog) -> None:
        """Solve a regression for each product of the log."""
        moments = self._moments(log)
        counts, sources, weights = self._solved(moments)
        again = self._again(log) / (moments.diagonal + self.config.ridge)
        self._open(self._walked(self._transposed(counts, sources, weights, again.astype(np.float32))))

    def candidates(self, session: SessionQuery, n: int, excluded: NDArray[np.uint32] = NO_PRODUCTS) -> Candidates:
        """Return at most `n` products, best first."""
        scratch = self._scratch.get()
        query = question(session.products)
        return Candidates(*recommend(self.rows, self.by_place, scratch, query, wanted(n, excluded)))

    def score(self, session: SessionQuery, products: NDArray[np.uint32]) -> NDArray[np.float32]:
        """Return how strongly the session foretells each product; 0 where it does not."""
        scratch = self._scratch.get()
        count = collect(self.rows, self.by_place, scratch, question(session.products))
        return scores_of(scratch.candidates, count, question(products))

    def why(self, session: SessionQuery, product: int) -> int:
        """Return the product of the session that speaks most for this one, or `NO_NUMBER`."""
        scratch = self._scratch.get()
        count = collect(self.rows, self.by_place, scratch, question(session.products))
        return evidence_of(scratch.candidates, count, int(product))

    def arrays(self) -> Arrays:
        """Return the rows, by the field names of `Relation`."""
        return self.rows._asdict()

    @classmethod
    def from_arrays(cls, arrays: Arrays, config: Mapping[str, object]) -> Self:
        """Make the model again from what `arrays` returned and its configuration."""
        model = cls(LinearConfig.model_validate(config))
        model._open(Relation(*(arrays[name] for name in Relation._fields)))
        return model

    def _open(self, rows: Relation) -> None:
        self.rows = Relation(*(frozen(array) for array in rows))
        self.by_place = np.exp(-np.arange(self.config.query_depth) / self.config.query_decay)
        self._scratch = PerThread(lambda: RelationScratch(*make_room(self.room)))

    @property
    def room(self) -> Room:
        """The scratch memory that a question needs."""
        return Room(self.config.query_depth * longest_row(self.rows.offsets), len(self.rows.offsets) - 1)

    def _moments(self, log: SessionLog) -> Moments:
        config = self.config
        baskets = make_baskets(log, np.ones(len(log.products), np.float32), config.session_length)
        lengths = np.maximum(np.diff(baskets.offsets), 1)
        ends = log.times[log.offsets[1:] - 1] if log.n_sessions else np.empty(0, np.int64)
        age_days = np.maximum(log.reference_time - ends, 0) / DAY
        weights = 0.5 ** (age_days / config.recency_half_life_days) * lengths**-config.length_damping
        recency = (weights * lengths**config.length_damping).astype(np.float32)
        steps = np.arange(config.session_length, dtype=np.float64)
        within = (steps <= config.window).astype(np.float64)
        together = Pairing(within * config.together, weights.astype(np.float32), 0.0, config.pairs, 0)
        later = within * np.exp(-(steps - 1) / config.forward_decay) * (1 - config.together)

        def sums(pairing: Pairing) -> Relation:
            def part(first: int, last: int) -> tuple[NDArray[Any], ...]:
                scratch = PairScratch(candidate_set(log.n_products), np.zeros(log.n_products, np.uint32))
                return related_rows(baskets, pairing, scratch, first, last)

            lengths, products, values, support = self._in_parts(part, log.n_products)
            return Relation(np.concatenate(([0], np.cumsum(lengths))), products, values, support)

        gram = sums(together)
        forward = sums(Pairing(later, recency, 0.0, config.pairs, 0, forward=True))
        sessions = baskets.sessions.astype(np.int64)
        n = log.n_products
        diagonal: NDArray[Any] = config.together * np.bincount(baskets.products, weights[sessions], n)
        diagonal += (1 - config.together) * np.bincount(baskets.products, recency[sessions], n)
        return Moments(gram, diagonal, _added(gram, _turned(forward, n), n))

    def _again(self, log: SessionLog) -> NDArray[np.float64]:
        """Return how often each product comes again in its session, by the acts between: a regression on itself."""
        sessions = np.repeat(np.arange(log.n_sessions), np.diff(log.offsets))
        order = np.lexsort((np.arange(len(sessions)), log.products, sessions))
        same = (np.diff(sessions[order]) == 0) & (np.diff(log.products[order].astype(np.int64)) == 0)
        steps = np.diff(order)[same]
        weights = (1 - self.config.together) * np.exp(-(steps - 1) / self.config.forward_decay)
        return np.bincount(log.products[order[1:][same]], weights, log.n_products).astype(np.float64)

    def _solved(self, moments: Moments) -> Rows:
        fitting = Fitting(self.config.support, self.config.ridge)
        counts, products, weights = self._in_parts(
            lambda first, last: solve(moments, fitting, first, last), len(moments.diagonal)
        )
        return counts, products, weights

    def _in_parts(
        self, make: Callable[[int, int], tuple[NDArray[Any], ...]], n_products: int
    ) -> tuple[NDArray[Any], ...]:
        """Make the rows of all products in parts, side by side; the kernels let go of the interpreter."""
        firsts = range(0, max(n_products, 1), _CHUNK)
        with ThreadPoolExecutor(self.config.threads) as pool:
            parts = list(pool.map(lambda first: make(first, min(first + _CHUNK, n_products)), firsts))
        return tuple(np.concatenate(column) for column in zip(*parts, strict=True))

    def _walked(self, rows: Relation) -> Relation:
        """Return the rows after a walk over them."""
        config, n = self.config, len(rows.offsets) - 1
        sources = np.repeat(np.arange(n), np.diff(rows.offsets))
        sums = np.bincount(sources, rows.weights, n)
        scales = np.divide(1.0, sums, out=np.zeros(n), where=sums > 0)
        walk = Walk(scales, config.steps, config.go_on, config.neighbours)
        counts, products, weights = self._in_parts(
            lambda first, last: walked(rows, walk, candidate_set(n), first, last), n
        )
        return Relation(np.concatenate(([0], np.cumsum(counts))), products, weights, np.zeros(len(products), np.uint32))

    def _transposed(
        self,
        counts: NDArray[np.int64],
        sources: NDArray[np.uint32],
        weights: NDArray[np.float32],
        again: NDArray[np.float32],
    ) -> Relation:
        """Return what each product speaks for, strongest first, from what speaks for each; only what is positive."""
        n_products = len(again)
        everything = np.arange(n_products, dtype=np.uint32)
        targets = np.concatenate([np.repeat(everything, counts), everything])
        sources, weights = np.concatenate([sources, everything]), np.concatenate([weights, again])
        kept = np.flatnonzero(weights > 0)
        order = kept[np.lexsort((targets[kept], -weights[kept], sources[kept]))]
        lengths = np.bincount(sources[order], minlength=n_products)
        starts = np.concatenate(([0], np.cumsum(lengths)))
        place = np.arange(len(order)) - np.repeat(starts[:-1], lengths)
        order = order[place < self.config.neighbours]
        offsets = np.concatenate(([0], np.cumsum(np.minimum(lengths, self.config.neighbours))))
        return Relation(offsets, targets[order], weights[order], np.zeros(len(order), np.uint32))


def _turned(relation: Relation, n_products: int) -> Relation:
    """Return the relation the other way round."""
    rows = np.repeat(np.arange(n_products, dtype=np.uint32), np.diff(relation.offsets))
    order = np.argsort(relation.products, kind="stable")
    lengths = np.bincount(relation.products, minlength=n_products)
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    return Relation(offsets, rows[order], relation.weights[order], relation.support[order])


def _added(first: Relation, second: Relation, n_products: int) -> Relation:
    """Return the sum of two relations, products ascending in each row."""
    rows = np.concatenate([np.repeat(np.arange(n_products), np.diff(each.offsets)) for each in (first, second)])
    keys = rows * np.int64(max(n_products, 1)) + np.concatenate([first.products, second.products])
    values = np.concatenate([first.weights, second.weights])
    distinct, places = np.unique(keys, return_inverse=True)
    sums = np.bincount(places, values, len(distinct)).astype(np.float32)
    lengths = np.bincount(distinct // max(n_products, 1), minlength=n_products)
    products = (distinct % max(n_products, 1)).astype(np.uint32)
    return Relation(np.concatenate(([0], np.cumsum(lengths))), products, sums, np.zeros(len(sums), np.uint32))
