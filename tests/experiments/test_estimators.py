"""Estimators are what they promise over many simulated experiments whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.experiment_worlds import WORLDS, coverage
from scipy import stats

from active_customers.core.errors import NoDataError
from active_customers.experiments.estimators import (
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

COVERAGE = (0.936, 0.964)
LEVEL = 0.05


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20)


@pytest.mark.parametrize("name", list(WORLDS))
def test_intervals_hold_the_true_effect_as_often_as_they_say(rng, name):
    assert COVERAGE[0] <= coverage(name, rng, 2_000) <= COVERAGE[1]


def test_what_the_past_tells_makes_intervals_narrower(rng):
    past = mean_of(rng.lognormal(0, 0.8, 1_000)), mean_of(rng.lognormal(0, 0.8, 1_000))
    plain = [Sample(0.0, 0.7 * each.influence + rng.normal(0, 0.3, 1_000)) for each in past]
    assert difference(*adjusted(tuple(plain), past)).error < 0.6 * difference(*plain).error


def test_a_past_that_tells_nothing_never_widens_an_interval(rng):
    for _ in range(200):
        pair = mean_of(rng.normal(size=50)), mean_of(rng.normal(size=30))
        noise = mean_of(rng.normal(size=50)), mean_of(rng.normal(size=30))
        assert difference(*adjusted(pair, noise)).error <= difference(*pair).error * (1 + 1e-9)
    flat = mean_of(np.zeros(50)), mean_of(np.zeros(30))
    assert adjusted(pair, flat) == pair


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
