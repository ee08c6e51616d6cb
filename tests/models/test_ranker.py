"""Trees stay out where they do not help, judged as LightGBM judges."""

import numpy as np
import pytest
from tests.conftest import lightgbm_or_skip

from active_customers.core.recommendation import Goal
from active_customers.kernels.hybrid import GUESS
from active_customers.models.ranker import Lists, RankerConfig, ndcg, train

lightgbm_or_skip()

N_LISTS, LENGTH = 200, 30
QUICK = RankerConfig(least_in_leaf=5)


def lists_of(right_by):
    """Return lists of rows with a first guess and a feature beside it; the largest of the named column is right."""
    rng = np.random.default_rng(4)
    features = rng.random((N_LISTS * LENGTH, GUESS + 2)).astype(np.float32)
    best = features[:, right_by].reshape(N_LISTS, LENGTH).argmax(axis=1)
    labels = (np.arange(LENGTH) == best[:, None]).astype(np.uint8).ravel()
    return Lists(features, labels, np.full(N_LISTS, LENGTH))


def test_where_the_first_guess_is_right_there_are_no_trees():
    assert len(train({Goal.NEXT: lists_of(GUESS)}, QUICK, 20)[Goal.NEXT].values) == 0


def test_where_something_else_is_right_trees_learn_it():
    assert len(train({Goal.NEXT: lists_of(GUESS + 1)}, QUICK, 20)[Goal.NEXT].values) > 0


@pytest.mark.parametrize("n", [1, 5, 20])
def test_rankings_are_judged_as_lightgbm_judges_them(n):
    import lightgbm  # noqa: PLC0415 - not everywhere

    rng = np.random.default_rng(5)
    sizes = rng.integers(1, 40, 50)
    labels = (rng.random(sizes.sum()) < 0.1).astype(np.uint8)
    labels[np.cumsum(sizes) - 1] = 1
    said = rng.permutation(len(labels)) / len(labels)
    features = rng.random((len(labels), 2)).astype(np.float32)
    data = lightgbm.Dataset(features, labels, group=sizes, init_score=said)
    settings = {"objective": "lambdarank", "metric": "ndcg", "eval_at": [n], "learning_rate": 1e-12, "verbosity": -1}
    judged = {}
    lightgbm.train(settings, data, 1, valid_sets=[data], callbacks=[lightgbm.record_evaluation(judged)])
    theirs = judged["training"][f"ndcg@{n}"][0]
    assert ndcg(Lists(features, labels, sizes), said, n) == pytest.approx(theirs, rel=1e-9)
