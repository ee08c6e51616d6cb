"""Regressions in small systems are those of the whole matrix; the walk is the power series."""

import numpy as np
import pytest

from active_customers.models.linear import Linear, LinearConfig

N = 12


def sessions(seed=4, count=80):
    rng = np.random.default_rng(seed)
    return [rng.permutation(N)[: rng.integers(2, 6)].tolist() for _ in range(count)]


def dense_weights(lists, config):
    """Solve everything at once: rows are what each product speaks for, without its own place."""
    gram, later = np.zeros((N, N)), np.zeros((N, N))
    for products in lists:
        weight = len(products) ** -config.length_damping
        for i, a in enumerate(products):
            later[a, a] += 1
            for j, b in enumerate(products):
                gram[a, b] += weight
                if j > i:
                    later[a, b] += np.exp(-(j - i - 1) / config.forward_decay)
    cross = config.together * gram + (1 - config.together) * later
    system = config.together * gram + (1 - config.together) * np.diag(np.diag(later))
    weights = np.zeros((N, N))
    for target in range(N):
        others = [p for p in range(N) if p != target and cross[p, target] > 0]
        part = system[np.ix_(others, others)] + config.ridge * np.eye(len(others))
        weights[others, target] = np.linalg.solve(part, cross[others, target])
    return np.maximum(weights, 0)


def as_dense(relation):
    found = np.zeros((N, N))
    rows = np.repeat(np.arange(N), np.diff(relation.offsets))
    found[rows, relation.products] = relation.weights
    return found


def config_of(**settings):
    return LinearConfig(**{"recency_half_life_days": 1e9, "ridge": 2.0, "steps": 1, **settings})


@pytest.mark.parametrize("together", [0.0, 0.3, 1.0])
def test_one_step_is_the_regression_of_the_whole_matrix_row_by_row(make_log, together):
    lists, config = sessions(), config_of(together=together)
    model = Linear(config)
    model.fit(make_log(lists, N))
    expected = dense_weights(lists, config)
    expected /= np.maximum(expected.sum(axis=1, keepdims=True), 1e-12)  # no product comes twice, so none again
    np.testing.assert_allclose(as_dense(model.rows), expected, atol=1e-5)


def test_more_steps_are_the_power_series(make_log):
    lists = sessions()
    one, three = Linear(config_of()), Linear(config_of(steps=3, go_on=0.5))
    for model in (one, three):
        model.fit(make_log(lists, N))
    step = as_dense(one.rows)
    np.testing.assert_allclose(as_dense(three.rows), step + 0.5 * step @ step + 0.25 * step @ step @ step, atol=1e-5)


def test_products_that_never_met_speak_for_each_other_over_a_third(make_log, ask):
    lists = [[0, 1], [1, 2]] * 10
    one, two = Linear(config_of()), Linear(config_of(steps=2))
    for model in (one, two):
        model.fit(make_log(lists, 3))
    assert one.score(ask(0), np.array([2], np.uint32))[0] == 0
    assert two.score(ask(0), np.array([2], np.uint32))[0] > 0


def test_only_the_strongest_are_kept(make_log):
    model, whole = Linear(config_of(neighbours=3)), Linear(config_of())
    for each in (model, whole):
        each.fit(make_log(sessions(), N))
    for row, everything in zip(as_dense(model.rows), as_dense(whole.rows), strict=True):
        assert (row > 0).sum() <= 3
        assert set(np.flatnonzero(row)) <= set(np.argsort(-everything)[:3])


def test_a_product_that_comes_again_speaks_for_itself(make_log, ask):
    model = Linear(config_of())
    model.fit(make_log([[0, 1, 0], [0, 2, 0], [3, 1], [3, 2]] * 5, 4))
    again, never = (model.score(ask(product), np.array([product], np.uint32))[0] for product in (0, 3))
    assert again > never == 0


def test_threads_change_nothing(make_log):
    models = [Linear(LinearConfig(threads=threads)) for threads in (1, 3)]
    for model in models:
        model.fit(make_log(sessions(), N))
    for one, other in zip(*(model.rows for model in models), strict=True):
        np.testing.assert_array_equal(one, other)
