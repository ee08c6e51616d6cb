"""Who proposes what: a published version of the models and the live index, asked together."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any, NamedTuple, Self, cast

import numpy as np
from numpy.typing import NDArray

from active_customers.core.event import Channel
from active_customers.core.session import State
from active_customers.experiments.strategies import SESSIONS, RankingWish
from active_customers.kernels.answer_rows import Rows
from active_customers.kernels.arrange import FURTHER_BEYOND, MAX_PINNED
from active_customers.kernels.candidate_set import Room, make_room
from active_customers.kernels.explanation import Findings, look_into
from active_customers.kernels.handover import hand_over
from active_customers.kernels.hybrid import CONTENT
from active_customers.kernels.item_knn import Relation, RelationScratch
from active_customers.kernels.live_index import NEWEST, LiveArrays
from active_customers.kernels.retrieval import Asked, Scratch, Sources, retrieve
from active_customers.kernels.shelves import ShelfSources
from active_customers.kernels.state_sections import Numbers
from active_customers.kernels.substitutes import Related
from active_customers.kernels.trees import Forest
from active_customers.models.artifacts import Manifest
from active_customers.models.base import Model
from active_customers.models.hybrid_model import RELATIONS, SETTINGS, Hybrid
from active_customers.models.item_knn import ItemKnn, no_relation
from active_customers.models.kernel_arguments import PerThread, Prepared, frozen
from active_customers.models.patterns import Patterns, no_patterns
from active_customers.models.popularity import Popularity
from active_customers.models.ranker import no_forest
from active_customers.models.registry import entry_named
from active_customers.realtime.context_engine import NO_WEIGHTS, ContextEngine
from active_customers.realtime.live_reader import NO_LIVE, LiveReader, Trained, room_of, scratch_of, weighting_of
from active_customers.realtime.schemas import MAX_N

_ROWS = MAX_N + FURTHER_BEYOND + MAX_PINNED
_NO_RELATION = Relation(*(frozen(array) for array in no_relation()))
_NO_FOREST = Forest(*(frozen(array) for array in no_forest()))
AS_SET = RankingWish()
PATTERNS = "context"
"""What the patterns of hours, weekdays and months are called among the published models."""


class Models(NamedTuple):
    """The models of one version, and what it says about itself; None for models that have learned nothing."""

    hybrid: Hybrid
    items: ItemKnn
    popularity: Popularity
    manifest: Manifest | None
    patterns: Patterns = no_patterns()


def load_models(manifest: Manifest, arrays: Mapping[str, Mapping[str, NDArray[Any]]]) -> Models:
    """Return the models of a published version."""

    def load(name: str) -> Model:
        return entry_named(name).load(arrays[name], manifest.configs[name])

    return Models(
        cast(Hybrid, load("hybrid")),
        cast(ItemKnn, load("item_knn")),
        cast(Popularity, load("popularity")),
        manifest,
        Patterns.from_arrays(arrays.get(PATTERNS, {}), manifest.configs.get(PATTERNS, {})),
    )


class _Desk(NamedTuple):
    """What one thread answers with: sources and scratch memory as the kernel takes them, and the rows that it fills."""

    handed: Any
    rows: Rows


class _View(NamedTuple):
    """The sources of one moment, each thread's scratch memory for their sizes, and its desk."""

    sources: Sources
    scratch: PerThread[Scratch]
    desks: PerThread[_Desk]

    @classmethod
    def of(cls, sources: Sources, scratch: PerThread[Scratch]) -> Self:
        """Return the view of sources that the scratch memory was made for."""

        def make_desk() -> _Desk:
            mine = scratch.get()
            return _Desk(hand_over((sources, mine)), mine.rows)

        return cls(sources, scratch, PerThread(make_desk))


class SessionRecommender:
    """One version of the models beside the live index, ready to be asked.

    Without a version the live index answers alone, so that a shop's first day is not an empty one; beside one that
    knows only the catalogue it says what is popular. `refresh` takes up what became of the live index; until then
    questions are answered from what was mapped before.
    """

    def __init__(self, models: Models | None = None, live: LiveReader | None = None) -> None:
        self._models = models or Models(Hybrid(), ItemKnn(), Popularity(), None)
        self._live = live
        self._retrieve = Prepared(retrieve)
        self._look_into = Prepared(look_into)
        self.context = ContextEngine(self._models.patterns)
        """What the hour says of products."""
        self._mapped = NO_LIVE
        self._views = self._new_views()
        self._only_popular = False
        self._wished: dict[RankingWish, tuple[list[_View], SessionRecommender]] = {}
        self.shelf_sources = self._shelf_sources()
        """What shelves and the pages of products are made of."""

    @property
    def n_products(self) -> int:
        """A number above those of all products that the models know."""
        related, alike = self._models.items.viewed, self._models.hybrid.sources.relations[CONTENT]
        return max(len(related.offsets), len(alike.offsets)) - 1

    @property
    def newest(self) -> int:
        """The time of the newest act that the live index has read; 0 where there is none."""
        return int(self._mapped.header[NEWEST])

    @property
    def items(self) -> ItemKnn:
        """The relations between products."""
        return self._models.items

    def popularity(self, products: Numbers) -> NDArray[np.float32]:
        """Return how popular each product is in the version in force; 0 where there is none."""
        scores = self._models.popularity.scores
        known = products < len(scores)
        found = np.zeros(len(products), np.float32)
        found[known] = scores[products[known]]
        return found

    @property
    def models(self) -> Models:
        """The models in force; none of them has learned anything where nothing was published."""
        return self._models

    @property
    def live(self) -> LiveReader | None:
        """The live index beside them."""
        return self._live

    @property
    def _has_learned(self) -> bool:
        """Whether the models know any session: a version of the first day knows what the catalogue says and no more."""
        return self._models.hybrid.sessions.n_sessions > 0

    @property
    def manifest(self) -> Manifest | None:
        """What the version in force says about itself; None when there is none."""
        return self._models.manifest

    def refresh(self, now: int | None = None) -> None:
        """Look again at the live index: at grown files and, where no model has learned it, at what is popular.

        With the time also at what the hour says of products; until somebody tells it, no hour is any other.
        """
        if now is not None and self.context.turn_to(now):
            self._views = self._views_of(self._view)
        if self._live is None:
            return
        mapped = self._live.arrays()
        if mapped is not self._mapped:
            self._mapped = mapped
            self._views = self._new_views()
        if not self._has_learned:
            popular = self._live.ranking()
            distinct = {id(view): view for view in self._views}
            replaced = {
                key: _View.of(view.sources._replace(popular=popular), view.scratch) for key, view in distinct.items()
            }
            self._views = [replaced[id(view)] for view in self._views]
        self.shelf_sources = self._shelf_sources()

    def by(self, wish: RankingWish) -> SessionRecommender:
        """Return the recommender that ranks as a strategy wants it, which is good for one answer.

        It is made when it is first asked for, and kept until what it was made of is replaced. What it was made of is
        kept beside it, so that no thread can put an older one in the place of a newer one.
        """
        if wish == AS_SET:
            return self
        views = self._views
        made_of, made = self._wished.get(wish, (None, self))
        if made_of is not views:
            made = copy(self)
            distinct = {id(view): _View.of(self._with(view.sources, wish), view.scratch) for view in views}
            made._views = [distinct[id(view)] for view in views]
            made._only_popular = wish.sources == ()
            kept = {each: known for each, known in self._wished.items() if known[0] is views}
            self._wished = {**kept, wish: (views, made)}
        made.shelf_sources = self.shelf_sources
        return made

    def retrieve(self, state: State, asked: Asked, channel: Channel = Channel.WEB) -> tuple[Rows, int]:
        """Return the answer and its length; the rows are this thread's, and good until its next question."""
        handed, rows = self._views[channel].desks.get()
        return rows, self._retrieve(handed, state, self._limited(asked))

    @property
    def sources(self) -> Sources:
        """What answers are made of at the moment."""
        return self._view.sources

    def sources_in(self, channel: Channel) -> Sources:
        """Return what answers in a channel are made of at the moment."""
        return self._views[channel].sources

    @property
    def _view(self) -> _View:
        return self._views[0]

    def look_into(self, state: State, asked: Asked, product: int) -> Findings:
        """Return what is behind an answer, with a look at one product number (`NO_NUMBER` for none)."""
        return self._look_into(self._view.desks.get().handed, state, self._limited(asked), product)

    def _limited(self, asked: Asked) -> Asked:
        """Return what is asked; where a strategy has no sources, as if there were only time for what is popular."""
        return asked._replace(is_late=True) if self._only_popular else asked

    def _with(self, sources: Sources, wish: RankingWish) -> Sources:
        """Return sources as a strategy wants them, of the same types: kernels are compiled for these."""
        hybrid, weighting = sources.hybrid, sources.weighting
        if wish.live is False:
            weighting = weighting_of(NO_LIVE, self._models.hybrid.sessions.config, self._trained())
            sources = sources._replace(live=NO_LIVE, weighting=weighting)
        if wish.sources is not None:
            left = (
                relation if name in wish.sources else _NO_RELATION
                for name, relation in zip(RELATIONS, hybrid.relations, strict=True)
            )
            sources = sources._replace(hybrid=hybrid._replace(relations=tuple(left)))
            if SESSIONS not in wish.sources:
                nobody = weighting.knn._replace(by_place=weighting.knn.by_place[:0])
                sources = sources._replace(weighting=weighting._replace(knn=nobody))
        if wish.ranker == "guess":
            sources = sources._replace(forests=(_NO_FOREST,) * len(sources.forests))
        if wish.setting is not None:
            sources = sources._replace(n_ranked=SETTINGS[wish.setting].candidates)
        if wish.context is False:
            unweighted = self._models.popularity.ranking() if self._has_learned else sources.popular
            sources = sources._replace(popular=unweighted, weights=NO_WEIGHTS)
        return sources

    def _new_views(self) -> list[_View]:
        models, live = self._models, self._mapped
        return self._views_of(_View.of(self._sources(), PerThread(lambda: _scratch(models, live))))

    def _views_of(self, view: _View) -> list[_View]:
        """Return the view of each channel at this hour, all with the same memory: one for all unless they differ."""
        popular, context = self._models.popularity.ranking(), self.context
        views = [
            _View.of(
                view.sources._replace(popular=context.weighed(popular, place), weights=context.ranked_in(place)),
                view.scratch,
            )
            for place in range(len(context.channels))
        ]
        return views if len(views) > 1 else views * len(Channel)

    def _trained(self) -> Trained:
        watermark = 0 if self._models.manifest is None else self._models.manifest.watermark
        return Trained.of(self._models.hybrid.sessions, watermark) if self._has_learned else Trained(watermark)

    def _shelf_sources(self) -> ShelfSources:
        """Return them with the trends of this moment; without live ones those that the model saw."""
        models = self._models
        live = None if self._live is None else self._live.trending()
        return ShelfSources(
            related=Related(models.items.viewed, models.hybrid.sources.relations[CONTENT]),
            bought=models.items.bought,
            alike=models.items.alike,
            trending=live if live is not None and len(live.products) else models.popularity.trends(),
            popular=self._view.sources.popular,
        )

    def _sources(self) -> Sources:
        models, live = self._models, self._mapped
        items, hybrid = models.items, models.hybrid
        return Sources(
            hybrid=hybrid.sources,
            forests=hybrid.forests,
            n_ranked=SETTINGS[hybrid.config.setting].candidates,
            live=live,
            weighting=weighting_of(live, hybrid.sessions.config, self._trained()),
            bought=items.bought,
            alike=items.alike,
            popular=models.popularity.ranking(),
            weights=self.context.weights,
        )


def _scratch(models: Models, live: LiveArrays) -> Scratch:
    """Return one thread's scratch memory, the votes of trained and live sessions side by side."""
    sessions = models.hybrid.sessions
    trained_room, live_room = sessions.room, room_of(live, sessions.config)
    both = Room(trained_room.votes + live_room.votes, max(trained_room.products, live_room.products))
    shared = make_room(both, models.items.room)
    live_scratch = scratch_of(live, sessions.config, shared)
    return Scratch(
        models.hybrid.scratch(sessions.scratch(*shared, n_others=len(live_scratch.knn.sessions))),
        live_scratch,
        RelationScratch(*shared),
        Rows(np.zeros(_ROWS, np.int64), np.zeros(_ROWS), np.zeros(_ROWS, np.int64), np.zeros(_ROWS, np.int64)),
    )
