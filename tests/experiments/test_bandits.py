"""Policies: they find the best arm, say what chance each choice had, and forget what is old."""

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from active_customers.core.clock import DAY
from active_customers.core.errors import InvalidValueError
from active_customers.experiments.bandits import (
    AnyPolicyConfig,
    EpsilonGreedyConfig,
    GaussianConfig,
    ThompsonConfig,
    UcbConfig,
    make_policy,
)
from active_customers.experiments.linear_bandits import LinearThompsonConfig, LinUcbConfig
from active_customers.experiments.policy import board_bytes, board_in

RATES = np.array([0.1, 0.3, 0.2, 0.05])
WEIGHTS = np.array([[0.3, 0.2], [0.3, -0.2], [0.3, 0.0]])
"""Of three arms: a level, and what a feature between -1 and 1 adds."""

SIMPLE = [EpsilonGreedyConfig(), UcbConfig(), ThompsonConfig(), GaussianConfig()]
LINEAR = [LinUcbConfig(features=2), LinearThompsonConfig(features=2)]
SHARED = [LinUcbConfig(features=2, shared=True), LinearThompsonConfig(features=2, shared=True)]
ALL = [*SIMPLE, *LINEAR]


def names(config):
    return config.policy


def context_for(config, rng):
    return np.array([1.0, rng.uniform(-1, 1)]) if config in LINEAR else None


def taught(config, decisions=3_000, seed=0, time=0):
    """Return a policy that decided as a service does: publishing after every 50 decisions."""
    rng = np.random.default_rng(seed)
    policy = make_policy(config, len(WEIGHTS) if config in LINEAR else len(RATES))
    for number in range(decisions):
        context = context_for(config, rng)
        arm = policy.pull(context, rng.random()).arm
        rate = RATES[arm] if context is None else WEIGHTS[arm] @ context
        policy.update(arm, float(rng.random() < rate), context, time + number)
        if number % 50 == 49:
            policy.publish(rng)
    return policy


@pytest.mark.parametrize("config", SIMPLE, ids=names)
def test_the_best_arm_is_chosen_mostly_in_the_end(config):
    policy = taught(config)
    chosen = [policy.pull(None, draw).arm for draw in np.linspace(0, 0.999, 200)]
    assert np.mean(np.array(chosen) == 1) > 0.8


@pytest.mark.parametrize("config", LINEAR, ids=names)
@pytest.mark.parametrize(("feature", "best"), [(0.9, 0), (-0.9, 1)])
def test_the_best_arm_depends_on_the_context(config, feature, best):
    policy = taught(config)
    chosen = [policy.pull(np.array([1.0, feature]), draw).arm for draw in np.linspace(0, 0.999, 200)]
    assert np.mean(np.array(chosen) == best) > 0.8


@pytest.mark.parametrize(
    "config", [LinUcbConfig(features=2, shared=True), LinearThompsonConfig(features=2, shared=True)]
)
def test_shared_weights_know_an_arm_that_was_never_chosen(config):
    rng = np.random.default_rng(3)
    policy = make_policy(config, 3)
    features = np.array([[1.0, -0.5], [1.0, 0.5], [1.0, 0.9]])
    for time in range(3_000):
        arm = time % 2
        policy.update(arm, float(rng.random() < 0.3 + 0.2 * features[arm, 1]), features, time)
    policy.publish(rng)
    assert np.mean([policy.pull(features, draw).arm == 2 for draw in np.linspace(0, 0.999, 200)]) > 0.8


@pytest.mark.parametrize("config", ALL, ids=names)
@pytest.mark.parametrize("decisions", [0, 60, 3_000])
def test_a_propensity_is_the_share_of_draws_that_choose_the_arm(config, decisions):
    policy = taught(config, decisions)
    context = np.array([1.0, 0.1]) if config in LINEAR else None
    draws = (np.arange(40_000) + 0.5) / 40_000
    chosen = [policy.pull(context, draw) for draw in draws.tolist()]
    arms = np.array([choice.arm for choice in chosen])
    told = {choice.arm: choice.propensity for choice in chosen}
    assert sum(told.values()) == pytest.approx(1, abs=1e-4)
    for arm, propensity in told.items():
        assert np.mean(arms == arm) == pytest.approx(propensity, abs=2e-4)


@pytest.mark.parametrize("config", ALL, ids=names)
def test_no_arm_is_ever_without_a_chance(config):
    policy = taught(config)
    context = np.array([1.0, 0.9]) if config in LINEAR else None
    arms = {policy.pull(context, draw).arm for draw in np.linspace(0, 0.9999, 20_000).tolist()}
    assert arms == set(range(policy.n_arms))


@pytest.mark.parametrize("config", ALL, ids=names)
def test_pulling_changes_nothing(config):
    policy = taught(config, 200)
    before = policy.state.copy()
    context = np.array([1.0, 0.9]) if config in LINEAR else None
    assert [policy.pull(context, 0.4) for _ in range(3)] == [policy.pull(context, 0.4)] * 3
    assert policy.state.tolist() == before.tolist()


@pytest.mark.parametrize("config", ALL, ids=names)
def test_another_process_chooses_alike_from_the_same_memory(config):
    writer = taught(config, 500)
    memory = np.zeros(board_bytes(writer.board.pages.shape[1]), np.uint8)
    shared = make_policy(config, writer.n_arms, board_in(memory))
    shared.state[:] = writer.state
    n, reader_memory = writer.n_arms, memory.view()
    reader_memory.flags.writeable = False
    reader = make_policy(config, writer.n_arms, board_in(reader_memory))
    context = np.array([1.0, 0.9]) if config in LINEAR else None
    draws = np.linspace(0, 0.999, 50).tolist()
    before = [reader.pull(context, draw) for draw in draws]
    assert dict(before) == dict.fromkeys(range(n), pytest.approx(1 / n))
    shared.publish(np.random.default_rng(1))
    after = [reader.pull(context, draw) for draw in draws]
    assert after == [shared.pull(context, draw) for draw in draws]
    assert after != before


@pytest.mark.parametrize("config", ALL, ids=names)
def test_the_same_updates_end_in_the_same_state_and_a_saved_one_goes_on(config):
    one, other = taught(config, 300), taught(config, 300)
    assert one.state.tolist() == other.state.tolist()
    restored = make_policy(config, one.n_arms)
    restored.state[:] = one.state
    for policy in (one, restored):
        policy.publish(np.random.default_rng(5))
    context = np.array([1.0, -0.3]) if config in LINEAR else None
    assert restored.pull(context, 0.37) == one.pull(context, 0.37)


@pytest.mark.parametrize("config", ALL, ids=names)
def test_what_was_learned_counts_half_after_its_half_life(config):
    policy = make_policy(config.model_copy(update={"half_life_days": 2.0}), 3)
    context = np.array([1.0, 0.5])
    policy.update(0, 1.0, context, DAY)
    policy.update(1, 1.0, context, 3 * DAY)
    assert policy.counts[:2].tolist() == pytest.approx([0.5, 1.0])


def test_what_comes_late_counts_for_less_and_ages_nothing():
    policy = make_policy(ThompsonConfig(half_life_days=2.0), 2)
    policy.update(0, 1.0, None, 3 * DAY)
    policy.update(1, 1.0, None, DAY)
    assert policy.counts.tolist() == pytest.approx([1.0, 0.5])
    assert policy.state[0] == 3 * DAY


@pytest.mark.parametrize("config", SIMPLE, ids=names)
def test_with_a_half_life_the_new_best_arm_is_found(config):
    changed = {"half_life_days": 500 / DAY}  # 500 decisions, one a microsecond
    policy = make_policy(config.model_copy(update=changed), 4)
    rng = np.random.default_rng(2)
    for number in range(9_000):
        rates = RATES if number < 3_000 else RATES[::-1]
        arm = policy.pull(None, rng.random()).arm
        policy.update(arm, float(rng.random() < rates[arm]), None, number)
        if number % 50 == 49:
            policy.publish(rng)
    assert np.argmax(policy.counts) == 2


@pytest.mark.parametrize("config", ALL, ids=names)
@pytest.mark.parametrize("reward", [0.0, 1.0])
def test_arms_that_all_earn_the_same_stay_in_play(config, reward):
    policy = make_policy(config, 5)
    context = np.array([1.0, 0.2])
    for time in range(1_000):
        policy.update(time % 5, reward, context, time)
    policy.publish(np.random.default_rng(0))
    chances = [policy.pull(context, draw) for draw in np.linspace(0, 0.999, 100).tolist()]
    assert len({choice.arm for choice in chances}) == 5


@pytest.mark.parametrize("config", ALL, ids=names)
def test_a_single_arm_is_always_chosen(config):
    policy = make_policy(config, 1)
    context = np.array([1.0, 0.2])
    for time in range(10):
        policy.update(0, float(time % 2), context, time)
    policy.publish(np.random.default_rng(0))
    arm, propensity = policy.pull(context, 0.5)
    assert (arm, propensity) == (0, pytest.approx(1.0))


def test_rewards_of_any_size_are_told_apart_by_the_gaussian_policy():
    policy = make_policy(GaussianConfig(reward_cap=500.0), 2)
    rng = np.random.default_rng(0)
    for time in range(4_000):
        order = rng.random() < 0.1
        policy.update(time % 2, order * rng.gamma(2.0, 20.0 + 20.0 * (time % 2)), None, time)
    policy.publish(rng)
    assert np.mean([policy.pull(None, draw).arm for draw in np.linspace(0, 0.999, 100)]) > 0.9


def test_a_reward_over_the_cap_counts_as_the_cap():
    policy = make_policy(GaussianConfig(reward_cap=100.0), 2)
    policy.update(0, 1e9, None, 0)
    policy.update(1, -5.0, None, 0)
    assert policy.sums.tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("arm", "reward", "context", "field"),
    [
        (3, 1.0, [1.0, 0.0], "arm"),
        (-1, 1.0, [1.0, 0.0], "arm"),
        (0, float("nan"), [1.0, 0.0], "reward"),
        (0, 1.0, [1.0], "context"),
        (0, 1.0, None, "context"),
        (0, 1.0, [1.0, float("inf")], "context"),
        (0, 1.0, [[1.0, 0.0], [1.0, 0.0]], "context"),
    ],
)
def test_what_makes_no_sense_is_refused_and_not_learned(arm, reward, context, field):
    policy = make_policy(LinUcbConfig(features=2), 3)
    with pytest.raises(InvalidValueError) as error:
        policy.update(arm, reward, None if context is None else np.array(context), 5)
    assert error.value.field == field
    assert not policy.state.any()


def test_a_context_that_holds_no_number_still_gets_an_arm():
    policies = [taught(config, 100) for config in LINEAR]
    context = np.array([1.0, np.nan])
    assert all(policy.pull(context, 0.9).arm in range(3) for policy in policies)


@pytest.mark.parametrize("n_arms", [0, 1_001])
def test_a_number_of_arms_that_makes_no_sense_is_refused(n_arms):
    with pytest.raises(InvalidValueError, match="n_arms"):
        make_policy(ThompsonConfig(), n_arms)


def test_a_policy_is_named_in_its_settings():
    settings = TypeAdapter(AnyPolicyConfig)
    assert settings.validate_python({"policy": "lin_ucb", "features": 3}) == LinUcbConfig(features=3)
    with pytest.raises(ValidationError, match="width"):
        settings.validate_python({"policy": "thompson_beta", "width": 1})
