"""What many customers choose, and what more and more of them do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from active_customers.core.clock import DAY
from active_customers.core.config import Config
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.recommendation import ReasonCode
from active_customers.core.session import SessionQuery
from active_customers.kernels.live_popularity import FAINTEST
from active_customers.kernels.retrieval import Ranking
from active_customers.kernels.sessions import last_acts
from active_customers.kernels.top_n import first_n
from active_customers.models.base import NO_PRODUCTS, Arrays, Candidates, SessionLog
from active_customers.models.event_weights import EventWeights
from active_customers.models.kernel_arguments import frozen, question, wanted

RANKED = 2_000
"""Popular products that are kept at hand: more than one customer can have bought, hidden and excluded."""


class PopularityConfig(Config):
    """Parameters of `Popularity`."""

    half_life_days: Annotated[float, Field(gt=0)] = 7.0
    """Age at which an act counts half."""
    weights: EventWeights = EventWeights()
    """How much each type of act counts."""
    popular_sessions: Annotated[int, Field(ge=1)] = 5
    """Sessions within `recent_days` and `base_days` that make a product popular."""
    recent_days: Annotated[float, Field(gt=0)] = 2.0
    """The time that a trend shows in."""
    base_days: Annotated[float, Field(gt=0)] = 14.0
    """The time before it that it is compared with."""
    trend_shrinkage: Annotated[float, Field(gt=0)] = 10.0
    """Sessions added to what was seen and to what was expected: few data make no trend."""
    trending_lift: Annotated[float, Field(gt=1)] = 1.5
    """How many times the expected number of sessions makes a product trending."""


class Popularity:
    """Proposes what many customers acted on lately, whatever the session.

    What counts for trends is a visit: a session and a product it acted on, at the time of its last act on it. A product
    is trending if its share of the visits grows: with r of all R recent and b of all B earlier visits,
    (r + s) / (R b / B + s) reaches `trending_lift`. Where there are fewer earlier visits than recent ones, nothing is
    trending: there is no past to compare with. All times count from the log's reference time.
    """

    def __init__(self, config: PopularityConfig | None = None) -> None:
        self.config = config or PopularityConfig()
        self._open(np.empty(0, np.float32), np.empty(0, np.float32), np.empty(0, np.int64))

    def fit(self, log: SessionLog) -> None:
        """Count the log's acts and sessions."""
        recent, base = self._count_sessions(log)
        self._open(self._count_acts(log), self._trend(recent, base), recent + base)

    def candidates(self, session: SessionQuery, n: int, excluded: NDArray[np.uint32] = NO_PRODUCTS) -> Candidates:
        """Return the `n` most popular products."""
        del session  # the same for everybody
        return _ranked(self._by_score, self._scores, n, excluded)

    def ranking(self) -> Ranking:
        """Return the most popular products as the request path takes them; the rarely seen are not called popular."""
        products = self._by_score[:RANKED]
        is_popular = self._sessions[products] >= self.config.popular_sessions
        is_trending = self._trends[products] >= self.config.trending_lift
        return ranking(products, self._scores[products], self._sessions[products] != 1, (is_popular, is_trending))

    def trending(self, n: int, excluded: NDArray[np.uint32] = NO_PRODUCTS) -> Candidates:
        """Return at most `n` trending products, the largest growth first."""
        return _ranked(self._by_trend, self._trends, n, excluded)

    def trends(self) -> Ranking:
        """Return the trending products as the request path takes them, the largest growth first."""
        products = self._by_trend[:RANKED]
        trending = np.ones(len(products), np.bool_)
        return ranking(products, self._trends[products], trending, (trending, trending))

    @property
    def scores(self) -> NDArray[np.float32]:
        """The decayed, weighted count of each product."""
        return self._scores

    def is_trending(self, product: int) -> bool:
        """Whether a product's share of the sessions is growing."""
        return 0 <= product < len(self._trends) and bool(self._trends[product] >= self.config.trending_lift)

    def is_popular(self, product: int) -> bool:
        """Whether a product was acted on in many sessions lately."""
        return 0 <= product < len(self._sessions) and bool(self._sessions[product] >= self.config.popular_sessions)

    def most_sessions(self) -> int:
        """Return in how many sessions lately the product was that was in most."""
        return int(self._sessions.max(initial=0))

    def n_trending(self) -> int:
        """Return how many products' shares of the sessions are growing."""
        return len(self._by_trend)

    def score(self, session: SessionQuery, products: NDArray[np.uint32]) -> NDArray[np.float32]:
        """Return the decayed, weighted count of each product; 0 for unknown ones."""
        del session
        known = products < len(self._scores)
        scores = np.zeros(len(products), np.float32)
        scores[known] = self._scores[products[known]]
        return scores

    def why(self, session: SessionQuery, product: int) -> int:
        """Return `NO_NUMBER`: nothing in the session speaks for a popular product."""
        del session, product
        return NO_NUMBER

    def arrays(self) -> Arrays:
        """Return the scores, the trends and the number of sessions of each product."""
        return {"scores": self._scores, "trends": self._trends, "sessions": self._sessions}

    @classmethod
    def from_arrays(cls, arrays: Arrays, config: Mapping[str, object]) -> Self:
        """Make the model again from what `arrays` returned and its configuration."""
        model = cls(PopularityConfig.model_validate(config))
        model._open(arrays["scores"], arrays["trends"], arrays["sessions"])
        return model

    def _open(self, scores: NDArray[np.float32], trends: NDArray[np.float32], sessions: NDArray[np.int64]) -> None:
        self._scores = frozen(scores)
        self._trends = frozen(trends)
        self._sessions = frozen(sessions)
        self._by_score = _order(self._scores, self._scores > 0)
        self._by_trend = _order(self._trends, self._trends >= self.config.trending_lift)

    def _count_acts(self, log: SessionLog) -> NDArray[np.float32]:
        """Sum up, per product, what each customer's strongest act says: many acts of one make nothing popular."""
        age_days = np.maximum(log.reference_time - log.times, 0) / DAY
        weights = self.config.weights.table()[log.event_types] * _faded(age_days / self.config.half_life_days)
        customers = np.repeat(log.customers.astype(np.uint64), np.diff(log.offsets))
        pairs = customers << np.uint64(32) | log.products.astype(np.uint64)
        order = np.lexsort((-weights, pairs))
        is_strongest = np.ones(len(order), bool)
        is_strongest[1:] = pairs[order][1:] != pairs[order][:-1]
        strongest = order[is_strongest]
        return np.bincount(log.products[strongest], weights[strongest], log.n_products).astype(np.float32)

    def _count_sessions(self, log: SessionLog) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return how many sessions acted on each product in the recent and in the earlier time."""
        _, rows = last_acts(frozen(log.offsets), frozen(log.products), log.n_products, max(len(log.products), 1))
        age_days = (log.reference_time - log.times[rows]) / DAY
        products = log.products[rows]
        is_recent = age_days < self.config.recent_days
        is_base = ~is_recent & (age_days < self.config.recent_days + self.config.base_days)
        recent, base = (np.bincount(products[chosen], minlength=log.n_products) for chosen in (is_recent, is_base))
        return recent, base

    def _trend(self, recent: NDArray[np.int64], base: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return how many times the expected sessions each product had, shrunk towards 1."""
        if base.sum() == 0 or base.sum() < recent.sum():
            return np.ones(len(recent), np.float32)
        expected = base * (recent.sum() / base.sum())
        shrinkage = self.config.trend_shrinkage
        lift: NDArray[np.float32] = ((recent + shrinkage) / (expected + shrinkage)).astype(np.float32)
        return lift


def ranking(
    products: NDArray[np.uint32],
    scores: NDArray[np.float32],
    may_lead: NDArray[np.bool_],
    flags: tuple[NDArray[np.bool_], NDArray[np.bool_]],
) -> Ranking:
    """Put products, best first, together with what can truly be said of each; `flags` are is popular and is trending.

    Until anything is popular only those are ranked that `may_lead`: not what one session alone acted on lately, for
    what one customer looked at on a shop's first day is not to be on top of everybody's page.
    """
    is_popular, is_trending = flags
    if not is_popular.any():
        products, scores = products[may_lead], scores[may_lead]
        is_popular, is_trending = is_popular[may_lead], is_trending[may_lead]
    standing = np.where(is_popular, np.uint8(ReasonCode.POPULAR), np.uint8(ReasonCode.SEEN))
    reasons = np.where(is_trending, np.uint8(ReasonCode.TRENDING), standing)
    return Ranking(frozen(products), frozen(scores), frozen(reasons))


def _faded(half_lives: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what acts of an age count; the oldest something, too, so that years later a shop has favourites still."""
    return np.maximum(0.5**half_lives, FAINTEST)


def _ranked(order: NDArray[np.uint32], scores: NDArray[np.float32], n: int, excluded: NDArray[np.uint32]) -> Candidates:
    products = first_n(order, wanted(n, excluded))
    return Candidates(products, scores[products], np.full(len(products), NO_NUMBER, np.uint32))


def _order(values: NDArray[np.float32], chosen: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """Return the chosen products, the largest value first, equal values by product number."""
    products = question(np.flatnonzero(chosen))
    return frozen(products[np.argsort(-values[products], kind="stable")])
