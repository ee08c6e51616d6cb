"""The kernel says what the library that trained the trees says."""

import numpy as np
import pytest
from tests.conftest import lightgbm_or_skip

from active_customers.kernels.trees import add_trees
from active_customers.models.ranker import Lists, RankerConfig, forest_of, no_forest, train

lightgbm = lightgbm_or_skip()


def trained(objective, features, labels, **settings):
    data = lightgbm.Dataset(features, labels, group=[len(labels)] if objective == "lambdarank" else None)
    return lightgbm.train({"objective": objective, "verbosity": -1, "use_missing": False, **settings}, data, 40)


@pytest.mark.parametrize("settings", [{"num_leaves": 31}, {"num_leaves": 4}, {"num_leaves": 63, "max_depth": 5}])
def test_it_equals_the_library(settings):
    rng = np.random.default_rng(3)
    features = rng.normal(size=(2_000, 7)).astype(np.float32)
    features[:, 3] = rng.integers(0, 4, 2_000)  # thresholds between whole numbers
    features[:, 4] = np.round(features[:, 4], 1)  # values that no float32 holds
    labels = features[:, 0] * features[:, 1] + np.sin(features[:, 3]) + features[:, 4] ** 2
    booster = trained("regression", features, labels, min_data_in_leaf=3, **settings)
    fresh = np.concatenate([features, rng.normal(size=(500, 7)).astype(np.float32) * 3])
    sums = np.zeros(len(fresh))
    forest = forest_of(booster.dump_model())
    add_trees(forest, (0, 15), fresh, len(fresh), sums)
    add_trees(forest, (15, 40), fresh, len(fresh), sums)
    np.testing.assert_allclose(sums, booster.predict(fresh), rtol=0, atol=1e-6)


def test_a_value_at_a_threshold_goes_the_library_s_way():
    features = np.array([[0.1], [0.2], [0.3], [0.4]] * 50, np.float32)
    booster = trained("regression", features, (features[:, 0] > 0.25).astype(float), min_data_in_leaf=1)
    forest = forest_of(booster.dump_model())
    at = np.unique(forest.thresholds[np.isfinite(forest.thresholds)])[:, None].astype(np.float32)
    at = np.concatenate([at, np.nextafter(at, np.float32(9)), np.nextafter(at, np.float32(-9))])
    sums = np.zeros(len(at))
    add_trees(forest, (0, len(forest.roots)), at, len(at), sums)
    np.testing.assert_allclose(sums, booster.predict(at), rtol=0, atol=1e-6)


def test_trees_that_found_nothing_to_split_are_a_constant():
    booster = trained("regression", np.zeros((100, 2), np.float32), np.arange(100.0))
    sums = np.zeros(3)
    forest = forest_of(booster.dump_model())
    add_trees(forest, (0, len(forest.roots)), np.zeros((3, 2), np.float32), 3, sums)
    np.testing.assert_allclose(sums, booster.predict(np.zeros((3, 2))), atol=1e-6)


def test_no_trees_say_nothing():
    sums = np.zeros(2)
    add_trees(no_forest(), (0, 0), np.zeros((2, 1), np.float32), 2, sums)
    assert sums.tolist() == [0, 0]


def test_training_puts_right_answers_first():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(200 * 10, 3)).astype(np.float32)
    labels = (features[:, 1].reshape(200, 10).argmax(axis=1)[:, None] == np.arange(10)).ravel().astype(np.uint8)
    forest = train(Lists(features, labels, np.full(200, 10)), RankerConfig(least_in_leaf=5), 30)
    sums = np.zeros(len(features))
    add_trees(forest, (0, 30), features, len(features), sums)
    assert (sums.reshape(200, 10).argmax(axis=1) == features[:, 1].reshape(200, 10).argmax(axis=1)).mean() > 0.95
