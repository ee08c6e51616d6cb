"""The published models, against the formulas written out slowly."""

from math import exp, log, sqrt

import numpy as np
import pytest
from tests.models.conftest import log_of

from active_customers.core.clock import DAY
from active_customers.core.session import SessionQuery
from active_customers.evaluation.baselines import (
    SequentialRules,
    SequentialRulesConfig,
    Stan,
    StanConfig,
    VSKnn,
    VSKnnConfig,
    Vstan,
    VstanConfig,
)
from active_customers.evaluation.contestants import CONTESTANTS, LINES
from active_customers.models.registry import new_model

N = 9
EVERYTHING = np.arange(N, dtype=np.uint32)


@pytest.fixture(params=range(4))
def sessions(request):
    rng = np.random.default_rng(request.param)
    return [rng.integers(0, N, rng.integers(1, 7)).tolist() for _ in range(30)]


def asked(products, day=40.0):
    n = len(products)
    return SessionQuery(np.array(products, np.uint32), np.ones(n, np.uint8), np.full(n, int(day * DAY)), int(day * DAY))


def fitted(model, sessions):
    model.fit(log_of(sessions, N, spacing=DAY))
    return model


def last_positions(products):
    return {product: place for place, product in enumerate(products)}


def neighbours(sessions, query, weight_of, similarity_of, sample, nearest):
    """The nearest sessions as (similarity, number), in the order of the papers."""
    weights = {product: weight_of(place) for product, place in last_positions(query).items()}
    found = [number for number, session in enumerate(sessions) if set(session) & set(query)]
    newest = sorted(found)[-sample:]
    scored = [(similarity_of(weights, number), number) for number in newest]
    return sorted(scored, reverse=True)[:nearest]


def anchor_of(session, query):
    return max(place for product, place in last_positions(session).items() if product in query)


def step_of(session, query):
    """How far back in the query the newest product that the session holds stands, from 1."""
    return min(len(query) - place for product, place in last_positions(query).items() if product in session)


def idf(sessions, product):
    return log(len(sessions) / max(sum(product in session for session in sessions), 1))


def assert_scores(model, query, expected):
    np.testing.assert_allclose(model.score(asked(query), EVERYTHING), [expected.get(p, 0) for p in range(N)], rtol=1e-5)


@pytest.mark.parametrize("query", [[0], [3, 1, 4], [2, 2, 5, 2, 7], [8, 6, 8, 1, 0, 3]])
class TestNeighbours:
    @pytest.mark.parametrize(("sample", "nearest"), [(100, 100), (8, 100)])
    def test_vsknn(self, sessions, query, sample, nearest):
        def similarity(weights, number):
            return sum(weight for product, weight in weights.items() if product in sessions[number])

        near = neighbours(sessions, query, lambda p: ((p + 1) / len(query)) ** 2, similarity, sample, nearest)
        expected = {}
        for value, number in near:
            for product in set(sessions[number]):
                vote = value / step_of(sessions[number], query) * (1 + 2 * idf(sessions, product))
                expected[product] = expected.get(product, 0) + vote
        config = VSKnnConfig(sample=sample, nearest=nearest, rarity=2)
        assert_scores(fitted(VSKnn(config), sessions), query, expected)

    @pytest.mark.parametrize("nearest", [100, 3])
    def test_stan_and_vstan(self, sessions, query, nearest):
        ends = [number + (len(session) - 1) * 1e6 / DAY for number, session in enumerate(sessions)]

        def similarity(weights, number):
            shared = sum(weight for product, weight in weights.items() if product in sessions[number])
            return shared / sqrt(len(set(sessions[number]))) * exp(-(40 - ends[number]) / 15)

        near = neighbours(sessions, query, lambda p: exp((p + 1 - len(query)) / 2), similarity, 100, nearest)
        stan, vstan = {}, {}
        for value, number in near:
            session = sessions[number]
            for product, place in last_positions(session).items():
                vote = value * exp(-abs(place - anchor_of(session, query)) / 3)
                stan[product] = stan.get(product, 0) + vote
                more = exp((1 - step_of(session, query)) / 1.5) * (1 + 2 * idf(sessions, product))
                vstan[product] = vstan.get(product, 0) + vote * more
        settings = {"nearest": nearest, "position_decay": 2, "fade_days": 15, "distance_decay": 3}
        assert_scores(fitted(Stan(StanConfig(**settings)), sessions), query, stan)
        assert_scores(fitted(Vstan(VstanConfig(**settings, step_decay=1.5, rarity=2)), sessions), query, vstan)


def test_sequential_rules(sessions):
    expected = {}
    for session in sessions:
        for i, first in enumerate(session):
            for j in range(i + 1, min(i + 4, len(session))):
                expected.setdefault(first, {}).setdefault(session[j], 0)
                expected[first][session[j]] += 1 / (j - i)
    model = fitted(SequentialRules(SequentialRulesConfig(steps=3)), sessions)
    for product in range(N):
        assert_scores(model, [1, 2, product], expected.get(product, {}))


@pytest.mark.parametrize("name", ["sequential_rules", "vsknn", "stan", "vstan"])
class TestAsModels:
    def test_answers_are_in_order_and_without_what_is_excluded(self, name, sessions):
        model = fitted(new_model(name, among=CONTESTANTS), sessions)
        found = model.candidates(asked([3, 1]), N)
        assert (np.diff(found.scores) <= 0).all()
        rest = model.candidates(asked([3, 1]), N, found.products[:2])
        assert rest.products.tolist() == found.products[2:].tolist()

    def test_it_is_made_again_from_its_arrays(self, name, sessions):
        entry = CONTESTANTS[name]
        model = fitted(new_model(name, among=CONTESTANTS), sessions)
        again = entry.load(model.arrays(), {})
        assert (
            again.candidates(asked([3, 1]), N).products.tolist() == model.candidates(asked([3, 1]), N).products.tolist()
        )

    def test_nothing_known_gives_nothing(self, name):
        model = new_model(name, among=CONTESTANTS)
        model.fit(log_of([], 0))
        assert len(model.candidates(asked([1]), 5).products) == 0
        model.fit(log_of([[0], [1]], 2))
        assert len(model.candidates(asked([7]), 5).products) == 0
        assert set(model.candidates(asked([0]), 5).products.tolist()) <= {0, 1}


def test_everything_that_can_be_measured_has_a_line():
    assert set(LINES) == set(CONTESTANTS)


def test_ties_never_keep_a_nearer_session_from_voting():
    """Many sessions share the query's newest product alone; the one that shares both is found last of all."""
    sessions = [[0, 1], *([1, 2 + i % 5] for i in range(20))]
    model = VSKnn(VSKnnConfig(nearest=3, rarity=0, weighting="same"))
    model.fit(log_of(sessions, N, spacing=0))  # of one time, so that ties are exact
    assert 0 in model.candidates(asked([0, 1]), N).products
