"""The hybrid: several sources propose products, trees that were trained to rank put them in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from active_customers.core.config import Config
from active_customers.core.errors import ArtifactError
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.recommendation import Goal
from active_customers.core.session import SessionQuery
from active_customers.kernels.hybrid import (
    CONTENT,
    MOST_OWN,
    MOST_RANKED,
    N_FEATURES,
    N_GATHERED,
    HybridScratch,
    HybridSources,
    propose,
    rank,
)
from active_customers.kernels.item_knn import Pairing, Relation
from active_customers.kernels.session_knn import KnnScratch
from active_customers.kernels.top_n import Wanted
from active_customers.kernels.trees import Forest
from active_customers.models import session_knn
from active_customers.models.base import NO_PRODUCTS, Arrays, Candidates, SessionLog
from active_customers.models.content import Content, ContentConfig
from active_customers.models.event_weights import EventWeights
from active_customers.models.factorization import Factorization, FactorizationConfig
from active_customers.models.item_knn import make_baskets, no_relation, relate
from active_customers.models.kernel_arguments import PerThread, Prepared, frozen, longest_row, wanted
from active_customers.models.linear import Linear, LinearConfig
from active_customers.models.product_facts import FACTS, product_facts
from active_customers.models.ranker import Lists, RankerConfig, even_covers, no_forest, train
from active_customers.models.ranker_questions import Questions, make_acts
from active_customers.models.session_knn import SessionKnn, SessionKnnConfig, own_scratch

RELATIONS = ("content", "linear", "after", "beside")
"""In the order of `kernels.hybrid`."""

_KNN = "session_knn_"
CUSTOMERS = f"{_KNN}customers"
"""The array that tells whose sessions a model holds."""

_TAUGHT = (Goal.NEXT, Goal.CART, Goal.PURCHASE, Goal.RETURN)
"""What trees are trained for. For `NEW` the first guess is the answer: the next act of a visit says nothing of it."""

LISTS_AT_LEAST = 20
"""Questions with a right answer among the candidates below which nothing is learned from them."""


class Setting(NamedTuple):
    """How much work goes into an answer."""

    candidates: int
    """Most promising products that are described."""
    trees: int
    """Trees that rank them."""


SETTINGS = {"fast": Setting(64, 100), "best": Setting(300, 100)}


class HybridConfig(Config):
    """Parameters of `Hybrid`."""

    setting: Literal["fast", "best"] = "fast"
    """How much work goes into an answer: 64 candidates, or 300."""
    label_share: Annotated[float, Field(gt=0, lt=1)] = 0.07
    """Share of the sessions, the newest, whose acts the trees learn to foresee from all sessions before."""
    label_windows: Annotated[int, Field(ge=1)] = 4
    """Windows of that length, the newest first, that the trees learn from until it is enough: small shops need them."""
    label_questions: Annotated[int, Field(ge=1)] = 20_000
    """Questions that the trees learn from for each goal out of each window, at most; drawn by chance."""
    withheld_share: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Share of the products whose acts are kept from the sources that describe what the trees learn from, so that they
    learn what a product is worth that nobody acted on; only where a catalogue describes products."""
    query_depth: Annotated[int, Field(ge=1, le=256)] = 10
    """Newest distinct products of the session that sources are asked about; `linear` and `content` about fewer where
    their own depth is less."""
    query_decay: Annotated[float, Field(gt=0)] = 2.0
    """How fast older products of the session lose weight, in distinct products, in `after` and `beside`."""
    neighbours: Annotated[int, Field(ge=1)] = 100
    """Products kept for each product in `after` and `beside`."""
    after_decay: Annotated[float, Field(gt=0)] = 2.0
    """How fast a pair loses weight with the acts between, in `after`."""
    beside_decay: Annotated[float, Field(gt=0)] = 3.0
    """The same, in `beside`."""
    after_damping: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Power of both products' session counts that a pair's weight in `after` is divided by: above 0 for the rare."""
    beside_damping: Annotated[float, Field(ge=0, le=1)] = 0.2
    """The same, in `beside`."""
    first_time: EventWeights = EventWeights(
        view=0.2, click=0.2, wishlist_add=0.3, cart_add=0.5, purchase=1.0, email_click=0.2, push_click=0.2
    )
    """How much an act on a product says of what the customer will want for the first time, however long ago it was."""
    window: Annotated[int, Field(ge=1)] = 20
    """Acts between two products beyond which they do not count as a pair."""
    session_knn: SessionKnnConfig = SessionKnnConfig(neighbours=75)
    linear: LinearConfig = LinearConfig(neighbours=70)
    factorization: FactorizationConfig = FactorizationConfig()
    content: ContentConfig = ContentConfig()
    ranker: RankerConfig = RankerConfig()


class _Sources(NamedTuple):
    """What is fitted to a history."""

    sessions: SessionKnn
    relations: tuple[Relation, ...]
    vectors: NDArray[np.float32]
    facts: NDArray[np.float32]


class Hybrid:
    """Proposes what near sessions and item-to-item relations propose, ranked by gradient-boosted trees.

    The trees are trained on questions from the newest sessions, with sources fitted on the sessions before these only,
    so that what is learned from never knows what it is to foresee; then the sources are fitted on everything. Every
    candidate of a question is learned from: a sample by one source would teach to trust the others. For each `Goal` the
    trees of the next product are followed by some that learned what leads to it; the next visit has trees of its own.
    They start from a first guess, which is the answer where there is too little to learn from.

    Scores are the first guess and the trees' sums through the logistic function. The evidence is the act's product that
    near sessions share with the strongest vote, else the product itself where the customer acted on it, else the newest
    that is related. What nobody acted on comes in by what the catalogue says of it, where the log has features.
    """

    def __init__(self, config: HybridConfig | None = None) -> None:
        self.config = config or HybridConfig()
        relations = tuple(no_relation() for _ in RELATIONS)
        vectors = np.empty((0, self.config.factorization.size), np.float32)
        facts = np.empty((0, len(FACTS)), np.float32)
        self.n_questions: dict[Goal, int] = {}
        """Questions with a right answer among the candidates, by goal: what the trees learned from in `fit`."""
        nothing = _sources(SessionKnn(self.config.session_knn), relations, vectors, facts)
        self._open(nothing, _no_forests())

    def fit(self, log: SessionLog, told: Callable[[], None] = lambda: None) -> None:
        """Fit the sources on the older sessions, train the trees on the newer, fit the sources on all.

        `told` is called after each step: the sources were fitted once, the trees of a goal were trained.
        Raises `MissingLibraryError` where the library that trains cannot be loaded; `fit_sources` does without it.
        """
        alike = self._alike(log)
        found = self._all_lists(log, alike, told)
        self.n_questions = {goal: len(lists.sizes) for goal, lists in found.items()}
        lists = {goal: found[goal] for goal, n in self.n_questions.items() if n >= LISTS_AT_LEAST}
        forests = _no_forests()
        if Goal.NEXT in lists:
            forests = _forests(train(lists, self.config.ranker, SETTINGS[self.config.setting].trees, told))
        self._open(self._fitted(log, alike), forests)

    def fit_sources(self, log: SessionLog) -> None:
        """Fit the sources alone; the first guess is the answer."""
        self._open(self._fitted(log), _no_forests())

    def _all_lists(self, log: SessionLog, alike: Relation, told: Callable[[], None]) -> dict[Goal, Lists]:
        """Return what the trees learn from, window by window into the past until it is enough."""
        length = round(log.n_sessions * self.config.label_share)
        windows: list[dict[Goal, Lists]] = []
        n_lists = 0
        while length and len(windows) < self.config.label_windows and n_lists < self.config.ranker.lists_enough:
            end = log.n_sessions - len(windows) * length
            if end <= length:
                break
            windows.insert(0, self.lists(log.first(end), end - length, alike))
            told()
            n_lists += len(windows[0][Goal.NEXT].sizes)
        lists = {goal: Lists.end_to_end([window[goal] for window in windows]) for goal in _TAUGHT} if windows else {}
        is_cut_short = 0 < len(windows) < self.config.label_windows and n_lists >= self.config.ranker.lists_enough
        if is_cut_short and len(lists[Goal.RETURN].sizes) < self.config.ranker.lists_enough:
            n_before = max(log.n_sessions - length * self.config.label_windows, length)
            if len(Questions.of(log, n_before, Goal.RETURN).rows):  # where nobody comes back, fits would be for nothing
                lists |= self.lists(log, n_before, alike, (Goal.RETURN,))  # a customer is asked but once a visit
                told()
        return lists

    def lists(
        self, log: SessionLog, n_before: int, alike: Relation | None = None, goals: Iterable[Goal] = _TAUGHT
    ) -> dict[Goal, Lists]:
        """Return what the trees learn from: the sessions after the first `n_before`, described by those before.

        `alike` is what the catalogue describes alike, where that is known already.
        """
        fitted = self._fitted(self._withholding(log.first(n_before)), alike)
        sources = self._kernel_sources(fitted)
        scratch = _scratch(self.config.query_depth, sources, own_scratch(fitted.sessions))
        return {goal: self._lists(sources, scratch, Questions.of(log, n_before, goal)) for goal in goals}

    def _withholding(self, log: SessionLog) -> SessionLog:
        """Return a log without the acts on some products, drawn by chance, which only the catalogue tells of then.

        Volkovs et al., "DropoutNet: addressing cold start in recommender systems", NeurIPS 2017: what is to rank
        untouched products has to meet some. Else each that it was taught with and knew nothing of was a wrong answer.
        """
        if log.features is None:
            return log
        withheld = np.random.default_rng(self.config.ranker.seed).random(log.n_products) < self.config.withheld_share
        return log.where(~withheld[log.products])

    def _lists(self, sources: HybridSources, scratch: HybridScratch, asked: Questions) -> Lists:
        """Describe the candidates of questions, drawn by chance, that have a right one among them."""
        n = SETTINGS[self.config.setting].candidates
        chosen = np.random.default_rng(self.config.ranker.seed).permutation(len(asked.rows))
        features, labels, sizes = [], [], []
        for place in np.sort(chosen[: self.config.label_questions]).tolist():
            slots = propose(sources, scratch, asked.acts(place), Wanted(n, asked.excluded(place)))
            right = np.isin(scratch.knn.candidates.products[slots], asked.answers(place))
            if right.any():
                features.append(scratch.columns[:, : len(slots)].T.copy())
                labels.append(right.astype(np.uint8))
                sizes.append(len(slots))
        if not sizes:
            return Lists(np.empty((0, 0), np.float32), np.empty(0, np.uint8), np.empty(0, np.int64))
        return Lists(np.concatenate(features), np.concatenate(labels), np.array(sizes))

    def candidates(self, session: SessionQuery, n: int, excluded: NDArray[np.uint32] = NO_PRODUCTS) -> Candidates:
        """Return at most `n` products, best first."""
        products, scores, evidence = self._ranked(session, max(n, 0), excluded)
        return Candidates(products[: max(n, 0)], scores[: max(n, 0)], evidence[: max(n, 0)])

    def score(self, session: SessionQuery, products: NDArray[np.uint32]) -> NDArray[np.float32]:
        """Return a score for each product; 0 for those that are not among the most promising."""
        found, scores, _ = self._ranked(session, 0)
        by_product = dict(zip(found.tolist(), scores.tolist(), strict=True))
        return np.array([by_product.get(product, 0.0) for product in products.tolist()], np.float32)

    def why(self, session: SessionQuery, product: int) -> int:
        """Return the product of the session that brought this one in, or `NO_NUMBER`."""
        found, _, evidence = self._ranked(session, 0)
        by_product = dict(zip(found.tolist(), evidence.tolist(), strict=True))
        return int(by_product.get(product, NO_NUMBER))

    def _ranked(self, session: SessionQuery, n: int, excluded: NDArray[np.uint32] = NO_PRODUCTS) -> Candidates:
        numbered = session.products[session.products < len(self.sources.facts)]
        if not self._knows(numbered).any():
            return Candidates(NO_PRODUCTS, np.empty(0, np.float32), NO_PRODUCTS)
        scratch = self._scratch.get()
        acts = make_acts(session.products, session.event_types, session.times, session.goal)
        wish = wanted(max(SETTINGS[self.config.setting].candidates, n), excluded)
        slots = self._rank(self.sources, self.forests[session.goal], scratch, acts, wish)
        found, scores = scratch.knn.candidates, scratch.scores[: len(slots)].astype(np.float32)
        return Candidates(found.products[slots], scores, found.evidence[slots])

    def _knows(self, products: NDArray[np.uint32]) -> NDArray[np.bool_]:
        """Return of which products something is known: that something was done with them, or what they are like."""
        acts, alike = self._fitted_sources.facts[products, 0], self._fitted_sources.relations[CONTENT].offsets
        # Without a catalogue no product has a row.
        return np.asarray((acts > 0) | (alike.take(products + 1, mode="clip") > alike.take(products, mode="clip")))

    def arrays(self) -> Arrays:
        """Return what every source and the trees have learned, each name after that of its part."""
        sources = self._fitted_sources
        relations = {
            f"{name}_{field}": array
            for name, relation in zip(RELATIONS, sources.relations, strict=True)
            for field, array in relation._asdict().items()
        }
        return {
            **{f"{_KNN}{name}": array for name, array in sources.sessions.arrays().items()},
            **relations,
            "vectors": sources.vectors,
            "facts": sources.facts,
            **{
                f"{goal.word}_forest_{name}": array
                for goal in Goal
                for name, array in self.forests[goal]._asdict().items()
            },
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays, config: Mapping[str, object]) -> Self:
        """Make the model again from what `arrays` returned and its configuration.

        Raises `ArtifactError` where it was described by other columns than those of this program.
        """
        model = cls(HybridConfig.model_validate(config))
        knn = _of_sessions(arrays)
        relations = tuple(Relation(*(arrays[f"{name}_{field}"] for field in Relation._fields)) for name in RELATIONS)
        sources = _sources(
            SessionKnn.from_arrays(knn, model.config.session_knn.model_dump()),
            relations,
            arrays["vectors"],
            arrays["facts"],
        )
        forests = tuple(_forest(arrays, goal) for goal in Goal)
        _check_columns(sources.facts, forests)
        model._open(sources, forests)
        return model

    def _alike(self, log: SessionLog) -> Relation:
        """Return what the catalogue describes alike, which no act changes: found once for all fits of the others."""
        content = Content(self.config.content)
        content.fit(log)
        return content.related

    def _fitted(self, log: SessionLog, alike: Relation | None = None) -> _Sources:
        """Fit every source."""
        config = self.config
        knn, linear, factorization = (
            SessionKnn(config.session_knn),
            Linear(config.linear),
            Factorization(config.factorization),
        )
        for model in (knn, linear, factorization):
            model.fit(log)
        together = (self._related(log, after=after) for after in (True, False))
        relations = (alike or self._alike(log), linear.related, *together)
        return _sources(knn, relations, factorization.vectors, product_facts(log))

    def _related(self, log: SessionLog, *, after: bool) -> Relation:
        """Return what came after each product, or what stood in the same session."""
        config, length = self.config, self.config.session_knn.session_length
        decay = config.after_decay if after else config.beside_decay
        damping = config.after_damping if after else config.beside_damping
        by_distance = np.exp(-(np.arange(config.window + 1) - 1) / decay)
        weights = np.ones(log.n_sessions, np.float32)
        pairing = Pairing(by_distance, weights, damping, config.neighbours, 0, after)
        return relate(make_baskets(log, np.ones(len(log.products), np.float32), length), pairing, log.n_products)

    def _open(self, sources: _Sources, forests: tuple[Forest, ...]) -> None:
        self._fitted_sources = sources
        self.sessions = sources.sessions
        self.forests = tuple(Forest(*(frozen(array) for array in forest)) for forest in forests)
        self._rank = Prepared(rank)
        self.sources = self._kernel_sources(self._fitted_sources)
        self._scratch = PerThread(lambda: self.scratch(own_scratch(sources.sessions)))

    def _kernel_sources(self, fitted: _Sources) -> HybridSources:
        config = self.config
        places = np.arange(config.query_depth)
        alone = ((part.query_depth, part.query_decay) for part in (config.content, config.linear, config, config))
        acts = config.factorization
        return HybridSources(
            sessions=fitted.sessions.index,
            knn=fitted.sessions.weighting,
            relations=fitted.relations,
            by_place=np.stack([np.where(places < depth, np.exp(-places / decay), 0.0) for depth, decay in alone]),
            vectors=fitted.vectors,
            by_act=np.exp(-np.arange(acts.query_depth) / acts.query_decay),
            facts=fitted.facts,
            worth=config.first_time.table(),
        )

    def scratch(self, knn: KnnScratch) -> HybridScratch:
        """Return one thread's scratch memory: room for all that a question can touch beside the votes of `knn`."""
        return _scratch(self.config.query_depth, self.sources, knn)


def _sources(
    sessions: SessionKnn, relations: Sequence[Relation], vectors: NDArray[Any], facts: NDArray[Any]
) -> _Sources:
    """Put sources together in the types that kernels know."""
    unified = tuple(Relation(*(frozen(array) for array in relation)) for relation in relations)
    return _Sources(sessions, unified, frozen(vectors), frozen(facts))


def _check_columns(facts: NDArray[np.float32], forests: Iterable[Forest]) -> None:
    """Raise `ArtifactError` for what kernels, which check no bounds, would read beyond the columns of this program."""
    n_columns = N_FEATURES + len(FACTS)
    most = max(int(forest.features.max(initial=-1)) for forest in forests)
    least = min(int(forest.features.min(initial=0)) for forest in forests)
    if facts.shape[1:] != (len(FACTS),) or least < 0 or most >= n_columns:
        raise ArtifactError(
            f"hybrid: its arrays have {facts.shape[-1]} facts and ask for columns {least} to {most}, where this "
            f"program has {len(FACTS)} and {n_columns}: they are of another version; refresh once"
        )


def passing_over(arrays: Arrays, customers: NDArray[np.uint32]) -> Arrays:
    """Return the arrays of a model in which the sessions of these customers have no weight, and so no vote."""
    filtered = session_knn.passing_over(_of_sessions(arrays), customers)
    return {**arrays, **{f"{_KNN}{name}": array for name, array in filtered.items()}}


def _of_sessions(arrays: Arrays) -> Arrays:
    return {name.removeprefix(_KNN): array for name, array in arrays.items() if name.startswith(_KNN)}


def _no_forests() -> tuple[Forest, ...]:
    return tuple(no_forest() for _ in Goal)


def _forests(trained: Mapping[Goal, Forest]) -> tuple[Forest, ...]:
    """Return a forest for each goal: where nothing was learned for it, that of the next product.

    Those of the next visit and of what is new start from other first guesses, which none of theirs could correct.
    """
    of_this_visit = {Goal.CART: trained[Goal.NEXT], Goal.PURCHASE: trained[Goal.NEXT]}
    return tuple(trained.get(goal) or of_this_visit.get(goal) or no_forest() for goal in Goal)


def _forest(arrays: Arrays, goal: Goal) -> Forest:
    """Return the trees of a goal; those published before covers were kept count every leaf alike."""
    found = {name: arrays[f"{goal.word}_forest_{name}"] for name in Forest._fields if name != "covers"}
    covers = arrays.get(f"{goal.word}_forest_covers")
    return Forest(**found, covers=even_covers(found["offsets"]) if covers is None else covers)


def _scratch(query_depth: int, sources: HybridSources, knn: KnnScratch) -> HybridScratch:
    related = max(query_depth, MOST_OWN) * sum(longest_row(relation.offsets) for relation in sources.relations)
    n_touched = min(len(knn.candidates.slots), MOST_OWN + len(knn.votes.products) + related)
    return HybridScratch(
        knn,
        np.zeros((n_touched, N_GATHERED), np.float32),
        np.zeros((N_FEATURES + sources.facts.shape[1], MOST_RANKED), np.float32),
        np.zeros(MOST_RANKED, np.uint32),
        np.zeros(MOST_RANKED),
    )
