"""Linear item-item models: what each product of a session adds to all others, found by ridge regression."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

import numpy as np
from pydantic import Field

from active_customers.core.config import Config
from active_customers.kernels.item_knn import Relation
from active_customers.kernels.ridge import Regression, no_residuals, regress
from active_customers.kernels.strongest import nothing_kept, ranked_rows
from active_customers.kernels.walk import Walk, WalkScratch, no_visits, walk_rows
from active_customers.models.base import NO_PRODUCTS, Arrays, SessionLog
from active_customers.models.linear_problem import SMALLEST_WEIGHT, Penalty, make_acts, make_gram, session_counts
from active_customers.models.one_relation import OneRelation


class LinearConfig(Config):
    """Parameters of `Linear`. Distances are e-folds: after that many steps 1/e of a weight is left."""

    share: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Part of the squared error that is about what stands in one session, whatever the order (SLIS); the rest is about
    what follows what (SLIT)."""
    distance_decay: Annotated[float, Field(gt=0)] = 1.0
    """How fast what follows loses weight with the acts between."""
    regularisation: Annotated[float, Field(gt=0)] = 30.0
    """Penalty on squared weights, in sessions: what was seen less often counts less than half."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.75
    """Part of the products that are hidden by chance when the rest of a session is explained: penalises the weights of
    frequent products in proportion, too."""
    self_limit: Annotated[float, Field(ge=0, le=10)] = 1.0
    """Largest weight of a product for itself; at 0 everything is explained by others, as in EASE."""
    damping: Annotated[float, Field(ge=-1, le=1)] = 0.1
    """Power of a proposed product's session count that its weights are divided by: above 0 favours the rare."""
    recency_half_life_days: Annotated[float, Field(gt=0)] = 90.0
    """Age at which a session counts half."""
    session_length: Annotated[int, Field(ge=2, le=1000)] = 50
    """Newest acts of a session that are used."""
    meetings: Annotated[int, Field(ge=1, le=100_000)] = 200
    """Products met in sessions that are told apart for each; bounds the memory that fitting needs."""
    tolerance: Annotated[float, Field(ge=1e-9, le=0.1)] = 1e-3
    """Change of a weight that is too small to be made: sets how exactly the regressions are solved."""
    onward: Annotated[float, Field(ge=0, le=0.95)] = 0.5
    """Probability of walking on from a related product to what that one is related to, as in S-Walk; 0 for no walk."""
    steps: Annotated[int, Field(ge=1, le=20)] = 3
    """Most steps that are walked on."""
    neighbours: Annotated[int, Field(ge=1, le=10_000)] = 100
    """Related products kept for each product."""
    query_depth: Annotated[int, Field(ge=1, le=256)] = 10
    """Newest distinct products of the customer's session that are used."""
    query_decay: Annotated[float, Field(gt=0)] = 3.0
    """How fast older products of the customer's session lose weight, in distinct products."""


class Linear(OneRelation):
    """Proposes what the products of a session add up to; the evidence is the one that adds most.

    The weights minimise the squared error of explaining every session by its own products (SLIS) and what follows by
    the act before (SLIT), stacked as in SLIST, under a ridge penalty. Negative weights are left out: keeping them
    changes no ranking that matters, and a walk has no use for them. Walks over the rest reach what was never seen
    together. Rows are pruned to the largest `neighbours`. Sessions of one act say nothing.

    >>> from active_customers.core.session import SessionQuery
    >>> log = SessionLog.from_rows(
    ...     {
    ...         "session": np.array([1, 1, 2, 2]),
    ...         "product": np.array([0, 1, 2, 3]),
    ...         "event_type": np.ones(4),
    ...         "time": np.arange(4),
    ...         "customer": np.zeros(4),
    ...     },
    ...     n_products=4,
    ...     as_of=4,
    ... )
    >>> model = Linear()
    >>> model.fit(log)
    >>> query = SessionQuery(np.array([2], np.uint32), np.ones(1, np.uint8), np.zeros(1, np.int64), now=4)
    >>> model.candidates(query, 5, excluded=query.products).products.tolist()
    [3]
    """

    def __init__(self, config: LinearConfig | None = None) -> None:
        self.config = config or LinearConfig()
        self._open(Relation(np.zeros(1, np.int64), NO_PRODUCTS, np.empty(0, np.float32), NO_PRODUCTS))

    def fit(self, log: SessionLog) -> None:
        """Solve one regression for each product of the log."""
        related = self._regressed(log)
        self._open(self._walked(related) if self.config.onward > 0 else related)

    @classmethod
    def from_arrays(cls, arrays: Arrays, config: Mapping[str, object]) -> Self:
        """Make the model again from what `arrays` returned and its configuration."""
        model = cls(LinearConfig.model_validate(config))
        model._open(Relation(arrays["offsets"], arrays["products"], arrays["weights"], NO_PRODUCTS))
        return model

    def _open(self, related: Relation) -> None:
        self._hold(related, np.exp(-np.arange(self.config.query_depth) / self.config.query_decay))

    def _regressed(self, log: SessionLog) -> Relation:
        """Return the positive weights of the regressions by source; `support` stays empty."""
        config = self.config
        acts = make_acts(log, config.session_length, config.recency_half_life_days)
        counts = session_counts(acts, log.n_products)
        penalty = Penalty(config.share, config.regularisation, config.dropout, config.meetings)
        regression = Regression(
            share=config.share,
            by_distance=np.exp(-np.arange(config.session_length) / config.distance_decay),
            self_limit=config.self_limit,
            tolerance=config.tolerance,
            scale=np.maximum(counts, SMALLEST_WEIGHT) ** -config.damping,
        )
        strongest = nothing_kept(log.n_products, min(config.neighbours, log.n_products))
        regress(acts, make_gram(acts, counts, penalty), regression, no_residuals(log.n_products), strongest)
        return Relation(*ranked_rows(strongest), NO_PRODUCTS)

    def _walked(self, related: Relation) -> Relation:
        """Return what the walks through related products lead to."""
        config = self.config
        n_products = len(related.offsets) - 1
        walk = Walk(config.onward, config.steps, config.tolerance, min(config.neighbours, n_products))
        scratch = WalkScratch(*(no_visits(n_products) for _ in range(3)))
        return Relation(*walk_rows(related, walk, scratch), NO_PRODUCTS)
