"""Products as vectors: what is acted on together points the same way, and a session points where its acts do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from active_customers.core.config import Config
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.session import SessionQuery
from active_customers.kernels.embedding import Moving, add_rows, cosines, session_vector
from active_customers.kernels.top_n import top_n
from active_customers.models.base import NO_PRODUCTS, Arrays, Candidates, SessionLog
from active_customers.models.kernel_arguments import PerThread, frozen, question, wanted
from active_customers.models.token_vectors import OwnVectors, TokenVectors, Vectors

_WARM_UP = 100
"""Steps over which the learning rate rises to its full height."""


class FactorizationConfig(Config):
    """Parameters of `Factorization`."""

    size: Annotated[int, Field(ge=2, le=512)] = 64
    """Numbers in a vector."""
    query_depth: Annotated[int, Field(ge=1, le=256)] = 10
    """Newest acts of a session that are used."""
    query_decay: Annotated[float, Field(gt=0)] = 2.0
    """How fast older acts lose weight: after so many acts 1/e is left."""
    temperature: Annotated[float, Field(gt=0)] = 0.07
    """What cosines are divided by before they are compared: the smaller, the more the hardest wrong answers count."""
    wrong_answers: Annotated[int, Field(ge=1)] = 2048
    """Products drawn for each batch that the right ones are compared with."""
    popularity_power: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Power of a product's acts that its chance to be drawn is proportional to."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share of a vector's numbers that are left out, each time others, while training."""
    passes: Annotated[int, Field(ge=1)] = 3
    """Times that all sessions are gone through."""
    questions: Annotated[int, Field(ge=1)] = 250_000
    """Acts that a pass learns to foresee, at most; of more than that as many are drawn by chance, others each time."""
    learning_rate: Annotated[float, Field(gt=0)] = 0.01
    """Length of a step."""
    batch: Annotated[int, Field(ge=1)] = 1024
    """Questions learned from at once."""
    feature_weight: Annotated[float, Field(ge=0)] = 2.0
    """What the vectors of a product's tokens weigh together, where a catalogue describes it; at 0 it does without."""
    seed: int = 0
    """Of everything that is drawn by chance."""


class _Questions(NamedTuple):
    """What is learned from: products acted on, int64[n, depth], newest first, -1 after the last; what came next."""

    acts: NDArray[np.int64]
    targets: NDArray[np.int64]


class Factorization:
    """Proposes the products whose vectors are nearest to the session's, the decayed sum of those of its acts.

    One vector for each product, on both sides, so that the session stays in the space of products (CORE; Hou et al.,
    SIGIR 2022, with decay in place of attention); trained by softmax over drawn wrong answers with the correction for
    how often each is drawn (Yi et al., RecSys 2019). The evidence is the product of the session that is nearest itself.

    Where a catalogue describes products, the vectors of their tokens are part of theirs: untouched ones have one, too.
    """

    def __init__(self, config: FactorizationConfig | None = None) -> None:
        self.config = config or FactorizationConfig()
        self._open(np.empty((0, self.config.size), np.float32))

    def fit(self, log: SessionLog) -> None:
        """Learn the vectors; one that nobody acted on, nor on anything it has a token in common with, has length 0."""
        counts = np.bincount(log.products, minlength=log.n_products)
        rows = _later_acts(log)
        rng = np.random.default_rng(self.config.seed)
        vectors = rng.standard_normal((log.n_products + 1, self.config.size), np.float32)
        vectors *= 1 / np.sqrt(self.config.size)
        vectors[-1] = 0.0  # that of no product, where a session has fewer acts
        learning = self._vectors(log, vectors, counts, rng)
        if len(rows):
            self._train(learning, (log, rows), counts, rng)
        vectors = learning.whole()
        self._open(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))

    def candidates(self, session: SessionQuery, n: int, excluded: NDArray[np.uint32] = NO_PRODUCTS) -> Candidates:
        """Return at most `n` products, best first: those at less than a right angle."""
        query = self._known(session)
        scores = self._scores(query)
        best = top_n(self._everything, scores, wanted(n, excluded))
        products = self._everything[best]
        return Candidates(products, scores[best].astype(np.float32), self._evidence(query, products))

    def score(self, session: SessionQuery, products: NDArray[np.uint32]) -> NDArray[np.float32]:
        """Return the cosine of each product and the session; 0 where it is not positive or the product unknown."""
        scores = self._scores(self._known(session))
        known = products < len(scores)
        found = np.zeros(len(products), np.float32)
        found[known] = np.maximum(scores[products[known]], 0.0)
        return found

    def why(self, session: SessionQuery, product: int) -> int:
        """Return the product of the session that is nearest to this one, or `NO_NUMBER`."""
        if not 0 <= product < len(self.vectors):
            return NO_NUMBER
        return int(self._evidence(self._known(session), np.array([product], np.uint32))[0])

    def arrays(self) -> Arrays:
        """Return the vectors."""
        return {"vectors": self.vectors}

    @classmethod
    def from_arrays(cls, arrays: Arrays, config: Mapping[str, object]) -> Self:
        """Make the model again from what `arrays` returned and its configuration."""
        model = cls(FactorizationConfig.model_validate(config))
        model._open(arrays["vectors"])
        return model

    def _open(self, vectors: NDArray[np.float32]) -> None:
        self.vectors = frozen(vectors)
        self.by_act = np.exp(-np.arange(self.config.query_depth) / self.config.query_decay)
        self._everything = frozen(np.arange(len(vectors), dtype=np.uint32))
        self._memory = PerThread(lambda: np.zeros(len(vectors)))

    def _known(self, session: SessionQuery) -> NDArray[np.uint32]:
        products = question(session.products)
        return products[products < len(self.vectors)]

    def _scores(self, query: NDArray[np.uint32]) -> NDArray[np.float64]:
        scores = self._memory.get()
        cosines(self.vectors, session_vector(self.vectors, self.by_act, query), scores)
        return scores

    def _evidence(self, query: NDArray[np.uint32], products: NDArray[np.uint32]) -> NDArray[np.uint32]:
        known = query[-self.config.query_depth :]
        if not len(known):
            return np.full(len(products), NO_NUMBER, np.uint32)
        near = self.vectors[products] @ self.vectors[known].T
        return np.where(near.max(axis=1) > 0, known[near.argmax(axis=1)], NO_NUMBER).astype(np.uint32)

    def _questions(self, log: SessionLog, rows: NDArray[np.int64]) -> _Questions:
        """Return what these acts of the log are to be foreseen from."""
        starts = log.offsets[np.searchsorted(log.offsets, rows, side="right") - 1]
        earlier = rows[:, None] - 1 - np.arange(self.config.query_depth)
        acts = np.where(earlier >= starts[:, None], log.products[np.maximum(earlier, 0)].astype(np.int64), -1)
        return _Questions(acts, log.products[rows].astype(np.int64))

    def _vectors(
        self, log: SessionLog, own: NDArray[np.float32], counts: NDArray[np.int64], rng: np.random.Generator
    ) -> Vectors:
        if log.features is None or not self.config.feature_weight or not len(log.products):
            return OwnVectors(own, counts)
        return TokenVectors.of(own, counts, (log.features, self.config.feature_weight), rng)

    def _train(
        self,
        learning: Vectors,
        learned: tuple[SessionLog, NDArray[np.int64]],
        counts: NDArray[np.int64],
        rng: np.random.Generator,
    ) -> None:
        """Learn to foresee these acts of the log."""
        config, (log, rows) = self.config, learned
        chances = counts.astype(np.float64) ** config.popularity_power * (counts > 0)
        chances /= chances.sum()
        bounds = np.cumsum(chances)
        with np.errstate(divide="ignore"):
            expected = np.log(chances * config.wrong_answers).astype(np.float32)
        step = 0
        for _ in range(config.passes):
            order = rows[rng.permutation(len(rows))[: config.questions]]
            for first in range(0, len(order), config.batch):
                chosen = order[first : first + config.batch]
                drawn = np.minimum(np.searchsorted(bounds, rng.random(config.wrong_answers)), len(counts) - 1)
                asked = self._questions(log, chosen)
                shown = learning.shown(np.concatenate((asked.acts.ravel(), asked.targets, drawn)))
                self._learn(shown, asked, (drawn, expected[drawn]), rng)
                step += 1
                learning.step(config.learning_rate * min(1.0, step / _WARM_UP), step)

    def _learn(
        self,
        moving: Moving,
        questions: _Questions,
        drawn: tuple[NDArray[np.int64], NDArray[np.float32]],
        rng: np.random.Generator,
    ) -> None:
        """Add the gradient of one batch: softmax of the cosines between sessions and answers, right against drawn."""
        config, vectors = self.config, moving.values
        targets, (wrong, expected) = questions.targets, drawn
        kept = rng.random((*questions.acts.shape, config.size), np.float32) >= config.dropout
        weights = (self.by_act[:, None] / (1 - config.dropout)).astype(np.float32) * kept
        sessions, session_lengths = _of_length_one((vectors[questions.acts] * weights).sum(axis=1))
        right, right_lengths = _of_length_one(vectors[targets])
        others, other_lengths = _of_length_one(vectors[wrong])
        scale = np.float32(1 / config.temperature)
        chance = sessions @ others.T
        chance *= scale
        chance -= expected
        chance[wrong == targets[:, None]] = -np.inf
        own = (sessions * right).sum(axis=1) * scale
        highest = np.maximum(chance.max(axis=1), own)
        chance -= highest[:, None]
        np.exp(chance, out=chance)
        own = np.exp(own - highest)
        total = chance.sum(axis=1) + own
        slope = scale / np.float32(len(targets))
        chance *= (slope / total)[:, None]
        pull = ((own / total - 1) * slope)[:, None]
        by_session = _back(chance @ others + pull * right, sessions, session_lengths)
        add_rows(moving.gradient, targets, _back(pull * sessions, right, right_lengths))
        add_rows(moving.gradient, wrong, _back(chance.T @ sessions, others, other_lengths))
        by_act = by_session[:, None, :] * weights
        add_rows(moving.gradient, questions.acts.ravel(), by_act.reshape(-1, config.size))
        moving.gradient[-1] = 0.0


def _later_acts(log: SessionLog) -> NDArray[np.int64]:
    """Return the rows of all acts but the sessions' first."""
    is_first = np.zeros(len(log.products) + 1, bool)
    is_first[log.offsets] = True
    return np.flatnonzero(~is_first[:-1])


def _of_length_one(rows: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return rows of length 1, and how long they were."""
    lengths = np.sqrt((rows * rows).sum(axis=1, keepdims=True)) + np.float32(1e-8)
    return rows / lengths, lengths


def _back(gradient: NDArray[Any], rows: NDArray[np.float32], lengths: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the gradient by what rows were before they were brought to length 1."""
    across = gradient - rows * (gradient * rows).sum(axis=1, keepdims=True)
    return np.asarray(across / lengths, np.float32)
