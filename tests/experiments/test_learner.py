"""The fold of choices and rewards: what it learns, and that it can be rebuilt."""

import numpy as np
import pytest

from active_customers.core.clock import MINUTE
from active_customers.core.errors import InvalidValueError
from active_customers.experiments.bandits import ThompsonConfig, make_policy
from active_customers.experiments.learner import Earned, Learner
from active_customers.experiments.linear_bandits import LinUcbConfig
from active_customers.experiments.rewards import Made, RewardsConfig

CONFIGS = [ThompsonConfig(half_life_days=0.01), LinUcbConfig(features=2)]


def learner_for(config):
    return Learner(make_policy(config, 3), RewardsConfig(window_minutes=1))


def log(n=400):
    """Return choices, most of them rewarded later or not at all."""
    rng = np.random.default_rng(0)
    entries = []
    for key in range(n):
        time = key * MINUTE // 20
        context = np.array([[1.0, rng.random()]], np.float32)
        entries.append(Made(key, int(rng.integers(3)), context, time))
        if rng.random() < 0.3:
            entries.append(Earned(key, 1.0, time + int(rng.integers(2 * MINUTE))))
    return sorted(entries, key=lambda entry: entry.time)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.policy)
def test_a_learner_that_is_restored_in_the_middle_ends_as_one_that_read_everything(config):
    entries = log()
    whole, first, second = (learner_for(config) for _ in range(3))
    for entry in entries:
        whole.fold(entry)
    for entry in entries[:250]:
        first.fold(entry)
    second.restore(first.checkpoint())
    for entry in entries[250:]:
        second.fold(entry)
    assert second.policy.state.tolist() == whole.policy.state.tolist()
    assert second.policy.state.any()


def test_every_choice_is_learned_from_once_its_window_is_over():
    learner = learner_for(ThompsonConfig())
    entries = log()
    for entry in entries:
        learner.fold(entry)
    learner.settle(10**12)
    ignored = learner.pending.ignored
    assert learner.policy.counts.sum() == 400
    assert learner.policy.sums.sum() == sum(isinstance(entry, Earned) for entry in entries) - ignored.total()
    assert set(ignored) <= {"late", "unknown"}
    assert ignored.total() > 0


def test_a_choice_of_an_arm_that_is_no_more_is_counted_and_harms_nothing():
    learner = learner_for(ThompsonConfig())
    learner.fold(Made(1, 7, None, 0))
    learner.settle(MINUTE)
    assert learner.malformed == 1
    assert not learner.policy.state.any()


def test_a_checkpoint_of_another_policy_is_refused():
    with pytest.raises(InvalidValueError, match="begin anew"):
        learner_for(CONFIGS[1]).restore(learner_for(CONFIGS[0]).checkpoint())
