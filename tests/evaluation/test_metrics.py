"""Figures of merit against values worked out by hand."""

from math import log2

import numpy as np
import pytest

from active_customers.core.identifiers import NO_NUMBER
from active_customers.evaluation.metrics import coverage, first_ranks, gains, intervals, set_gains


def test_a_rank_earns_what_the_definitions_say():
    earned = gains(np.array([1, 2, 4, 0]))
    assert earned["hr"].mean() == pytest.approx(3 / 4)
    assert earned["mrr"].mean() == pytest.approx((1 + 1 / 2 + 1 / 4) / 4)
    assert earned["ndcg"].mean() == pytest.approx((1 + 1 / np.log2(3) + 1 / np.log2(5)) / 4)


def test_coverage_counts_each_product_once_and_no_empty_places():
    lists = np.array([[0, 1], [1, NO_NUMBER], [NO_NUMBER, NO_NUMBER]], np.uint32)
    assert coverage(lists, 8) == pytest.approx(2 / 8)


def test_the_interval_of_a_constant_is_that_constant():
    earned = {"hr": np.ones(9)}
    assert intervals(earned, np.repeat([4, 7, 9], 3), np.random.default_rng(0)) == {"hr": (1.0, 1.0)}


def test_the_interval_is_as_wide_as_the_standard_error_of_session_means_says():
    rng = np.random.default_rng(1)
    per_session = rng.integers(0, 2, 400).astype(float)
    earned = {"hr": np.repeat(per_session, 5)}  # five equal predictions a session are worth one
    low, high = intervals(earned, np.repeat(np.arange(400), 5), np.random.default_rng(0))["hr"]
    assert high - low == pytest.approx(2 * 1.96 * per_session.std() / np.sqrt(400), rel=0.1)


def test_the_same_seed_draws_the_same_interval():
    earned = {"mrr": np.random.default_rng(2).uniform(size=50)}
    draws = [intervals(earned, np.arange(50) // 3, np.random.default_rng(7)) for _ in range(2)]
    assert draws[0] == draws[1]


def slowly(hits, n_right):
    """Return the measures of one list, as the definitions say."""
    k, found = len(hits), sum(hits)
    places = [place for place, hit in enumerate(hits, 1) if hit]
    ideal = sum(1 / log2(1 + place) for place in range(1, min(k, n_right) + 1))
    return {
        "hr": float(found > 0),
        "mrr": 1 / places[0] if places else 0.0,
        "ndcg": sum(1 / log2(1 + place) for place in places) / ideal,
        "recall": found / n_right,
        "recall_capped": found / min(k, n_right),
        "precision": found / k,
        "map": sum(sum(hits[:place]) / place for place in places) / min(k, n_right),
    }


@pytest.mark.parametrize("seed", range(5))
def test_sets_earn_what_the_definitions_say(seed):
    rng = np.random.default_rng(seed)
    hits = rng.random((30, 7)) < 0.3
    n_right = hits.sum(axis=1) + rng.integers(0, 9, 30)
    n_right = np.maximum(n_right, 1)
    earned = set_gains(hits, n_right)
    for row in range(30):
        assert {name: values[row] for name, values in earned.items()} == pytest.approx(
            slowly(hits[row].tolist(), int(n_right[row]))
        )


def test_with_one_right_answer_sets_earn_what_ranks_do():
    hits = np.eye(5, dtype=bool)
    several, single = set_gains(hits, np.ones(5, np.int64)), gains(first_ranks(hits))
    for name, values in single.items():
        np.testing.assert_allclose(several[name], values)
    np.testing.assert_array_equal(several["recall"], single["hr"])


def test_a_perfect_list_earns_all_even_where_more_is_right_than_fits():
    earned = set_gains(np.ones((1, 3), bool), np.array([10]))
    assert [earned[name].item() for name in ("ndcg", "map", "recall_capped", "precision")] == [1.0] * 4
    assert earned["recall"].item() == pytest.approx(0.3)
