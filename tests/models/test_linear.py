"""Linear models, held equal to dense closed forms."""

import numpy as np
import pytest

from active_customers.models.linear import Linear, LinearConfig

N = 12
PLAIN = {
    "regularisation": 2.0,
    "dropout": 0.0,
    "self_limit": 10.0,
    "damping": 0.0,
    "recency_half_life_days": 1e9,
    "tolerance": 1e-9,
    "onward": 0.0,
    "query_depth": 1,
}


def fitted(log, **config):
    model = Linear(LinearConfig(**{**PLAIN, **config}))
    model.fit(log)
    return model


def dense(model, n=N):
    """Return the weights of a model, [source, target]."""
    matrix = np.zeros((n, n))
    offsets, products, weights = model.arrays().values()
    for source in range(n):
        row = slice(offsets[source], offsets[source + 1])
        assert (np.diff(weights[row]) <= 0).all()
        matrix[source, products[row]] = weights[row]
    return matrix


def closed_form(sessions, share, regularisation, decay=1.0, dropout=0.0, self_limit=10.0):
    """Return the weights of the stacked problem by a dense inverse, from the matrices of its definition."""
    together = np.zeros((len(sessions), N))
    past, future = [], []
    for number, session in enumerate(sessions):
        together[number, list(session)] = 1
        for place in range(len(session) - 1):
            past.append(np.eye(N)[session[place]])
            follows = session[place + 1 :]
            future.append(sum(np.exp(-step / decay) * np.eye(N)[product] for step, product in enumerate(follows)))
    explaining = np.vstack((np.sqrt(share) * together, np.sqrt(1 - share) * np.array(past)))
    explained = np.vstack((np.sqrt(share) * together, np.sqrt(1 - share) * np.array(future)))
    gram = explaining.T @ explaining
    inverse = np.linalg.inv(gram + np.diag(np.diag(gram)) * dropout / (1 - dropout) + regularisation * np.eye(N))
    weights = inverse @ explaining.T @ explained
    above = np.maximum(np.diag(weights) - self_limit, 0)  # the multipliers of the constraint on the diagonal
    return weights - inverse * (above / np.diag(inverse))


@pytest.fixture
def sessions():
    rng = np.random.default_rng(3)
    return [rng.integers(0, N, rng.integers(2, 7)).tolist() for _ in range(40)]


@pytest.mark.parametrize("share", [1.0, 0.0, 0.5])
@pytest.mark.parametrize("beside", [{}, {"dropout": 0.6}, {"self_limit": 0.0}])
def test_weights_are_those_of_the_dense_solution(make_log, sessions, share, beside):
    model = fitted(make_log(sessions, N), share=share, distance_decay=1.5, **beside)
    expected = np.maximum(closed_form(sessions, share, 2.0, 1.5, **beside), 0)
    np.testing.assert_allclose(dense(model), expected, atol=1e-5)


def test_a_session_counts_half_after_its_half_life(make_log):
    day = 24 * 3600 * 10**6
    log = make_log([[0, 1], [0, 1]], N, spacing=day)
    half = dense(fitted(log, share=0.0, recency_half_life_days=1.0))
    assert half[0, 1] == pytest.approx(1.5 / (1.5 + 2.0), abs=1e-4)


def test_a_tolerance_bounds_the_error(make_log, sessions):
    exact = dense(fitted(make_log(sessions, N)))
    rough = dense(fitted(make_log(sessions, N), tolerance=1e-2))
    assert 0 < np.abs(exact - rough).max() < 0.1


def test_pruning_keeps_the_strongest(make_log, sessions):
    whole = dense(fitted(make_log(sessions, N)))
    pruned = dense(fitted(make_log(sessions, N), neighbours=3))
    for row, kept in zip(whole, pruned, strict=True):
        np.testing.assert_array_equal(np.sort(row)[-3:], np.sort(kept)[-3:])
        assert (kept > 0).sum() == 3


def test_what_the_matrix_leaves_out_only_makes_weights_smaller(make_log, sessions):
    """The penalties that stand for what is left out keep the problem solvable, however little is kept."""
    whole = dense(fitted(make_log(sessions, N), regularisation=0.01))
    sparse = dense(fitted(make_log(sessions, N), regularisation=0.01, meetings=1))
    assert 0 < sparse.sum() < whole.sum()
    assert sparse.max() <= 1


def test_walks_are_those_of_the_dense_power_series(make_log, sessions):
    relation = dense(fitted(make_log(sessions, N)))
    stepping = relation / relation.sum(axis=1, keepdims=True)
    expected = sum(0.7 * 0.3**k * relation @ np.linalg.matrix_power(stepping, k) for k in range(5))
    walked = dense(fitted(make_log(sessions, N), onward=0.3, steps=4))
    np.testing.assert_allclose(walked, expected, atol=1e-5)


def test_a_walk_finds_what_was_never_seen_together(make_log, ask):
    log = make_log([[0, 1], [1, 2]] * 20, 3)
    assert fitted(log, share=0.0).candidates(ask(0), 5).products.tolist() == [1]
    assert fitted(log, share=0.0, onward=0.5).candidates(ask(0), 5).products.tolist() == [1, 2]


def test_damping_favours_the_rare(make_log, ask):
    log = make_log([[0, 1]] * 6 + [[0, 2]] * 5 + [[3, 1]] * 60, 4)
    assert fitted(log, share=0.0).candidates(ask(0), 1).products.tolist() == [1]
    assert fitted(log, share=0.0, damping=0.5).candidates(ask(0), 1).products.tolist() == [2]


def test_only_the_newest_acts_of_a_session_count(make_log, ask):
    log = make_log([range(9)], 9)
    model = fitted(log, session_length=3)
    assert len(model.candidates(ask(0), 9).products) == 0
    assert set(model.candidates(ask(6), 9).products.tolist()) <= {6, 7, 8}


def test_sessions_of_one_act_change_nothing(make_log, sessions):
    with_single = [*sessions, [0], [0], [5]]
    np.testing.assert_array_equal(
        dense(fitted(make_log(with_single, N), recency_half_life_days=1e12)),
        dense(fitted(make_log(sessions, N), recency_half_life_days=1e12)),
    )


def test_one_product_alone_leads_to_itself_at_most(make_log, ask):
    model = fitted(make_log([[0, 0], [0]], 1), onward=0.5)
    assert model.candidates(ask(0), 5).products.tolist() == [0]


def test_older_products_of_the_query_count_less(make_log, ask):
    log = make_log([[0, 2], [1, 3]] * 10, 4)
    model = fitted(log, share=0.0, query_depth=5, query_decay=1.0)
    newest, older = model.score(ask(0, 1), np.array([3, 2], np.uint32))
    assert older == pytest.approx(newest * np.exp(-1), rel=1e-3)
