"""What features contribute adds up to what trees say, and is what the library says it is."""

from __future__ import annotations

from itertools import combinations
from math import factorial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import lightgbm_or_skip
from tests.kernels.test_trees import add, trained

from active_customers.kernels.contributions import add_contributions
from active_customers.kernels.trees import MOST_LEAVES, Forest, column_of
from active_customers.models.ranker import even_covers, forest_of, joined, no_forest

lightgbm_or_skip()

N_FEATURES = 7


def contributions(forest, rows):
    shares = np.zeros((len(rows), rows.shape[1] + 1))
    for row, share in zip(rows, shares, strict=True):
        add_contributions(forest, row, share)
    return shares


def learned(**more):
    rng = np.random.default_rng(3)
    features = rng.normal(size=(1_500, N_FEATURES)).astype(np.float32)
    features[:, 3] = rng.integers(0, 4, 1_500)
    labels = features[:, 0] * features[:, 1] + np.sin(features[:, 3]) + features[:, 4] ** 2
    return trained("regression", features, labels, min_data_in_leaf=3, **more), features


@pytest.mark.parametrize("more", [{"num_leaves": 31}, {"num_leaves": 3}, {"num_leaves": 32, "max_depth": 5}])
def test_they_equal_the_library_s(more):
    booster, features = learned(**more)
    fresh = np.concatenate(
        [features[:150], np.random.default_rng(4).normal(size=(50, N_FEATURES)).astype(np.float32) * 3]
    )
    theirs = booster.predict(fresh, pred_contrib=True)
    np.testing.assert_allclose(contributions(forest_of(booster.dump_model()), fresh), theirs, rtol=0, atol=1e-6)


def test_they_add_up_to_what_the_trees_say():
    booster, features = learned(num_leaves=31)
    forest = forest_of(booster.dump_model())
    both = joined(forest, forest)
    np.testing.assert_allclose(contributions(both, features[:200]).sum(axis=1), add(both, features[:200]), atol=1e-9)


def test_they_add_up_where_nobody_counted_the_rows_of_leaves():
    """Trees that were published before covers were kept: every leaf counts alike."""
    booster, features = learned(num_leaves=31)
    forest = forest_of(booster.dump_model())
    older = forest._replace(covers=even_covers(forest.offsets))
    np.testing.assert_allclose(contributions(older, features[:200]).sum(axis=1), add(older, features[:200]), atol=1e-9)


def test_without_trees_nothing_contributes():
    assert contributions(no_forest(), np.ones((1, 3), np.float32)).tolist() == [[0, 0, 0, 0]]


def test_a_tree_without_questions_is_all_base():
    booster = trained("regression", np.zeros((100, 2), np.float32), np.arange(100.0))
    [shares] = contributions(forest_of(booster.dump_model()), np.zeros((1, 2), np.float32))
    assert shares[:2].tolist() == [0, 0]
    assert shares[2] == pytest.approx(booster.predict(np.zeros((1, 2)))[0], abs=1e-6)


leaf = st.tuples(st.just("leaf"), st.floats(-5, 5), st.integers(1, 50))
tree = st.recursive(
    leaf, lambda below: st.tuples(st.integers(0, 3), st.sampled_from([-1.0, 0.0, 1.0]), below, below), max_leaves=9
)
rows = st.lists(st.sampled_from([-2.0, -1.0, 0.5, 2.0]), min_size=4, max_size=4)


def flat(tree):
    """Return a tree as the kernels have it."""
    questions, values, covers = [], [], []

    def walk(node):
        if node[0] == "leaf":
            values.append(node[1])
            covers.append(node[2])
            return
        first = len(values)
        walk(node[2])
        questions.append((node[0], node[1], 0xFFFFFFFF & ~((1 << len(values)) - (1 << first))))
        walk(node[3])

    walk(tree)
    columns = [column_of(1 << place) for place in range(len(values))]
    said, counted = np.zeros((2, 1, MOST_LEAVES))
    said[0, columns], counted[0, columns] = values, covers
    features, thresholds, masks = zip(*questions, strict=True) if questions else ((), (), ())
    return Forest(
        np.array([0, len(questions)]),
        np.array(features, np.int64),
        np.array(thresholds, np.float32),
        np.array(masks, np.uint32),
        said,
        counted,
    )


def cover(node):
    return node[2] if node[0] == "leaf" else cover(node[2]) + cover(node[3])


def expected(node, row, known):
    """Return what a tree says on average where only some features are known: both ways by their rows elsewhere."""
    if node[0] == "leaf":
        return node[1]
    feature, threshold, left, right = node
    if feature in known:
        return expected(left if row[feature] <= threshold else right, row, known)
    return (cover(left) * expected(left, row, known) + cover(right) * expected(right, row, known)) / cover(node)


def shapley(node, row):
    """The twin: every feature's mean addition over all orders in which features become known."""
    n = len(row)
    shares = []
    for feature in range(n):
        others = [other for other in range(n) if other != feature]
        share = 0.0
        for size in range(n):
            weight = factorial(size) * factorial(n - 1 - size) / factorial(n)
            for known in combinations(others, size):
                share += weight * (expected(node, row, {*known, feature}) - expected(node, row, set(known)))
        shares.append(share)
    return [*shares, expected(node, row, set())]


@settings(max_examples=150)
@given(tree, rows)
def test_they_are_the_mean_addition_over_all_orders(tree, row):
    [shares] = contributions(flat(tree), np.array([row], np.float32))
    np.testing.assert_allclose(shares, shapley(tree, row), rtol=0, atol=1e-9)
