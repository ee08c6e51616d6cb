"""Who proposes what: the sources of candidates, in the order that fits the context."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self, cast

import numpy as np
from numpy.typing import NDArray

from active_customers.core.event import Context
from active_customers.core.recommendation import ReasonCode
from active_customers.core.session import SessionQuery
from active_customers.models.artifacts import Manifest
from active_customers.models.base import Candidates, Model
from active_customers.models.item_knn import ItemKnn
from active_customers.models.popularity import Popularity
from active_customers.models.registry import entry_named
from active_customers.models.session_knn import SessionKnn


class Question(NamedTuple):
    """What the sources are asked: the session so far, the cart, and what must not come back (uint32, ascending)."""

    context: Context
    session: SessionQuery
    cart: NDArray[np.uint32]
    excluded: NDArray[np.uint32]


class Proposals(NamedTuple):
    """What one source proposed, and why: a reason for each candidate."""

    candidates: Candidates
    reasons: Sequence[ReasonCode]

    @classmethod
    def alike(cls, candidates: Candidates, reason: ReasonCode) -> Self:
        """Make proposals that all have the same reason."""
        return cls(candidates, [reason] * len(candidates.products))


class SessionRecommender:
    """One published version of the models, ready to be asked."""

    def __init__(self, manifest: Manifest, arrays: Mapping[str, Mapping[str, NDArray[Any]]]) -> None:
        self.manifest = manifest

        def load(name: str) -> Model:
            return entry_named(name).load(arrays[name], manifest.configs[name])

        self._sessions = cast(SessionKnn, load("session_knn"))
        self._items = cast(ItemKnn, load("item_knn"))
        self._popularity = cast(Popularity, load("popularity"))

    def sources(self, question: Question, n: int) -> Iterator[Proposals]:
        """Yield what each source proposes, the most telling one for the context first; stop when there is enough.

        On cart pages what is bought together comes first, elsewhere what similar sessions went on to; both are followed
        by what is viewed together.
        """
        session, excluded = question.session, question.excluded
        if question.context in (Context.CART, Context.CHECKOUT) and len(question.cart):
            yield Proposals.alike(self._items.bought_with(question.cart, n, excluded), ReasonCode.BOUGHT_TOGETHER)
        if len(session.products):
            yield Proposals.alike(self._sessions.candidates(session, n, excluded), ReasonCode.SESSION)
            yield Proposals.alike(self._items.candidates(session, n, excluded), ReasonCode.VIEWED_TOGETHER)

    def popular(self, question: Question, n: int) -> Proposals:
        """Return what is popular, for when nothing more telling is left; the rarely seen are not called popular."""
        candidates = self._popularity.candidates(question.session, n, question.excluded)
        return Proposals(candidates, [self._standing(product) for product in candidates.products.tolist()])

    def _standing(self, product: int) -> ReasonCode:
        if self._popularity.is_trending(product):
            return ReasonCode.TRENDING
        return ReasonCode.POPULAR if self._popularity.is_popular(product) else ReasonCode.SEEN
