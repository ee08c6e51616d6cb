"""What arms have in common is found from what they earned, and never makes no sense."""

import numpy as np
import pytest

from active_customers.experiments.priors import prior_of_means, prior_of_rates, strength_of_weights

ALMOST = pytest.approx


def earned(rates, n):
    counts = np.full(len(rates), float(n))
    return counts, np.round(counts * rates)


def test_a_prior_is_strong_where_arms_are_alike_and_weak_where_they_differ():
    alike = prior_of_rates(*earned(np.array([0.03, 0.031, 0.029, 0.03]), 20_000))
    apart = prior_of_rates(*earned(np.array([0.01, 0.05, 0.02, 0.06]), 20_000))
    assert alike.mean == ALMOST(0.03, rel=0.02)
    assert alike.strength > 3 * apart.strength


def test_the_mean_is_that_of_arms_and_not_of_observations():
    prior = prior_of_rates(np.array([100_000.0, 2_000.0, 2_000.0]), np.array([5_000.0, 40.0, 40.0]))
    assert 0.025 < prior.mean < 0.035


@pytest.mark.parametrize(
    ("counts", "sums"),
    [
        ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
        ([1e6, 0.0], [0.0, 0.0]),
        ([1e6, 1e6], [0.0, 0.0]),
        ([50.0, 50.0], [50.0, 50.0]),
        ([7.0], [3.0]),
        ([1e-300, 1e-12], [0.0, 1e-13]),
    ],
)
def test_a_prior_always_makes_sense(counts, sums):
    found = prior_of_rates(np.array(counts), np.array(sums))
    assert 0.0 < found.mean < 1.0
    assert 0.0 < found.strength <= 1e6
    other = prior_of_means(np.array(counts), np.array(sums), 0.01)
    assert np.isfinite(other).all()
    assert other.strength > 0.0


def test_weights_that_arms_share_are_found_to_be_shared():
    rng = np.random.default_rng(0)
    known = np.full((20, 3), 5_000.0)
    same = rng.normal(0.0, np.sqrt(known))
    own = rng.normal(0.0, np.sqrt(known + known**2 / 100.0))
    assert strength_of_weights(known, same, 1.0) > 3_000
    assert strength_of_weights(known, own, 1.0) == ALMOST(100.0, rel=0.4)
