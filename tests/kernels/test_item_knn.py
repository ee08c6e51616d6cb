"""The item kernels against plain Python twins."""

from collections import defaultdict

import numpy as np
import pytest

from active_customers.kernels.candidate_set import candidate_set, empty_votes
from active_customers.kernels.item_knn import (
    Baskets,
    Pairing,
    PairScratch,
    Relation,
    RelationScratch,
    recommend,
    related_rows,
)
from active_customers.kernels.sessions import newest_rows
from active_customers.kernels.top_n import Wanted

N_PRODUCTS = 25
NOTHING = np.empty(0, np.uint32)


def random_baskets(rng, n_sessions=80):
    sessions = [rng.permutation(N_PRODUCTS)[: rng.integers(0, 7)] for _ in range(n_sessions)]
    offsets = np.concatenate(([0], np.cumsum([len(session) for session in sessions])))
    products = np.concatenate(sessions).astype(np.uint32)
    row_offsets, rows = newest_rows(offsets, products, N_PRODUCTS, len(products))
    return Baskets(
        offsets=offsets,
        products=products,
        positions=np.concatenate([np.sort(rng.permutation(9)[: len(s)]) for s in sessions]).astype(np.int16),
        strengths=rng.choice([0.25, 1.0], len(products)).astype(np.float32),
        sessions=np.repeat(np.arange(n_sessions, dtype=np.uint32), np.diff(offsets)),
        row_offsets=row_offsets,
        rows=rows,
    )


def twin_related(baskets, pairing, product):
    """Return (other, weight, support) of one product's row, strongest first."""
    seen = np.bincount(baskets.products, minlength=N_PRODUCTS)
    weights, support = defaultdict(float), defaultdict(int)
    for row in np.flatnonzero(baskets.products == product):
        session = baskets.sessions[row]
        for other in range(baskets.offsets[session], baskets.offsets[session + 1]):
            distance = abs(int(baskets.positions[other]) - int(baskets.positions[row]))
            if other != row and distance < len(pairing.by_distance):
                strength = min(baskets.strengths[row], baskets.strengths[other])
                met = int(baskets.products[other])
                weights[met] += strength * pairing.by_distance[distance] * pairing.session_weights[session]
                support[met] += int(strength == 1.0)
    damped = {
        met: w / (seen[product] * seen[met]) ** pairing.damping
        for met, w in weights.items()
        if support[met] >= pairing.min_support
    }
    order = sorted(damped, key=lambda met: (-damped[met], met))[: pairing.kept]
    return [(met, damped[met], support[met]) for met in order]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("kept", "min_support"), [(3, 1), (100, 1), (100, 2)])
def test_related_rows_equal_their_twin(seed, kept, min_support):
    rng = np.random.default_rng(seed)
    baskets = random_baskets(rng)
    recency = rng.uniform(0.1, 1, len(baskets.offsets) - 1).astype(np.float32)
    pairing = Pairing(np.exp(-np.arange(5) / 2.0), recency, 0.4, kept, min_support)
    memory = PairScratch(candidate_set(N_PRODUCTS), np.full(N_PRODUCTS, 9, np.uint32))
    lengths, products, weights, support = related_rows(baskets, pairing, memory, 4, N_PRODUCTS)
    expected = [twin_related(baskets, pairing, product) for product in range(4, N_PRODUCTS)]
    assert lengths.tolist() == [len(row) for row in expected]
    flat = [cell for row in expected for cell in row]
    assert products.tolist() == [met for met, _, _ in flat]
    np.testing.assert_allclose(weights, [weight for _, weight, _ in flat], rtol=1e-5)
    assert support.tolist() == [count for _, _, count in flat]


def random_relation(rng):
    rows = [rng.permutation(N_PRODUCTS)[: rng.integers(0, 6)] for _ in range(N_PRODUCTS)]
    products = np.concatenate(rows).astype(np.uint32)
    weights = rng.uniform(0.1, 1, len(products)).astype(np.float32)
    offsets = np.concatenate(([0], np.cumsum([len(row) for row in rows])))
    return Relation(offsets, products, weights, np.ones(len(products), np.uint32))


@pytest.mark.parametrize("seed", range(6))
def test_recommend_equals_its_twin(seed):
    rng = np.random.default_rng(seed)
    relation, by_place = random_relation(rng), np.exp(-np.arange(4) / 2.0)
    memory = RelationScratch(empty_votes(4 * 6), candidate_set(N_PRODUCTS))
    query = rng.integers(0, N_PRODUCTS + 5, 7).astype(np.uint32)
    distinct = [p for p in dict.fromkeys(query[::-1].tolist()) if p < N_PRODUCTS][:4]
    parts = defaultdict(dict)
    for place, product in enumerate(distinct):
        for row in range(relation.offsets[product], relation.offsets[product + 1]):
            parts[int(relation.products[row])][product] = by_place[place] * relation.weights[row]
    order = sorted(parts, key=lambda p: (-sum(parts[p].values()), p))[:5]
    products, scores, evidence = recommend(relation, by_place, memory, query, Wanted(5, NOTHING))
    assert products.tolist() == order
    np.testing.assert_allclose(scores, [sum(parts[p].values()) for p in order], rtol=1e-5)
    assert evidence.tolist() == [max(parts[p], key=parts[p].get) for p in order]
