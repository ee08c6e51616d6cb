"""Looking every hour costs no false alarms, and what is wrong is found all the same."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.experiment_runs import always_held, false_alarms, fixed_false_alarms, hourly

from active_customers.experiments.estimators import Counted, difference
from active_customers.experiments.sequential import (
    always_valid_p,
    ratio_always_valid_p,
    ratio_p,
    sequential_interval,
    width_factor,
)

LEVEL = 0.05
MOST_FALSE_ALARMS = 0.064  # 5 % within the noise of 1,000 runs


def test_a_thousand_tests_without_effect_looked_at_hourly_for_two_weeks_rarely_alarm():
    assert false_alarms(hourly(np.random.default_rng(7), 1_000, 4_000), 4_000, LEVEL) <= MOST_FALSE_ALARMS


def test_a_small_variant_of_which_nobody_has_bought_yet_raises_no_alarm():
    """With Welch's variance alone, which is 0 for such a variant, a quarter of these would."""
    assert false_alarms(hourly(np.random.default_rng(7), 250, 4_000, share=0.1), 4_000, LEVEL) <= MOST_FALSE_ALARMS


def test_whoever_looks_hourly_at_fixed_intervals_is_alarmed_far_too_often():
    """So that the simulation shows the problem that it is to rule out."""
    assert fixed_false_alarms(hourly(np.random.default_rng(7), 50, 4_000), LEVEL) > 0.2


@pytest.mark.parametrize("planned", [1_000, 20_000])
def test_sequential_intervals_hold_the_truth_at_all_looks_whatever_was_planned(planned):
    assert always_held(hourly(np.random.default_rng(8), 300, 4_000), planned, LEVEL) >= 0.936


def test_an_effect_that_the_plan_allows_for_is_found():
    found = difference(Counted.of_share(1_250, 10_000), Counted.of_share(1_000, 10_000))
    assert always_valid_p(found, 20_000) < 0.001
    assert sequential_interval(found, 20_000, LEVEL).low > 0


@pytest.mark.parametrize("cases", [1_080, 1_120, 1_135, 1_150])
def test_the_interval_leaves_out_nothing_exactly_when_p_is_below_the_level(cases):
    found = difference(Counted.of_share(cases, 10_000), Counted.of_share(1_000, 10_000))
    assert (always_valid_p(found, 30_000) < LEVEL) == (sequential_interval(found, 30_000, LEVEL).low > 0)


def test_the_interval_is_narrowest_where_it_was_planned_to_be():
    reaches = {planned: width_factor(10_000 / planned, LEVEL) for planned in (1_000, 5_000, 10_000, 20_000, 100_000)}
    assert min(reaches, key=reaches.__getitem__) == 10_000
    assert reaches[10_000] == pytest.approx(3.04, abs=0.01)


def test_a_wrong_sample_ratio_is_found_once_or_at_every_look():
    rng = np.random.default_rng(9)
    firsts = rng.binomial(20_000, 0.52, 200)
    assert np.mean([ratio_p((first, 20_000 - first), (0.5, 0.5)) < 0.01 for first in firsts]) > 0.95
    assert np.mean([ratio_always_valid_p((first, 20_000 - first), (0.5, 0.5)) < 0.01 for first in firsts]) > 0.95


def test_a_right_sample_ratio_looked_at_after_every_hundred_customers_rarely_alarms():
    rng = np.random.default_rng(10)
    alarms = 0
    for _ in range(400):
        counts = rng.multinomial(100, (0.7, 0.2, 0.1), 100).cumsum(axis=0)
        alarms += any(ratio_always_valid_p(look, (0.7, 0.2, 0.1)) < LEVEL for look in counts)
    assert alarms / 400 <= 0.075


def test_before_there_are_customers_nothing_is_wrong():
    assert ratio_p((0, 0), (0.5, 0.5)) == ratio_always_valid_p((0, 0), (0.5, 0.5)) == 1
