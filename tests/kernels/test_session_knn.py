"""The session kernel against a plain Python twin."""

from collections import defaultdict

import numpy as np
import pytest

from active_customers.kernels.candidate_set import candidate_set, empty_votes
from active_customers.kernels.session_knn import KnnScratch, SessionIndex, Weighting, recommend
from active_customers.kernels.sessions import newest_rows
from active_customers.kernels.top_n import Wanted

N_PRODUCTS = 40
NOTHING = np.empty(0, np.uint32)


def random_index(rng, n_sessions=120):
    sessions = [rng.permutation(N_PRODUCTS)[: rng.integers(1, 8)] for _ in range(n_sessions)]
    offsets = np.concatenate(([0], np.cumsum([len(session) for session in sessions])))
    products = np.concatenate(sessions).astype(np.uint32)
    numbers = np.repeat(np.arange(n_sessions, dtype=np.uint32), np.diff(offsets))
    posting_offsets, rows = newest_rows(offsets, products, N_PRODUCTS, 15)
    return SessionIndex(
        posting_offsets=posting_offsets,
        postings=numbers[rows],
        offsets=offsets,
        products=products,
        positions=np.concatenate([np.sort(rng.permutation(12)[: len(session)]) for session in sessions]).astype(
            np.int16
        ),
        session_weights=np.where(rng.random(n_sessions) < 0.2, 0, rng.uniform(0.2, 1, n_sessions)).astype(np.float32),
        rarity=rng.uniform(1, 3, N_PRODUCTS).astype(np.float32),
    )


def weighting(neighbours):
    return Weighting(np.exp(-np.arange(5) / 2.0), np.exp(-np.arange(12) / 3.0), 2.0, 0.25, neighbours)


def scratch(index):
    n = len(index.session_weights)
    return KnnScratch(
        session_slots=np.full(n, 3, np.int32),
        sessions=np.zeros(n, np.uint32),
        similarity=np.zeros(n),
        selection=np.zeros(n),
        votes=empty_votes(n * 12),
        candidates=candidate_set(N_PRODUCTS),
    )


def twin(index, weights, query, n):
    """Return (product, score, evidence), best first, by the definitions in the kernel's docstrings."""
    distinct = [int(p) for p in dict.fromkeys(query[::-1].tolist()) if p < N_PRODUCTS][: len(weights.by_place)]
    similarity = {}
    for place, product in enumerate(distinct):
        for session in index.postings[index.posting_offsets[product] : index.posting_offsets[product + 1]].tolist():
            if index.session_weights[session] > 0:  # those without a weight are passed over
                similarity[session] = similarity.get(session, 0.0) + weights.by_place[place] * index.rarity[product]
    nearest = sorted(similarity, key=lambda s: -similarity[s] * index.session_weights[s])[: weights.neighbours]
    scores, contributions = defaultdict(float), defaultdict(dict)
    for session in nearest:
        rows = range(index.offsets[session], index.offsets[session + 1])
        anchor = max(row for row in rows if index.products[row] in distinct)
        for row in rows:
            distance = abs(int(index.positions[row]) - int(index.positions[anchor]))
            vote = similarity[session] * index.session_weights[session] * weights.by_distance[distance]
            vote *= weights.revisit if row == anchor else 1.0
            product, shared = int(index.products[row]), int(index.products[anchor])
            scores[product] += vote
            contributions[product][shared] = max(vote, contributions[product].get(shared, 0.0))
    for product in scores:
        scores[product] *= index.rarity[product]
    if len(query) and query[-1] in scores:
        scores[int(query[-1])] *= weights.repeat
    order = sorted(scores, key=lambda product: (-scores[product], product))[:n]
    return [(p, scores[p], max(contributions[p], key=contributions[p].get)) for p in order]


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("neighbours", [1, 7, 1000])
def test_recommend_equals_its_twin(seed, neighbours):
    rng = np.random.default_rng(seed)
    index, weights = random_index(rng), weighting(neighbours)
    memory = scratch(index)
    for length in (1, 2, 5, 9):
        query = rng.integers(0, N_PRODUCTS + 3, length).astype(np.uint32)
        products, scores, evidence = recommend(index, weights, memory, query, Wanted(20, NOTHING))
        expected = twin(index, weights, query, 20)
        assert products.tolist() == [product for product, _, _ in expected]
        np.testing.assert_allclose(scores, [score for _, score, _ in expected], rtol=1e-5)
        assert evidence.tolist() == [shared for _, _, shared in expected]


def test_a_query_of_unknown_products_only_finds_nothing():
    index = random_index(np.random.default_rng(1))
    query = np.array([N_PRODUCTS, 0xFFFFFFFF], np.uint32)
    products, _, _ = recommend(index, weighting(5), scratch(index), query, Wanted(20, NOTHING))
    assert len(products) == 0


def test_of_equally_near_sessions_those_with_the_newest_shared_product_stay():
    # Two sessions {0, 1} and {2, 3}; both query products weigh the same, so that both sessions are equally near.
    index = SessionIndex(
        posting_offsets=np.array([0, 1, 2, 3, 4]),
        postings=np.array([0, 0, 1, 1], np.uint32),
        offsets=np.array([0, 2, 4]),
        products=np.arange(4, dtype=np.uint32),
        positions=np.array([0, 1, 0, 1], np.int16),
        session_weights=np.ones(2, np.float32),
        rarity=np.ones(4, np.float32),
    )
    memory = KnnScratch(
        np.zeros(2, np.int32), np.zeros(2, np.uint32), np.zeros(2), np.zeros(2), empty_votes(4), candidate_set(4)
    )
    level = Weighting(np.ones(2), np.ones(2), 1.0, 1.0, 1)
    products, _, _ = recommend(index, level, memory, np.array([2, 0], np.uint32), Wanted(9, NOTHING))
    assert products.tolist() == [0, 1]
