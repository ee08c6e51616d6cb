"""Vectors: the gradient is the slope of the loss, and what is acted on together points the same way."""

from dataclasses import replace

import numpy as np

from active_customers.core.identifiers import NO_NUMBER
from active_customers.kernels.embedding import Moving, TokenRows, add_rows, pass_on, session_vector, take_step
from active_customers.models.factorization import Factorization, FactorizationConfig, _Questions
from active_customers.models.product_features import About, features_of
from active_customers.models.token_vectors import TokenVectors

N, SIZE = 7, 4


def loss(vectors, questions, wrong, expected, model):
    """The mean of -ln(softmax of the right answer), from the formula."""
    total = 0.0
    for acts, target in zip(questions.acts, questions.targets, strict=True):
        session = sum(model.by_act[place] * vectors[product] for place, product in enumerate(acts))

        def cosine(product, session=session):
            return session @ vectors[product] / np.linalg.norm(session) / np.linalg.norm(vectors[product])

        right = np.exp(cosine(target) / model.config.temperature)
        others = sum(
            np.exp(cosine(product) / model.config.temperature - often)
            for product, often in zip(wrong, expected, strict=True)
            if product != target
        )
        total -= np.log(right / (right + others))
    return total / len(questions.targets)


def test_the_gradient_is_the_slope_of_the_loss():
    rng = np.random.default_rng(2)
    model = Factorization(FactorizationConfig(size=SIZE, query_depth=3, dropout=0, temperature=0.5))
    vectors = rng.normal(size=(N + 1, SIZE)).astype(np.float32)
    vectors[-1] = 0
    questions = _Questions(np.array([[0, 1, -1], [2, 3, 2], [4, -1, -1]]), np.array([5, 1, 0]))
    wrong, expected = np.array([5, 6, 6, 0]), np.array([0.3, -0.2, -0.2, 0.1], np.float32)
    moving = Moving(vectors, *(np.zeros_like(vectors) for _ in range(3)))
    model._learn(moving, questions, (wrong, expected), rng)
    for row in range(N):
        for column in range(SIZE):
            moved = [vectors.astype(np.float64) for _ in range(2)]
            moved[0][row, column] += 1e-5
            moved[1][row, column] -= 1e-5
            up, down = (loss(each, questions, wrong, expected, model) for each in moved)
            np.testing.assert_allclose(moving.gradient[row, column], (up - down) / 2e-5, atol=2e-4)


def test_what_is_acted_on_together_points_the_same_way(blocks):
    model = Factorization(FactorizationConfig(passes=60, batch=64, query_depth=5))
    model.fit(blocks)
    near = model.vectors @ model.vectors.T
    same = np.equal.outer(np.arange(30) // 10, np.arange(30) // 10)
    assert near[same].mean() > near[~same].mean() + 0.3
    np.testing.assert_allclose(np.linalg.norm(model.vectors, axis=1), 1, rtol=1e-5)


def test_a_seed_decides_everything(blocks):
    models = [Factorization(FactorizationConfig(passes=1, seed=seed)) for seed in (1, 1, 2)]
    for model in models:
        model.fit(blocks)
    np.testing.assert_array_equal(models[0].vectors, models[1].vectors)
    assert not np.array_equal(models[0].vectors, models[2].vectors)


def test_a_product_without_acts_is_never_proposed(make_log, ask):
    model = Factorization(FactorizationConfig(passes=2))
    model.fit(make_log([[0, 1], [1, 2], [0, 2]], 5))
    assert set(model.candidates(ask(0), 9).products.tolist()) <= {0, 1, 2}
    assert model.candidates(ask(4), 9).products.tolist() == []
    assert model.why(ask(4), 0) == NO_NUMBER


def test_a_product_without_acts_is_proposed_by_what_it_has_in_common(blocks, ask):
    """Product 30 is of the brand of products 10 to 19, 31 of a brand of its own."""
    said = [(p, [(About.BRAND, str(p // 10))]) for p in range(30)] + [
        (30, [(About.BRAND, "1")]),
        (31, [(About.BRAND, "x")]),
    ]
    log = replace(blocks, n_products=32, features=features_of(said, 32))
    model = Factorization(FactorizationConfig(passes=60, batch=64, query_depth=5))
    model.fit(log)
    near = model.vectors @ model.vectors[30]
    assert near[10:20].mean() > near[:10].max() + 0.3
    assert 30 in model.candidates(ask(12, 15), 12).products
    assert not model.vectors[31].any()


def test_features_that_weigh_nothing_change_nothing(blocks, described_blocks):
    vectors = []
    for log in (blocks, described_blocks):
        model = Factorization(FactorizationConfig(passes=1, feature_weight=0))
        model.fit(log)
        vectors.append(model.vectors)
    np.testing.assert_array_equal(*vectors)


def test_the_gradient_of_tokens_is_the_slope_of_the_loss():
    """As above, one step further back: each product is its own vector and those of its tokens."""
    rng = np.random.default_rng(4)
    model = Factorization(FactorizationConfig(size=SIZE, query_depth=3, dropout=0, temperature=0.5))
    own = rng.normal(size=(N + 1, SIZE)).astype(np.float32)
    own[-1] = 0
    tokens = rng.normal(size=(3, SIZE)).astype(np.float32)
    described = TokenRows(
        np.array([0, 2, 3, 4, 4, 6, 7, 8]),
        np.array([0, 1, 1, 2, 0, 2, 1, 0], np.uint32),
        rng.random(8).astype(np.float32) + np.float32(0.5),
    )
    questions = _Questions(np.array([[0, 1, -1], [2, 3, 2], [4, -1, -1]]), np.array([5, 1, 0]))
    wrong, expected = np.array([5, 6, 6, 0]), np.array([0.3, -0.2, -0.2, 0.1], np.float32)
    learning = TokenVectors(own, described, tokens)
    rows = np.concatenate((questions.acts.ravel(), questions.targets, wrong))
    shown = learning.shown(rows)
    model._learn(shown, questions, (wrong, expected), rng)
    gradient = np.zeros_like(tokens)
    pass_on(described, np.unique(rows[rows >= 0]), shown.gradient, gradient)

    def composed(vectors):
        whole = own.astype(np.float64)
        for product in range(N):
            for place in range(described.offsets[product], described.offsets[product + 1]):
                whole[product] += described.weights[place] * vectors[described.tokens[place]]
        return whole

    np.testing.assert_allclose(shown.values, composed(tokens), atol=1e-6)
    for token in range(3):
        for column in range(SIZE):
            up, down = tokens.astype(np.float64), tokens.astype(np.float64)
            up[token, column] += 1e-5
            down[token, column] -= 1e-5
            high, low = (loss(composed(moved), questions, wrong, expected, model) for moved in (up, down))
            slope = (high - low) / 2e-5
            np.testing.assert_allclose(gradient[token, column], slope, atol=3e-4)


def test_adam_goes_down_a_valley():
    values = np.full((1, 1), 5.0, np.float32)
    moving = Moving(values, *(np.zeros_like(values) for _ in range(3)))
    for step in range(1, 600):
        add_rows(moving.gradient, np.array([0]), 2 * (moving.values - 3))
        take_step(moving, 0.05, step)
    np.testing.assert_allclose(values, 3, atol=0.01)


def test_older_acts_weigh_less_and_unknown_ones_nothing():
    vectors = np.eye(3, dtype=np.float32)
    found = session_vector(vectors, np.array([1.0, 0.5]), np.array([2, 1, 0, 9], np.uint32))
    np.testing.assert_allclose(found, [1, 0, 0])  # the newest is unknown, the second newest is all there is
    assert session_vector(vectors, np.array([1.0]), np.array([9], np.uint32)).tolist() == [0, 0, 0]
