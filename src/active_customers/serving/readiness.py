"""What answers are made of at the moment, and what each source still waits for.

Every threshold is the one that the source itself goes by, read from the models in force.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel

from active_customers.core.recommendation import Goal
from active_customers.kernels.live_index import N_SESSIONS
from active_customers.models.hybrid_model import LISTS_AT_LEAST
from active_customers.realtime.engine import NO_MODEL, Engine
from active_customers.realtime.session_recommender import SessionRecommender
from active_customers.storage.base import Store

_REFRESH = "a refresh"
"""A running service does it by itself."""


class SourceReport(BaseModel):
    """One source of answers."""

    source: str
    """Its name: catalog, similar, live, sessions, related, bought_together, popular, trending, ranker."""
    active: bool
    """Whether it is in answers now."""
    have: int
    """What the shop has of what it needs."""
    needs: int
    """From how many on it works."""
    unit: str
    """What is counted in both."""
    line: str
    """All of it for people."""


class ReadinessReport(BaseModel):
    """What the shop has, and what is made of it."""

    model_version: str
    """The version in force; none before anything was published."""
    products: int
    """Products in the catalogue."""
    customers: int
    """Customers who were ever given a number."""
    events: int
    """Log positions given so far, imports included."""
    sources: list[SourceReport]

    def lines(self) -> list[str]:
        """Return it as a table for people."""
        head = f"{self.products:,} products, {self.customers:,} customers, {self.events:,} events; "
        width = max(len(source.source) for source in self.sources)
        rows = [
            f"  {'active ' if source.active else 'waiting'}  {source.source.ljust(width)}  {source.line}"
            for source in self.sources
        ]
        return [head + ("no model yet" if self.model_version == NO_MODEL else f"model {self.model_version}"), *rows]


class _Need(NamedTuple):
    """What a source works from; `what` begins its line, `then` is what must happen beside.

    It is active once it has what it needs, or as `is_active` says.
    """

    source: str
    what: str
    unit: str
    needs: int
    have: int
    then: str = ""
    is_active: bool | None = None

    def report(self) -> SourceReport:
        """Say so for people."""
        active = self.have >= self.needs if self.is_active is None else self.is_active
        waits = f"; then {self.then}" if self.then and not active else ""
        line = f"{self.what}: works from {self.needs:,} {self.unit}, you have {self.have:,}{waits}"
        return SourceReport(
            source=self.source, active=active, have=self.have, needs=self.needs, unit=self.unit, line=line
        )


class Readiness:
    """Looks at what there is and at the sources in force."""

    def __init__(self, store: Store, engine: Engine) -> None:
        self._store = store
        self._engine = engine

    def report(self) -> ReadinessReport:
        """Return how things are now; one pass over the catalogue."""
        recommender = self._engine.recommender
        manifest = recommender.manifest
        n_entries = self._store.catalog.n_entries()
        needs = [
            _Need("catalog", "The newest products fill up", "product in the catalogue", 1, n_entries),
            *_of_models(recommender),
            *_of_crowds(recommender, self._store.catalog.n_products()),
            _of_trees(recommender),
        ]
        return ReadinessReport(
            model_version=NO_MODEL if manifest is None else manifest.version,
            products=n_entries,
            customers=self._store.sessions.n_customers(),
            events=self._store.events.next_position() - 1,
            sources=[need.report() for need in needs],
        )


def _of_models(recommender: SessionRecommender) -> Iterator[_Need]:
    """Yield what the sources need that are fitted to acts or to the catalogue."""
    hybrid, items = recommender.models.hybrid, recommender.models.items
    content, *histories = hybrid.sources.relations
    live = 0 if recommender.live is None else int(recommender.live.arrays().header[N_SESSIONS])
    alike = "described product that is like another (category, brand, words of the name, price)"
    yield _Need("similar", "What the catalogue describes alike", alike, 1, _rows(content.offsets), _REFRESH)
    yield _Need("live", "What customers did since the last refresh", "session of this or the last days", 1, live)
    sessions = "session in the version in force"
    yield _Need("sessions", "What visits like this one went on to", sessions, 1, hybrid.sessions.n_sessions, _REFRESH)
    related = sum(_rows(relation.offsets) for relation in histories)
    yield _Need("related", "What the history relates", "product acted on beside another", 1, related, _REFRESH)
    support = items.config.min_support
    pairs = f"pair of products that {support} sessions bought both of"
    n_pairs = len(items.bought.products) // 2
    yield _Need("bought_together", "What is bought together with the cart", pairs, 1, n_pairs, _REFRESH)


def _of_crowds(recommender: SessionRecommender, n_products: int) -> Iterator[_Need]:
    """Yield what is needed for anything to be popular, or trending."""
    popularity, live = recommender.models.popularity, recommender.live
    most, n_trending = popularity.most_sessions(), popularity.n_trending()
    if live is not None and n_products:
        everything = np.arange(n_products, dtype=np.uint32)
        most = max(most, int(live.sessions_lately(everything).max() + 0.5))
        n_trending = max(n_trending, int(live.is_trending(everything).sum()))
    config = popularity.config
    days = config.recent_days + config.base_days
    sessions = f"sessions of the last {days:g} days on one product"
    yield _Need("popular", "What many customers choose", sessions, config.popular_sessions, most)
    trend = f"product whose share of the last {config.recent_days:g} days is {config.trending_lift:g} times that before"
    yield _Need("trending", "What more and more customers look at", trend, 1, n_trending)


def _of_trees(recommender: SessionRecommender) -> _Need:
    manifest = recommender.manifest
    questions = {} if manifest is None else manifest.facts.get("questions", {})
    unit = "foreseeable acts in the newest sessions (their product was among the candidates)"
    have = int(questions.get(Goal.NEXT.word, 0))
    then = _REFRESH if have < LISTS_AT_LEAST else "trees better than the first guess (see the notes of the refresh)"
    has_trees = len(recommender.models.hybrid.forests[Goal.NEXT].offsets) > 1
    return _Need("ranker", "Trees that put all of these in order", unit, LISTS_AT_LEAST, have, then, has_trees)


def _rows(offsets: np.ndarray[tuple[int], np.dtype[np.int64]]) -> int:
    """Return how many products are related to any other."""
    return int(np.count_nonzero(np.diff(offsets)))
