"""Figures of merit against values worked out by hand."""

import numpy as np
import pytest

from active_customers.core.identifiers import NO_NUMBER
from active_customers.evaluation.metrics import coverage, gains, intervals


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
