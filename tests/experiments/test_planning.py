"""Plans come true: simulated tests of the planned size find the planned effect as often as was asked for."""

from __future__ import annotations

import math

import numpy as np
import pytest

from active_customers.core.errors import InvalidValueError
from active_customers.experiments.estimators import (
    Counted,
    adjusted,
    difference,
    fixed_p,
    mean_of,
    ratio_of,
)
from active_customers.experiments.planning import Design, Usual, customers_needed, detectable_effect, duration
from active_customers.experiments.sequential import always_valid_p

RUNS = 1_000
NOISE = 3 * math.sqrt(0.8 * 0.2 / RUNS)
ONCE = Design(sequential=False)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(30)


@pytest.mark.parametrize("design", [ONCE, Design(), Design(share=0.2)], ids=str)
def test_a_share_is_found_to_differ_as_often_as_planned(rng, design):
    n = customers_needed(Usual.of_share(0.1), 0.1, design)
    parts = round(n * design.share), n - round(n * design.share)
    found = 0
    for _ in range(RUNS):
        pair = [Counted.of_share(rng.binomial(part, p), part) for part, p in zip(parts, (0.11, 0.1), strict=True)]
        seen = difference(*pair)
        found += (always_valid_p(seen, n) if design.sequential else fixed_p(seen)) <= design.level
    assert found / RUNS == pytest.approx(design.power, abs=NOISE + 0.015)  # 11 % vary a little more than 10 %


def test_revenue_is_found_to_differ_as_often_as_planned(rng):
    past = (rng.random(100_000) < 0.3) * rng.lognormal(0, 0.7, 100_000)
    n = customers_needed(Usual.of_values(past), 0.1, ONCE)
    found = 0
    for _ in range(RUNS):
        values = (rng.random(n) < 0.3) * rng.lognormal(0, 0.7, n)
        values[: n // 2] *= 1.1
        found += fixed_p(difference(mean_of(values[: n // 2]), mean_of(values[n // 2 :]))) <= 0.05
    assert found / RUNS == pytest.approx(0.8, abs=NOISE + 0.02)


def test_a_ratio_is_found_to_differ_as_often_as_planned(rng):
    def shop(rate, n):
        answers = 1 + rng.poisson(3, n)
        return rng.binomial(answers, rate).astype(float), answers.astype(float)

    n = customers_needed(Usual.of_ratio(*shop(0.1, 200_000)), 0.1, ONCE)
    found = sum(
        fixed_p(difference(ratio_of(*shop(0.11, n // 2)), ratio_of(*shop(0.1, n // 2)))) <= 0.05 for _ in range(RUNS)
    )
    assert found / RUNS == pytest.approx(0.8, abs=NOISE + 0.015)


def test_what_the_past_tells_saves_as_many_customers_as_planned(rng):
    usual = Usual(5.0, 1.0, told_before=0.8)
    n = customers_needed(usual, 0.02, ONCE)
    assert n == pytest.approx(0.36 * customers_needed(Usual(5.0, 1.0), 0.02, ONCE), abs=1)
    found = 0
    for _ in range(RUNS):
        past = rng.normal(size=n)
        now = 5 + 0.8 * past + rng.normal(0, 0.6, n)
        now[: n // 2] += 0.1
        halves = [(mean_of(now[half]), mean_of(past[half])) for half in (slice(n // 2), slice(n // 2, None))]
        (ours, our_past), (theirs, their_past) = halves
        found += fixed_p(difference(*adjusted((ours, theirs), (our_past, their_past)))) <= 0.05
    assert found / RUNS == pytest.approx(0.8, abs=NOISE + 0.01)


def test_the_detectable_effect_of_the_customers_needed_is_the_effect():
    usual, design = Usual(20.0, 90.0), Design(share=0.3, n_comparisons=3)
    assert detectable_effect(usual, customers_needed(usual, 0.07, design), design) == pytest.approx(0.07, rel=1e-4)


def test_days_are_whole_and_the_interval_leaves_out_nothing_at_the_end():
    plan = duration(Usual.of_share(0.03), 0.1, 10_000, Design())
    assert plan.days == math.ceil(plan.customers / 10_000)
    assert 0 < plan.interval.low < 0.1 < plan.interval.high
    assert plan.as_dict()["interval"] == list(plan.interval)


def test_looking_at_any_time_and_comparing_more_both_cost_customers():
    usual = Usual.of_share(0.1)
    once, any_time = customers_needed(usual, 0.1, ONCE), customers_needed(usual, 0.1, Design())
    assert once < any_time < customers_needed(usual, 0.1, Design(n_comparisons=3))


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Usual(0.0, 1.0), "usual"),
        (lambda: Usual(1.0, float("nan")), "deviation"),
        (lambda: Usual(1.0, 1.0, 1.0), "told_before"),
        (lambda: Usual.of_share(1.0), "usual"),
        (lambda: Design(power=1.0), "power"),
        (lambda: Design(n_comparisons=0), "n_comparisons"),
        (lambda: customers_needed(Usual.of_share(0.1), 0.0, ONCE), "effect"),
        (lambda: detectable_effect(Usual.of_share(0.1), 1, ONCE), "customers"),
        (lambda: duration(Usual.of_share(0.1), 0.1, 0, ONCE), "daily"),
    ],
)
def test_what_cannot_be_planned_is_named(make, field):
    with pytest.raises(InvalidValueError) as caught:
        make()
    assert caught.value.field == field
