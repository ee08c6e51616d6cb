"""Estimates of what a policy would have earned, against truths that are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.evaluation.made_choices import (
    APPEAL,
    LOGGING,
    NAMES,
    TRUTH,
    WANTED,
    in_context,
    of_customers,
    plain,
    rare,
    truth_in_context,
)

from active_customers.core.errors import InvalidValueError, NoDataError
from active_customers.evaluation.logged_choices import LoggedChoices
from active_customers.evaluation.off_policy import (
    ESTIMATORS,
    OffPolicyConfig,
    by_position,
    effective_size,
    evaluate_logged_arm,
    evaluate_policy,
    interval_of,
    observed,
)
from active_customers.evaluation.reward_model import Design, RewardModelConfig, fit_rewards

RUNS = 1_000
BARELY_DRAWN = OffPolicyConfig(model=RewardModelConfig(prior_choices=1e-3))
"""A model that takes means as they are, so that where it holds it is right."""


def evaluated(make, seed, config=None, runs=RUNS):
    """Evaluate by many logs; returns values and how often intervals hold the truth, by estimator."""
    rng = np.random.default_rng(seed)
    values, held = {name: [] for name in ESTIMATORS}, {name: [] for name in ESTIMATORS}
    for _ in range(runs):
        choices, probabilities, truth = make(rng)
        for name, found in evaluate_policy(choices, probabilities, config).estimates.items():
            values[name].append(found.value)
            held[name].append(found.interval[0] <= truth <= found.interval[1])
    return {name: np.array(found) for name, found in values.items()}, {name: np.mean(h) for name, h in held.items()}


IN_CONTEXT = truth_in_context()
CASES = {
    "plain": (lambda rng: (plain(rng), WANTED, TRUTH), 1),
    "customers": (lambda rng: (of_customers(rng), WANTED, TRUTH), 2),
    "rare": (lambda rng: (rare(rng), WANTED, TRUTH / 30), 3),
    "context": (lambda rng: (*in_context(rng), IN_CONTEXT), 4),
}


TRUTHS = {"plain": TRUTH, "customers": TRUTH, "rare": TRUTH / 30, "context": IN_CONTEXT}


@pytest.mark.parametrize("case", CASES)
def test_where_the_assumptions_hold_estimates_are_right_and_intervals_hold_the_truth_in_95_of_100_logs(case):
    values, held = evaluated(*CASES[case], BARELY_DRAWN)
    for name, found in values.items():
        assert abs(found.mean() - TRUTHS[case]) < 4 * found.std() / np.sqrt(RUNS), name
        assert 0.936 <= held[name] <= 0.964, (name, held)
    assert values["dr"].std() < values["ips"].std() * 1.01


def test_the_direct_method_is_wrong_where_its_model_is_and_the_doubly_robust_is_not():
    """Without its feature the model takes arms for equal that are not; the propensities know."""

    def blind(rng):
        choices, probabilities = in_context(rng)
        return replace(choices, features=None), probabilities, IN_CONTEXT

    values, held = evaluated(blind, 5, runs=300)
    assert IN_CONTEXT - values["dm"].mean() > 0.05
    assert held["dm"] < 0.5
    for name in ("ips", "snips", "dr"):
        assert abs(values[name].mean() - IN_CONTEXT) < 0.005, name
        assert held[name] > 0.92


def test_the_doubly_robust_is_right_where_propensities_are_wrong_and_the_model_is_not():
    """The log claims that all arms were equally likely; weights alone are misled, the model needs none."""

    def misreported(rng):
        return replace(plain(rng), propensities=np.full(600, 0.25)), WANTED, TRUTH

    values, held = evaluated(misreported, 6, BARELY_DRAWN, runs=300)
    assert abs(values["ips"].mean() - TRUTH) > 0.05
    assert held["ips"] < 0.5
    for name in ("dm", "dr"):
        assert abs(values[name].mean() - TRUTH) < 0.005, name
    assert held["dm"] > 0.92


def test_the_change_against_the_log_is_held_by_its_interval_in_95_of_100_logs():
    rng, change = np.random.default_rng(23), TRUTH - float(LOGGING @ APPEAL)
    held, narrower = [], []
    for _ in range(300):
        choices = of_customers(rng)
        found = evaluate_policy(choices, WANTED).estimates["dr"]
        low, high = found.change_interval
        held.append(low <= change <= high)
        spread = (observed(choices).standard_error ** 2 + found.standard_error**2) ** 0.5
        narrower.append(high - low < 2 * 1.96 * spread)
        assert found.change == found.value - choices.rewards.mean()
    assert 0.92 <= np.mean(held) <= 0.98
    assert np.mean(narrower) > 0.95


def test_the_log_changes_nothing_against_itself():
    found = evaluate_policy(plain(np.random.default_rng(24)), LOGGING).estimates["snips"]
    assert found.change == pytest.approx(0)
    assert found.change_interval == pytest.approx((0, 0))


def test_the_spread_of_estimates_is_what_the_standard_error_says():
    rng = np.random.default_rng(7)
    found = [evaluate_policy(of_customers(rng), WANTED).estimates for _ in range(400)]
    for name in ESTIMATORS:
        spread = np.std([estimates[name].value for estimates in found])
        assert np.mean([estimates[name].standard_error for estimates in found]) == pytest.approx(spread, rel=0.1), name


def test_the_logging_policy_is_worth_what_was_observed():
    choices = plain(np.random.default_rng(8))
    estimates = evaluate_policy(choices, LOGGING).estimates
    for name in ("ips", "snips"):
        assert estimates[name].value == pytest.approx(observed(choices).value)
        assert estimates[name].interval == pytest.approx(observed(choices).interval)


def test_choices_of_one_customer_count_as_one():
    alone = plain(np.random.default_rng(9))
    columns = {name: np.repeat(getattr(alone, name), 20) for name in ("arms", "rewards", "propensities")}
    apart = replace(alone, **columns)
    together = replace(alone, **columns, customers=np.repeat(np.arange(len(alone)), 20))
    expected, told, wrong = (evaluate_policy(log, WANTED).estimates["ips"] for log in (alone, together, apart))
    assert told.standard_error == pytest.approx(expected.standard_error)
    assert wrong.standard_error < told.standard_error / 4


def test_probabilities_of_the_logged_arm_give_the_same_weights_and_no_model():
    choices = plain(np.random.default_rng(10))
    whole, told = evaluate_policy(choices, WANTED), evaluate_logged_arm(choices, WANTED[choices.arms])
    assert list(told.estimates) == ["ips", "snips"]
    assert told.estimates == {name: whole.estimates[name] for name in told.estimates}
    assert told.effective_size == whole.effective_size


def test_places_are_evaluated_one_by_one():
    rng = np.random.default_rng(11)
    upper, lower = plain(rng), replace(plain(rng), rewards=np.zeros(600))
    columns = {
        name: np.concatenate((getattr(upper, name), getattr(lower, name)))
        for name in ("arms", "rewards", "propensities")
    }
    both = LoggedChoices(NAMES, **columns, positions=np.repeat([1, 2], 600))
    found = by_position(both, WANTED)
    alone = evaluate_policy(upper, WANTED).estimates
    assert [place.estimates["dr"].value for place in found.values()] == [pytest.approx(alone["dr"].value), 0]
    whole = evaluate_policy(both, WANTED).estimates["dm"].value
    assert whole == pytest.approx((found[1].estimates["dm"].value + found[2].estimates["dm"].value) / 2, rel=1e-6)
    assert by_position(upper, WANTED) == {}


def test_the_model_draws_what_it_saw_little_of_to_the_mean_of_the_place():
    arms = np.array([0] * 10 + [1] * 1_000)
    rewards = np.array([1.0] * 10 + [0.0] * 1_000)
    choices = LoggedChoices(("a", "b", "c"), arms, rewards, np.full(1_010, 0.5))
    design = Design.of(choices)
    model = fit_rewards(choices, design, np.arange(1_010), RewardModelConfig(prior_choices=10))
    a, b, c = model.rewards(design)[0]
    assert a == pytest.approx((1 + rewards.mean()) / 2)
    assert b < rewards.mean() / 50
    assert c == rewards.mean()


def test_effective_size_is_that_of_a_log_of_the_policys_own():
    assert effective_size(np.ones(7)) == 7
    assert effective_size(np.array([5.0, 0, 0])) == 1
    choices = plain(np.random.default_rng(12), 100_000)
    share = 1 / (WANTED**2 / LOGGING).sum()
    assert evaluate_policy(choices, WANTED).effective_size == pytest.approx(share * 100_000, rel=0.02)


def test_cut_weights_are_steadier_and_say_what_was_cut():
    choices = plain(np.random.default_rng(13))
    whole, cut = (evaluate_policy(choices, WANTED, OffPolicyConfig(max_weight=limit)) for limit in (None, 1.0))
    assert cut.estimates["ips"].standard_error < whole.estimates["ips"].standard_error
    assert whole.lost_weight == 0
    assert cut.lost_weight == pytest.approx(1 - (0.1 + 0.2 + 0.2 + 0.1) / whole.mean_weight, abs=0.06)
    assert any("weights above 1 were cut" in warning for warning in cut.warnings)


def warnings(choices, probabilities=WANTED):
    return "; ".join(evaluate_policy(choices, probabilities).warnings)


def test_a_log_that_bears_its_estimates_is_not_warned_of():
    assert warnings(plain(np.random.default_rng(14))) == ""


def test_propensities_that_do_not_fit_the_log_are_warned_of():
    choices = plain(np.random.default_rng(15))
    assert "weights have a mean of" in warnings(replace(choices, propensities=np.full(600, 0.25)))


def test_arms_that_were_never_logged_are_named_with_their_share():
    choices = plain(np.random.default_rng(16))
    found = evaluate_policy(choices.where(choices.arms != 3), np.array([0, 0, 0.5, 0.5]))
    assert (found.support.unsupported, found.support.arms) == (0.5, ("d",))
    assert any("50.0% of the policy's choices are of arms never logged (d)" in warning for warning in found.warnings)


def test_an_arm_must_have_been_logged_at_the_place_where_it_is_wanted():
    choices = LoggedChoices(
        ("a", "b"), np.array([0, 1] * 50), np.ones(100), np.full(100, 0.5), positions=np.array([1, 2] * 50)
    )
    assert evaluate_policy(choices, np.array([1.0, 0.0])).support.unsupported == 0.5


def test_few_rewards_and_few_choices_that_count_are_warned_of():
    few = plain(np.random.default_rng(17), 60)
    assert "effective sample size is" in warnings(few)
    assert "choices were rewarded" in warnings(few)


def test_one_choice_that_carries_much_is_warned_of():
    choices = plain(np.random.default_rng(18))
    propensities = choices.propensities.copy()
    propensities[0] = 1e-4
    assert "of all weight" in warnings(replace(choices, propensities=propensities))


def test_intervals_stay_where_means_can_be():
    choices = plain(np.random.default_rng(19), 40)
    for log in (choices, replace(choices, rewards=np.ones(40))):
        for found in evaluate_policy(log, WANTED).estimates.values():
            assert found.interval[0] >= 0
            assert found.interval[1] <= 1


def test_without_a_reward_the_number_of_choices_bounds_what_a_policy_earns():
    choices = replace(plain(np.random.default_rng(22), 3_000), rewards=np.zeros(3_000))
    report = evaluate_policy(choices, WANTED)
    for found in report.estimates.values():
        assert found.value == 0
        assert found.interval == (0, pytest.approx(3.69 / report.effective_size, rel=0.01))
    assert observed(choices).interval == (0, pytest.approx(3.69 / 3_000, rel=0.01))


def test_losses_are_rewards_too():
    choices = plain(np.random.default_rng(20))
    gain, loss = evaluate_policy(choices, WANTED), evaluate_policy(replace(choices, rewards=-choices.rewards), WANTED)
    for name in ESTIMATORS:
        assert loss.estimates[name].value == pytest.approx(-gain.estimates[name].value)
        assert loss.estimates[name].interval == pytest.approx([-end for end in gain.estimates[name].interval[::-1]])


def test_a_policy_that_never_chooses_as_the_log_tells_nothing_by_weights():
    choices = LoggedChoices(("a", "b"), np.zeros(50, int), np.ones(50), np.full(50, 0.5))
    found = evaluate_policy(choices, np.array([0.0, 1.0]))
    assert found.effective_size == 0
    assert np.isnan(found.estimates["snips"].value)
    assert found.support.unsupported == 1


def test_hall_and_student_agree_without_skewness():
    error, (low, high) = interval_of(3.0, np.array([-1.0, 1.0] * 50), 100)
    assert error == pytest.approx(1 / np.sqrt(99))
    assert (high - 3, 3 - low) == pytest.approx([1.984 * error] * 2, rel=1e-3)


def test_of_skewed_rewards_the_upper_end_is_farther():
    totals = np.array([9.0] + [-1.0] * 9)
    _, (low, high) = interval_of(0.0, totals, 10)
    assert high > -low > 0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"propensities": np.array([0.5, 0.0])}, r"propensities\[1\]: 0.0 is not valid: probabilities lie in \(0, 1\]"),
        ({"propensities": np.array([np.nan, 1])}, r"propensities\[0\]: NaN"),
        ({"propensities": np.array([1.01, 1])}, r"propensities\[0\]: 1.01"),
        ({"rewards": np.array([1, np.inf])}, r"rewards\[1\]: Infinity"),
        ({"arms": np.array([0, 2])}, r"arms\[1\]: 2"),
        ({"arms": np.array([-1, 0])}, r"arms\[0\]: -1"),
        ({"customers": np.array([1])}, "customers: 1 is not valid: give one for each of the 2 choices"),
        ({"features": np.array([[1.0], [np.nan]])}, r"features\[1\]: \[NaN\]"),
    ],
)
def test_what_cannot_be_is_refused_with_its_row(changed, message):
    columns = {"arms": np.array([0, 1]), "rewards": np.zeros(2), "propensities": np.ones(2)} | changed
    with pytest.raises(InvalidValueError, match=message):
        LoggedChoices(("a", "b"), **columns)


@pytest.mark.parametrize(
    ("probabilities", "message"),
    [
        (np.array([0.5, 0.5]), r"probabilities.shape: \[2\] is not valid: give 4 probabilities"),
        (np.full((599, 4), 0.25), "or such a row for each of the 600 choices"),
        (np.array([0.5, 0.5, 0.5, 0.5]), r"probabilities\[0\]: 2.0"),
        (np.array([1.5, -0.5, 0, 0]), r"probabilities\[0\]: 1.0 is not valid: each row is 0 or more and sums to 1"),
        (np.array([np.nan, 0.5, 0.5, 0]), r"probabilities\[0\]: NaN"),
    ],
)
def test_probabilities_that_are_none_are_refused(probabilities, message):
    with pytest.raises(InvalidValueError, match=message):
        evaluate_policy(plain(np.random.default_rng(0)), probabilities)


def test_probabilities_of_logged_arms_that_are_none_are_refused():
    with pytest.raises(InvalidValueError, match="give one in"):
        evaluate_logged_arm(plain(np.random.default_rng(0)), np.full(600, 1.5))


def test_no_choices_and_choices_of_one_customer_are_refused():
    empty = np.zeros(0)
    with pytest.raises(NoDataError, match="log some with their propensities"):
        LoggedChoices(("a",), empty.astype(int), empty, empty)
    choices = plain(np.random.default_rng(0))
    with pytest.raises(NoDataError, match="one customer"):
        evaluate_policy(replace(choices, customers=np.zeros(600)), WANTED)


def test_a_report_is_json_with_everything_that_was_found():
    report = evaluate_policy(plain(np.random.default_rng(21)), WANTED)
    told = report.as_dict()
    assert told["choices"] == 600
    assert list(told["estimates"]) == list(ESTIMATORS)
    assert told["estimates"]["dr"] == {
        "value": report.estimates["dr"].value,
        "standard_error": report.estimates["dr"].standard_error,
        "interval": list(report.estimates["dr"].interval),
        "change": report.estimates["dr"].change,
        "change_interval": list(report.estimates["dr"].change_interval),
    }
    assert APPEAL.min() < told["estimates"]["dr"]["value"] < APPEAL.max()
