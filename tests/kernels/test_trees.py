"""The kernel says what the library that trained the trees says."""

import numpy as np
import pytest
from tests.conftest import lightgbm_or_skip

from active_customers.core.recommendation import Goal
from active_customers.kernels.hybrid import GUESS
from active_customers.kernels.trees import MOST_LEAVES, Forest, add_trees, column_of, padded, place_of
from active_customers.models.ranker import Lists, RankerConfig, forest_of, no_forest, train

lightgbm = lightgbm_or_skip()


def add(forest, rows):
    """Return what the trees say of float32[n, f]."""
    columns = np.full((rows.shape[1], padded(len(rows))), np.nan, np.float32)
    columns[:, : len(rows)] = rows.T
    sums = np.zeros(len(rows))
    add_trees(forest, columns, np.empty(padded(len(rows)), np.uint32), sums)
    return sums


def trained(objective, features, labels, **settings):
    data = lightgbm.Dataset(features, labels, group=[len(labels)] if objective == "lambdarank" else None)
    return lightgbm.train({"objective": objective, "verbosity": -1, "use_missing": False, **settings}, data, 40)


@pytest.mark.parametrize("settings", [{"num_leaves": 31}, {"num_leaves": 4}, {"num_leaves": 32, "max_depth": 5}])
def test_it_equals_the_library(settings):
    rng = np.random.default_rng(3)
    features = rng.normal(size=(2_000, 7)).astype(np.float32)
    features[:, 3] = rng.integers(0, 4, 2_000)  # thresholds between whole numbers
    features[:, 4] = np.round(features[:, 4], 1)  # values that no float32 holds
    labels = features[:, 0] * features[:, 1] + np.sin(features[:, 3]) + features[:, 4] ** 2
    booster = trained("regression", features, labels, min_data_in_leaf=3, **settings)
    fresh = np.concatenate([features, rng.normal(size=(500, 7)).astype(np.float32) * 3])
    np.testing.assert_allclose(add(forest_of(booster.dump_model()), fresh), booster.predict(fresh), rtol=0, atol=1e-6)


def test_a_value_at_a_threshold_goes_the_library_s_way():
    features = np.array([[0.1], [0.2], [0.3], [0.4]] * 50, np.float32)
    booster = trained("regression", features, (features[:, 0] > 0.25).astype(float), min_data_in_leaf=1)
    forest = forest_of(booster.dump_model())
    at = np.unique(forest.thresholds[np.isfinite(forest.thresholds)])[:, None].astype(np.float32)
    at = np.concatenate([at, np.nextafter(at, np.float32(9)), np.nextafter(at, np.float32(-9))])
    np.testing.assert_allclose(add(forest, at), booster.predict(at), rtol=0, atol=1e-6)


def test_trees_that_found_nothing_to_split_are_a_constant():
    booster = trained("regression", np.zeros((100, 2), np.float32), np.arange(100.0))
    sums = add(forest_of(booster.dump_model()), np.zeros((3, 2), np.float32))
    np.testing.assert_allclose(sums, booster.predict(np.zeros((3, 2))), atol=1e-6)


def test_no_trees_say_nothing():
    assert add(no_forest(), np.zeros((2, 1), np.float32)).tolist() == [0, 0]


def test_every_leaf_of_a_mask_has_a_place_of_its_own():
    assert sorted(column_of(1 << leaf) for leaf in range(MOST_LEAVES)) == list(range(MOST_LEAVES))
    assert [place_of(leaf) for leaf in range(MOST_LEAVES)] == [column_of(1 << leaf) for leaf in range(MOST_LEAVES)]
    chain = [(0, float(leaf), 0xFFFFFFFF & ~(1 << leaf)) for leaf in range(MOST_LEAVES - 1)]
    features, thresholds, masks = (np.array(column) for column in zip(*chain, strict=True))
    values = np.zeros((1, MOST_LEAVES))
    values[0, [column_of(1 << leaf) for leaf in range(MOST_LEAVES)]] = np.arange(MOST_LEAVES)
    offsets = np.array([0, len(chain)])
    forest = Forest(
        offsets, features, thresholds.astype(np.float32), masks.astype(np.uint32), values, np.ones((1, MOST_LEAVES))
    )
    rows = np.arange(MOST_LEAVES, dtype=np.float32)[:, None]
    assert add(forest, rows).tolist() == rows[:, 0].tolist()


def test_training_puts_right_answers_first():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(200 * 10, GUESS + 1)).astype(np.float32)
    features[:, GUESS] = 0
    labels = (features[:, 1].reshape(200, 10).argmax(axis=1)[:, None] == np.arange(10)).ravel().astype(np.uint8)
    forest = train(
        {Goal.NEXT: Lists(features, labels, np.full(200, 10))}, RankerConfig(least_in_leaf=5, lists_enough=1), 30
    )[Goal.NEXT]
    sums = add(forest, features)
    assert (sums.reshape(200, 10).argmax(axis=1) == features[:, 1].reshape(200, 10).argmax(axis=1)).mean() > 0.95


def test_each_goal_has_its_own_trees_on_top_of_those_of_the_next_product():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(200 * 10, GUESS + 1)).astype(np.float32)
    features[:, GUESS] = 0
    by_goal = {
        goal: Lists(
            features,
            (features[:, column].reshape(200, 10).argmax(axis=1)[:, None] == np.arange(10)).ravel().astype(np.uint8),
            np.full(200, 10),
        )
        for goal, column in ((Goal.NEXT, 0), (Goal.CART, 1))
    }
    config = RankerConfig(least_in_leaf=5, goal_trees=60, lists_enough=1)
    forests = train(by_goal, config, 10)
    assert set(forests) == {Goal.NEXT, Goal.CART}
    assert len(forests[Goal.CART].values) == len(forests[Goal.NEXT].values) + config.goal_trees

    def firsts(goal):
        return add(forests[goal], features).reshape(200, 10).argmax(axis=1)

    for goal, column in ((Goal.NEXT, 0), (Goal.CART, 1)):
        assert (firsts(goal) == features[:, column].reshape(200, 10).argmax(axis=1)).mean() > 0.85


def test_trees_start_from_the_first_guess_and_stop_where_they_stop_helping():
    """Of few lists a part judges: where the guess is right and the rest is noise, next to nothing is put on top."""
    rng = np.random.default_rng(1)
    features = rng.normal(size=(100 * 10, GUESS + 1)).astype(np.float32)
    labels = (features[:, GUESS].reshape(100, 10).argmax(axis=1)[:, None] == np.arange(10)).ravel().astype(np.uint8)
    forest = train({Goal.NEXT: Lists(features, labels, np.full(100, 10))}, RankerConfig(least_in_leaf=5), 100)[
        Goal.NEXT
    ]
    assert len(forest.values) < 20
    guessed = features[:, GUESS] + add(forest, features)
    assert (guessed.reshape(100, 10).argmax(axis=1) == features[:, GUESS].reshape(100, 10).argmax(axis=1)).mean() > 0.95
