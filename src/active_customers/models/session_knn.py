"""Nearest sessions as a model: fitting the index, asking the kernel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from active_customers.core.clock import DAY
from active_customers.core.config import Config
from active_customers.core.session import SessionQuery
from active_customers.kernels.candidate_set import CandidateSet, Room, Votes, evidence_of, make_room, scores_of
from active_customers.kernels.session_knn import KnnScratch, SessionIndex, Weighting, collect, recommend
from active_customers.kernels.sessions import last_acts, newest_rows
from active_customers.models.base import NO_PRODUCTS, Arrays, Candidates, SessionLog
from active_customers.models.kernel_arguments import PerThread, Prepared, frozen, longest_row, question, wanted

SMALLEST_WEIGHT = np.float32(1e-30)
"""What recency leaves of the oldest sessions, so that they still count before nothing does."""


class SessionKnnConfig(Config):
    """Parameters of `SessionKnn`.

    The defaults were chosen on the last part of the training sessions of two shops with opposite habits (9 % and 0 %
    of acts repeat the product before them), never on test sessions. Distances are e-folds: after that many steps
    1/e of a weight is left.
    """

    sessions_per_product: Annotated[int, Field(ge=1)] = 500
    """Newest sessions that the index holds for each product."""
    neighbours: Annotated[int, Field(ge=1)] = 200
    """Nearest sessions that vote."""
    query_depth: Annotated[int, Field(ge=1, le=256)] = 10
    """Newest distinct products of the customer's session that are used."""
    query_decay: Annotated[float, Field(gt=0)] = 2.0
    """How fast older products of the customer's session lose weight, in distinct products."""
    distance_decay: Annotated[float, Field(gt=0)] = 4.0
    """How fast products of a stored session lose weight with their distance from the shared product, in acts."""
    revisit: Annotated[float, Field(gt=0)] = 2.0
    """Factor on a shared product as a candidate of its own: customers come back to what they saw."""
    full_repeat_share: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Share of acts that repeat the product before them at which the newest product keeps its whole score; below, it
    keeps a proportional part. The share is measured when fitting."""
    length_damping: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Power of a stored session's length that its similarity is divided by; 0.5 is the cosine."""
    recency_half_life_days: Annotated[float, Field(gt=0)] = 90.0
    """Age at which a stored session counts half."""
    session_length: Annotated[int, Field(ge=2, le=1000)] = 60
    """Newest acts of a stored session that are kept."""


class SessionKnn:
    """Proposes what the customers of similar sessions went on to; evidence is the product that both sessions share.

    A session is similar if it shares products, the more so the newer these are in the customer's session and the rarer
    they are. Of the nearest ones each product counts by its distance from the shared one; see `kernels.session_knn`.

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
    >>> model = SessionKnn()
    >>> model.fit(log)
    >>> query = SessionQuery(np.array([2], np.uint32), np.ones(1, np.uint8), np.zeros(1, np.int64), now=4)
    >>> model.candidates(query, 5, excluded=query.products).products.tolist()
    [3]
    """

    def __init__(self, config: SessionKnnConfig | None = None) -> None:
        self.config = config or SessionKnnConfig()
        self._open(_no_sessions(), 0.0, np.empty(0, np.uint32))

    def fit(self, log: SessionLog) -> None:
        """Index the log's sessions."""
        config = self.config
        offsets, rows = last_acts(frozen(log.offsets), frozen(log.products), log.n_products, config.session_length)
        products = frozen(log.products[rows])
        sessions = np.repeat(np.arange(log.n_sessions, dtype=np.uint32), np.diff(offsets))
        starts = np.maximum(log.offsets[:-1], log.offsets[1:] - config.session_length)
        posting_offsets, posting_rows = newest_rows(
            frozen(offsets), products, log.n_products, config.sessions_per_product
        )
        index = SessionIndex(
            posting_offsets=posting_offsets,
            postings=sessions[posting_rows],
            offsets=offsets,
            products=products,
            positions=(rows - np.repeat(starts, np.diff(offsets))).astype(np.int16),
            session_weights=self._session_weights(log, np.diff(offsets)),
            rarity=rarity(products, log),
        )
        self._open(index, repeat_share(log), log.customers)

    def candidates(self, session: SessionQuery, n: int, excluded: NDArray[np.uint32] = NO_PRODUCTS) -> Candidates:
        """Return at most `n` products, best first."""
        scratch = self._scratch.get()
        return Candidates(
            *self._recommend(self.index, self.weighting, scratch, question(session.products), wanted(n, excluded))
        )

    def score(self, session: SessionQuery, products: NDArray[np.uint32]) -> NDArray[np.float32]:
        """Return a score for each product; 0 where no similar session holds it."""
        scratch = self._scratch.get()
        count = collect(self.index, self.weighting, scratch, question(session.products))
        return scores_of(scratch.candidates, count, question(products))

    def why(self, session: SessionQuery, product: int) -> int:
        """Return the product of the session that shares the strongest stored session with this one, or `NO_NUMBER`."""
        scratch = self._scratch.get()
        count = collect(self.index, self.weighting, scratch, question(session.products))
        return evidence_of(scratch.candidates, count, int(product))

    def arrays(self) -> Arrays:
        """Return the index by field name, the measured share of repeats, and the customer of each session."""
        share = frozen(np.array([self.repeat_share]))
        return {**self.index._asdict(), "repeat_share": share, "customers": self._customers}

    @classmethod
    def from_arrays(cls, arrays: Arrays, config: Mapping[str, object]) -> Self:
        """Make the model again from what `arrays` returned and its configuration."""
        model = cls(SessionKnnConfig.model_validate(config))
        index = SessionIndex(*(arrays[name] for name in SessionIndex._fields))
        model._open(index, float(arrays["repeat_share"][0]), arrays["customers"])
        return model

    def _open(self, index: SessionIndex, share: float, customers: NDArray[np.uint32]) -> None:
        config = self.config
        self._customers = frozen(customers)
        self.index = SessionIndex(*(frozen(array) for array in index))
        self.repeat_share = share
        self.weighting = Weighting(
            by_place=np.exp(-np.arange(config.query_depth) / config.query_decay),
            by_distance=np.exp(-np.arange(index.positions.max(initial=0) + 1.0) / config.distance_decay),
            revisit=config.revisit,
            repeat=min(1.0, share / config.full_repeat_share),
            neighbours=config.neighbours,
        )
        self._scratch = PerThread(lambda: own_scratch(self))
        self._recommend = Prepared(recommend)

    @property
    def n_sessions(self) -> int:
        """How many sessions it knows."""
        return len(self.index.session_weights)

    @property
    def room(self) -> Room:
        """The scratch memory that a question needs."""
        _, n_nearest = self._found()
        return Room(n_nearest * longest_row(self.index.offsets), len(self.index.rarity))

    def scratch(self, votes: Votes, candidates: CandidateSet, n_others: int = 0) -> KnnScratch:
        """Return one thread's scratch memory, part of which other sources may use in between.

        The nearest are selected among those found and so many other sessions.
        """
        n_found, _ = self._found()
        return KnnScratch(
            session_slots=np.zeros(len(self.index.session_weights), np.int32),
            sessions=np.zeros(n_found, np.uint32),
            similarity=np.zeros(n_found, np.float64),
            selection=np.zeros(n_found + n_others, np.float64),
            votes=votes,
            candidates=candidates,
        )

    def _found(self) -> tuple[int, int]:
        """Return how many sessions a question can find, and how many of them can vote."""
        n_sessions = len(self.index.session_weights)
        found = min(n_sessions, self.config.query_depth * longest_row(self.index.posting_offsets))
        return found, min(found, self.config.neighbours)

    def _session_weights(self, log: SessionLog, lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return what each session's similarity is multiplied with: recency and damping of its length."""
        if log.n_sessions == 0:
            return np.empty(0, np.float32)
        age_days = np.maximum(log.reference_time - log.times[log.offsets[1:] - 1], 0) / DAY
        recency = 0.5 ** (age_days / self.config.recency_half_life_days)
        weights = recency * lengths.astype(np.float64) ** -self.config.length_damping
        return np.maximum(weights.astype(np.float32), SMALLEST_WEIGHT)


def own_scratch(model: SessionKnn) -> KnnScratch:
    """Return one thread's scratch memory for this model alone."""
    return model.scratch(*make_room(model.room))


def passing_over(arrays: Arrays, customers: NDArray[np.uint32]) -> Arrays:
    """Return the arrays of a model in which the sessions of these customers have no weight, and so no vote."""
    theirs = np.isin(arrays["customers"], customers)
    if not theirs.any():
        return arrays
    return {**arrays, "session_weights": np.where(theirs, np.float32(0), arrays["session_weights"])}


def _no_sessions() -> SessionIndex:
    """Return the index of a model that was fitted to nothing."""
    return SessionIndex(
        posting_offsets=np.zeros(1, np.int64),
        postings=np.empty(0, np.uint32),
        offsets=np.zeros(1, np.int64),
        products=np.empty(0, np.uint32),
        positions=np.empty(0, np.int16),
        session_weights=np.empty(0, np.float32),
        rarity=np.empty(0, np.float32),
    )


def rarity(distinct_products: NDArray[np.uint32], log: SessionLog) -> NDArray[np.float32]:
    """Return 1 + ln(sessions / sessions with the product) per product; 1 for those in every session."""
    seen = np.bincount(distinct_products, minlength=log.n_products)
    return (1.0 + np.log(max(log.n_sessions, 1) / np.maximum(seen, 1))).astype(np.float32)


def repeat_share(log: SessionLog) -> float:
    """Return the share of acts, but for the first of each session, that repeat the product before them; 0 if none."""
    if len(log.products) < 2:
        return 0.0
    follows = np.ones(len(log.products), bool)
    follows[log.offsets[:-1]] = False
    repeats = (log.products[1:] == log.products[:-1]) & follows[1:]
    return float(repeats.sum() / max(follows.sum(), 1))
