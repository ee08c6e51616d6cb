"""The live index, read: what other customers did since the model was trained, in every process, without locks."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from active_customers.core.clock import DAY
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.session import SessionQuery
from active_customers.kernels.candidate_set import CandidateSet, Room, Votes, evidence_of, make_room, scores_of
from active_customers.kernels.live_index import GENERATION, HEADER, RECORD, WATERMARK, LiveArrays
from active_customers.kernels.live_knn import Asker, LiveScratch, LiveWeighting, collect, recommend
from active_customers.kernels.live_popularity import lifts, most_popular, sessions_lately
from active_customers.kernels.retrieval import Ranking
from active_customers.kernels.session_knn import KnnScratch, Weighting
from active_customers.models.base import NO_PRODUCTS, Candidates
from active_customers.models.kernel_arguments import PerThread, frozen, question, wanted
from active_customers.models.popularity import RANKED, PopularityConfig, ranking
from active_customers.models.session_knn import SMALLEST_WEIGHT, SessionKnn, SessionKnnConfig
from active_customers.realtime.live_index import scales_of
from active_customers.storage.live_files import Shared, read_live_files

NOTHING = Candidates(NO_PRODUCTS, np.empty(0, np.float32), NO_PRODUCTS)
_LONG_AGO = 0.01
"""Sessions, older ones counting less, below which nothing was acted on lately."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What a reader takes over from the model in force, so that the scores of both can be added.

    Sessions whose last act stands below `watermark` are in the model already and do not count again; `rarity`,
    float32[p], is the model's, products beyond it have the live one; `repeat_share` is as measured by the model.
    """

    watermark: int = 0
    rarity: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    repeat_share: float = 0.0

    @classmethod
    def of(cls, model: SessionKnn, watermark: int) -> Self:
        """Return what to take over from a model that has read the log up to `watermark`."""
        return cls(watermark, model.index.rarity, model.repeat_share)


NO_LIVE = LiveArrays(
    header=frozen(np.zeros(HEADER, np.int64)),
    records=frozen(np.empty(0, np.int64)),
    products=frozen(np.empty(0, np.uint32)),
    rings=frozen(np.empty(0, np.uint32)),
    ends=frozen(np.empty(0, np.uint32)),
    stored=frozen(np.empty(0, np.uint32)),
    acts_kept=1,
    ring_length=1,
    generation=0,
)
"""The index before there is one."""


def weighting_of(live: LiveArrays, config: SessionKnnConfig, trained: Trained) -> LiveWeighting:
    """Return how things count in a live index beside a trained model."""
    return LiveWeighting(
        knn=Weighting(
            by_place=np.exp(-np.arange(config.query_depth) / config.query_decay),
            by_distance=np.exp(-np.arange(max(live.acts_kept, config.session_length)) / config.distance_decay),
            revisit=config.revisit,
            repeat=min(1.0, trained.repeat_share / config.full_repeat_share),
            neighbours=config.neighbours,
        ),
        by_length=np.maximum(np.arange(live.acts_kept + 1.0), 1.0) ** -config.length_damping,
        recency=config.recency_half_life_days * DAY / np.log(2.0),
        least=float(SMALLEST_WEIGHT),
        rarity=frozen(trained.rarity),
        since=trained.watermark,
    )


def room_of(live: LiveArrays, config: SessionKnnConfig) -> Room:
    """Return the scratch memory that a question needs."""
    _, n_nearest = _found(live, config)
    return Room(n_nearest * live.acts_kept, len(live.ends))


def scratch_of(live: LiveArrays, config: SessionKnnConfig, shared: tuple[Votes, CandidateSet]) -> LiveScratch:
    """Return one thread's scratch memory, part of which other sources may use in between."""
    n_found, n_nearest = _found(live, config)
    knn = KnnScratch(
        np.zeros(0, np.int32),  # sessions are found by a table instead
        np.zeros(n_found, np.uint32),
        np.zeros(n_found, np.float64),
        np.zeros(n_found, np.float64),
        *shared,
    )
    acts = np.zeros(n_nearest * live.acts_kept, np.uint32)
    table = np.zeros(1 << int(2 * n_found).bit_length(), np.uint32)
    return LiveScratch(knn, acts, np.zeros(n_nearest, np.int64), table)


def _found(live: LiveArrays, config: SessionKnnConfig) -> tuple[int, int]:
    """Return how many sessions a question can find, and how many of them can vote."""
    found = min(len(live.records) // RECORD, config.query_depth * live.ring_length)
    return found, min(found, config.neighbours)


class _View:
    """The files as they were mapped once, and scratch memory of their size."""

    def __init__(self, shared: Shared, config: SessionKnnConfig, trained: Trained) -> None:
        self.live, self.counts = live, _ = shared
        self.products = frozen(np.arange(len(live.ends), dtype=np.uint32))
        self.trained = trained
        self.weighting = weighting_of(live, config, trained)
        self.scratch = PerThread(lambda: scratch_of(live, config, make_room(room_of(live, config))))


class LiveReader:
    """Proposes from the live index in a folder; where there is none yet, nothing. Any number of threads may ask.

    Its scores are those of `SessionKnn` with the same configuration over the sessions held, on the scale of the model
    that it was told of by `follow`. It never waits for the writer, and never sees the files shrink.
    """

    def __init__(
        self, folder: Path, config: SessionKnnConfig | None = None, popularity: PopularityConfig | None = None
    ) -> None:
        self._folder = folder
        self._config = config or SessionKnnConfig()
        self._popularity = popularity or PopularityConfig()
        self._scales = scales_of(self._popularity)
        self._trained = Trained()
        self._opened: _View | None = None

    def follow(self, trained: Trained) -> None:
        """Speak on the scale of another trained model from now on."""
        self._trained = trained

    @property
    def watermark(self) -> int:
        """The first log position that is not in the answers yet; 0 while there is no index."""
        view = self._view()
        return 0 if view is None else int(view.live.header[WATERMARK])

    def candidates(
        self,
        session: SessionQuery,
        n: int,
        excluded: NDArray[np.uint32] = NO_PRODUCTS,
        customer: int = NO_NUMBER,
    ) -> Candidates:
        """Return at most `n` products, best first; sessions of the asking `customer` do not count."""
        view = self._view()
        if view is None:
            return NOTHING
        asker = Asker(question(session.products), customer)
        return Candidates(*recommend(view.live, view.weighting, view.scratch.get(), asker, wanted(n, excluded)))

    def score(
        self, session: SessionQuery, products: NDArray[np.uint32], customer: int = NO_NUMBER
    ) -> NDArray[np.float32]:
        """Return a score for each product; 0 where no similar session of another customer holds it."""
        view = self._view()
        if view is None:
            return np.zeros(len(products), np.float32)
        scratch = view.scratch.get()
        count = collect(view.live, view.weighting, scratch, Asker(question(session.products), customer))
        return scores_of(scratch.knn.candidates, count, question(products))

    def why(self, session: SessionQuery, product: int, customer: int = NO_NUMBER) -> int:
        """Return the product of the session that speaks most for this one, or `NO_NUMBER`."""
        view = self._view()
        if view is None:
            return NO_NUMBER
        scratch = view.scratch.get()
        count = collect(view.live, view.weighting, scratch, Asker(question(session.products), customer))
        return evidence_of(scratch.knn.candidates, count, int(product))

    def arrays(self) -> LiveArrays:
        """Return the index as it is mapped now, `NO_LIVE` where there is none; ask again for what grew meanwhile."""
        view = self._view()
        return NO_LIVE if view is None else view.live

    def ranking(self) -> Ranking:
        """Return the most popular products as the request path takes them; one pass over the catalogue."""
        candidates = self.popular(RANKED)
        products = candidates.products
        flags = self.is_popular(products), self.is_trending(products)
        sessions = self.sessions_lately(products)
        return ranking(products, candidates.scores, (sessions > 1) | (sessions < _LONG_AGO), flags)

    def popular(self, n: int, excluded: NDArray[np.uint32] = NO_PRODUCTS) -> Candidates:
        """Return the `n` most popular products, scored as by `models.popularity`."""
        view = self._view()
        if view is None:
            return NOTHING
        return Candidates(*most_popular(view.counts, self._scales, view.products, wanted(n, excluded)))

    def sessions_lately(self, products: NDArray[np.uint32]) -> NDArray[np.float64]:
        """Return how many sessions acted on each product lately, older ones counting less."""
        view = self._view()
        if view is None:
            return np.zeros(len(products))
        return sessions_lately(view.counts, self._scales, question(products))

    def is_popular(self, products: NDArray[np.uint32]) -> NDArray[np.bool_]:
        """Say of each product whether it was acted on in many sessions lately."""
        return self.sessions_lately(products) >= self._popularity.popular_sessions

    def is_trending(self, products: NDArray[np.uint32]) -> NDArray[np.bool_]:
        """Say of each product whether its share of the sessions is growing."""
        view, popularity = self._view(), self._popularity
        if view is None:
            return np.zeros(len(products), bool)
        lifted = lifts(view.counts, self._scales, question(products), popularity.trend_shrinkage)
        return lifted >= popularity.trending_lift

    def trending(self) -> Ranking:
        """Return the trending products as the request path takes them; one pass over the catalogue."""
        view, popularity = self._view(), self._popularity
        if view is None:
            none = np.empty(0, np.bool_)
            return ranking(NO_PRODUCTS, np.empty(0, np.float32), none, (none, none))
        lifted = lifts(view.counts, self._scales, question(view.products), popularity.trend_shrinkage)
        products = np.flatnonzero(lifted >= popularity.trending_lift)
        products = products[np.argsort(-lifted[products], kind="stable")][:RANKED]
        trending = np.ones(len(products), bool)
        scores = lifted[products].astype(np.float32)
        return ranking(products.astype(np.uint32), scores, trending, (trending, trending))

    def _view(self) -> _View | None:
        """Return the files as they are mapped, mapping them again after they grew."""
        view = self._opened
        if view is not None and view.live.generation == view.live.header[GENERATION] and view.trained is self._trained:
            return view
        shared = read_live_files(self._folder)
        view = None if shared is None else _View(shared, self._config, self._trained)
        self._opened = view
        return view
