"""Baselines for what people buy again: their own most frequent products, hard to beat (Li et al., TOIS 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from active_customers.core.clock import DAY
from active_customers.core.config import Config
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.session import SessionQuery
from active_customers.models.base import NO_PRODUCTS, Arrays, Candidates, SessionLog
from active_customers.models.kernel_arguments import frozen, question


class BuyAgainConfig(Config):
    """Parameters of `BuyAgain`."""

    half_life_days: Annotated[float, Field(gt=0)] | None = 60.0
    """Age before the newest act at which an own act counts half; null for never."""
    fill_up: bool = True
    """Whether the products of most sessions follow the own ones (GP-TopFreq)."""


class GPTopFreqConfig(BuyAgainConfig):
    """Parameters of GP-TopFreq: own frequency, then what is popular."""

    half_life_days: Annotated[float, Field(gt=0)] | None = None
    """Age before the newest act at which an own act counts half; null for never."""


class PTopFreqConfig(GPTopFreqConfig):
    """Parameters of P-TopFreq: own frequency, and nothing else."""

    fill_up: bool = False
    """Whether the products of most sessions follow the own ones (GP-TopFreq)."""


class BuyAgain:
    """Proposes the products that the question shows most often, then those of most sessions.

    A product counts once for each moment it was acted on, so once a basket. The own ones score 1 and more, the
    newer first where scores are equal; the others less than 1.
    """

    def __init__(self, config: BuyAgainConfig | None = None) -> None:
        self.config = config or BuyAgainConfig()
        self._open(np.empty(0))

    def fit(self, log: SessionLog) -> None:
        """Count the sessions of each product."""
        sessions = np.repeat(np.arange(log.n_sessions), np.diff(log.offsets))
        products = np.unique(sessions << 32 | log.products) & NO_NUMBER
        self._open(np.bincount(products, minlength=log.n_products).astype(np.float64))

    def candidates(self, session: SessionQuery, n: int, excluded: NDArray[np.uint32] = NO_PRODUCTS) -> Candidates:
        """Return at most `n` products, best first."""
        own, weights = self._own(session)
        rest = self._popular[: n + len(own) + len(excluded)] if self.config.fill_up else NO_PRODUCTS
        rest = rest[~np.isin(rest, own)]
        products = np.concatenate((own, rest))
        scores = np.concatenate((1 + weights, self._shares[rest]))
        kept = ~np.isin(products, excluded)
        products, scores = products[kept][:n], scores[kept][:n]
        evidence = np.where(np.isin(products, own), products, NO_NUMBER)
        return Candidates(products.astype(np.uint32), scores.astype(np.float32), evidence.astype(np.uint32))

    def score(self, session: SessionQuery, products: NDArray[np.uint32]) -> NDArray[np.float32]:
        """Return a score for each product; 0 for those that are neither own nor, where that counts, popular."""
        own, weights = self._own(session)
        scores = self._shares.copy() if self.config.fill_up else np.zeros(len(self.sessions))
        scores[own] = 1 + weights
        asked = question(products)
        known = asked < len(scores)
        found = np.zeros(len(asked), np.float32)
        found[known] = scores[asked[known]]
        return found

    def why(self, session: SessionQuery, product: int) -> int:
        """Return the product itself if the question shows it, else `NO_NUMBER`."""
        return int(product) if product in self._own(session)[0] else NO_NUMBER

    def arrays(self) -> Arrays:
        """Return the sessions of each product."""
        return {"sessions": self.sessions}

    @classmethod
    def from_arrays(cls, arrays: Arrays, config: Mapping[str, object]) -> Self:
        """Make the model again from what `arrays` returned and its configuration."""
        model = cls(BuyAgainConfig.model_validate(config))
        model._open(arrays["sessions"])
        return model

    def _open(self, sessions: NDArray[np.float64]) -> None:
        self.sessions = frozen(sessions)
        self._shares = sessions / (sessions.max(initial=0) + 1)
        order = np.argsort(-sessions, kind="stable")
        self._popular = order[sessions[order] > 0].astype(np.uint32)

    def _own(self, session: SessionQuery) -> tuple[NDArray[np.uint32], NDArray[np.float64]]:
        """Return the distinct known products of a question, best first, and what their acts weigh."""
        products = question(session.products)
        known = products < len(self.sessions)
        pairs = np.unique(np.stack((products[known].astype(np.int64), session.times[known])), axis=1)
        if not pairs.size:
            return NO_PRODUCTS, np.empty(0)
        ages = (session.times[-1] - pairs[1]) / DAY
        half_life = self.config.half_life_days
        own, places = np.unique(pairs[0], return_inverse=True)
        each = np.ones(len(ages)) if half_life is None else 0.5 ** (ages / half_life)
        weights = np.bincount(places, each).astype(np.float64)
        newest = np.zeros(len(own), np.int64)
        np.maximum.at(newest, places, pairs[1])
        order = np.lexsort((-newest, -weights))
        return own[order].astype(np.uint32), weights[order]
