"""Estimators are what they promise over many simulated experiments whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from active_customers.core.errors import NoDataError
from active_customers.experiments.estimators import (
    Counted,
    Sample,
    adjusted,
    cap_of,
    difference,
    fixed_interval,
    fixed_p,
    holm,
    mean_of,
    ratio_of,
    relative,
)

RUNS = 2_000
COVERAGE = (0.936, 0.964)
LEVEL = 0.05


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20)


def revenue(rng, n, buyers=0.1):
    """Most customers buy nothing, the others' orders are skewed."""
    return (rng.random(n) < buyers) * rng.lognormal(3, 1, n)


def test_welch_intervals_of_skewed_revenue_hold_the_truth_as_often_as_they_say(rng):
    truth = 0.02 * np.exp(3.5)
    held = 0
    for _ in range(RUNS):
        low, high = fixed_interval(
            difference(mean_of(revenue(rng, 2_000, 0.12)), mean_of(revenue(rng, 2_000, 0.1))), LEVEL
        )
        held += low <= truth <= high
    assert COVERAGE[0] <= held / RUNS <= COVERAGE[1]


def test_intervals_of_a_ratio_hold_the_truth_though_answers_of_one_customer_are_alike(rng):
    """Who clicks more also sees more, which a test of single answers would take for many independent ones."""

    def clicks(rate):
        taste = rng.beta(2, 2 / rate - 2, 1_500)
        answers = 1 + rng.poisson(40 * taste)
        return ratio_of(rng.binomial(answers, taste).astype(float), answers.astype(float))

    def truth(rate):
        taste = np.random.default_rng(1).beta(2, 2 / rate - 2, 2_000_000)
        return float((taste * (1 + 40 * taste)).mean() / (1 + 40 * taste).mean())

    expected, held = truth(0.12) - truth(0.1), 0
    for _ in range(RUNS):
        low, high = fixed_interval(difference(clicks(0.12), clicks(0.1)), LEVEL)
        held += low <= expected <= high
    assert COVERAGE[0] <= held / RUNS <= COVERAGE[1]


def test_adjusted_intervals_hold_the_truth_and_are_narrower(rng):
    held, narrower = 0, []
    for _ in range(RUNS):
        before = [rng.lognormal(0, 0.8, 1_000) for _ in range(2)]
        now = [0.7 * past + rng.lognormal(0, 0.5, 1_000) for past in before]
        now[0] += 0.1
        plain = mean_of(now[0]), mean_of(now[1])
        found = difference(*adjusted(plain, (mean_of(before[0]), mean_of(before[1]))))
        low, high = fixed_interval(found, LEVEL)
        held += low <= 0.1 <= high
        narrower.append(found.error / difference(*plain).error)
    assert COVERAGE[0] <= held / RUNS <= COVERAGE[1]
    assert np.mean(narrower) < 0.8


def test_a_past_that_tells_nothing_never_widens_an_interval(rng):
    for _ in range(200):
        pair = mean_of(rng.normal(size=50)), mean_of(rng.normal(size=30))
        noise = mean_of(rng.normal(size=50)), mean_of(rng.normal(size=30))
        assert difference(*adjusted(pair, noise)).error <= difference(*pair).error * (1 + 1e-9)
    flat = mean_of(np.zeros(50)), mean_of(np.zeros(30))
    assert adjusted(pair, flat) == pair


def test_winsorised_intervals_hold_the_winsorised_truth(rng):
    cap = float(stats.lognorm.ppf(0.99, 1, scale=np.exp(3)))
    capped = stats.lognorm.expect(lambda x: np.minimum(x, cap), (1,), scale=np.exp(3))
    held = 0
    for _ in range(RUNS):
        values = revenue(rng, 2_000, 0.12), revenue(rng, 2_000, 0.1)
        found = cap_of(values, 0.99)
        low, high = fixed_interval(difference(*(mean_of(np.minimum(each, found)) for each in values)), LEVEL)
        held += low <= 0.02 * capped <= high
    assert COVERAGE[0] <= held / RUNS <= COVERAGE[1]


def test_relative_intervals_count_that_the_control_is_an_estimate_too(rng):
    held = 0
    for _ in range(RUNS):
        found = relative(
            Counted.of_share(rng.binomial(2_000, 0.12), 2_000), Counted.of_share(rng.binomial(500, 0.1), 500)
        )
        low, high = fixed_interval(found, LEVEL)
        held += low <= 0.2 <= high
    assert 0.93 <= held / RUNS <= 0.97


def test_a_difference_is_the_one_of_the_library(rng):
    a, b = rng.normal(size=40), rng.normal(0.3, 2, size=25)
    known = stats.ttest_ind(a, b, equal_var=False)
    found = difference(mean_of(a), mean_of(b))
    assert fixed_p(found) == pytest.approx(known.pvalue)
    assert fixed_interval(found, LEVEL) == pytest.approx(tuple(known.confidence_interval(0.95)))


def test_pooled_variance_is_the_one_of_the_library_up_to_the_degrees_of_freedom(rng):
    a, b = rng.normal(size=400), rng.normal(0.3, 2, size=250)
    found = difference(mean_of(a), mean_of(b))
    known = stats.ttest_ind(a, b, equal_var=True)
    assert (found.effect / known.statistic) ** 2 == pytest.approx(found.pooled, rel=1e-2)
    assert found.cautious == max(found.variance, found.pooled)


def test_corrected_p_values_hold_false_alarms_of_a_family_to_the_level(rng):
    ps = rng.random((4_000, 4))
    assert np.mean([min(holm(family)) <= LEVEL for family in ps]) == pytest.approx(LEVEL, abs=0.011)


def test_a_cap_is_of_those_who_bought_in_any_variant():
    assert cap_of([np.r_[np.zeros(90), np.arange(1.0, 6)], np.arange(6.0, 12)], 1.0) == 11
    assert cap_of([np.zeros(9)], 0.99) == np.inf


def test_without_customers_there_is_no_mean():
    with pytest.raises(NoDataError, match="wait until"):
        mean_of(np.empty(0))


def test_without_answers_a_ratio_is_unknown():
    assert np.isnan(ratio_of(np.zeros(3), np.zeros(3)).value)


def test_nothing_is_proved_while_nothing_varies():
    nothing = Sample(0.0, np.zeros(5))
    assert fixed_p(difference(nothing, nothing)) == 1
    assert relative(nothing, nothing) is None
