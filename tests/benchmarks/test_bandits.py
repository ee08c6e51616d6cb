"""The measure of bandits, on a policy whose regret is known."""

import numpy as np
import pytest
from benchmarks.bandits import Case, Fixed, Linear, play

from active_customers.experiments.bandits import EpsilonGreedyConfig


def test_who_always_chooses_evenly_loses_what_choosing_evenly_loses():
    played = play(Case(EpsilonGreedyConfig(explore=1.0), Fixed), np.random.default_rng(0))
    assert played.lost / played.evenly == pytest.approx(1, abs=0.03)
    assert played.evenly == pytest.approx(100_000 * 0.019, rel=0.1)


@pytest.mark.parametrize("shared", [True, False])
def test_linear_rates_are_rates_and_tell_arms_apart(shared):
    truth = Linear(np.random.default_rng(1), shared)
    contexts = truth.contexts(2_000)
    rates = truth.rates(0, contexts, 2_000)
    assert contexts.shape == (2_000, 20 if shared else 1, 10)
    assert 0.001 <= rates.min() < rates.max() < 0.12
    assert (rates.max(axis=1) - rates.mean(axis=1)).mean() > 0.01
