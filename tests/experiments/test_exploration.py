"""New products get what their appeal deserves."""

import numpy as np
import pytest

from active_customers.core.errors import InvalidValueError
from active_customers.experiments.exploration import Exploration, ExplorationConfig

RATE = 0.02


def after(impressions, clicks, config=None):
    """Return the factor of a product that was shown and clicked so often while its factor was 1."""
    exploration = Exploration(2, config)
    exploration.learn(np.array([1]), np.array([float(impressions)]), np.array([float(clicks)]), RATE)
    return exploration.factors(np.array([1]))[1]


def test_a_product_that_was_never_shown_has_a_bonus():
    assert after(0, 0) == pytest.approx(1.5)


def test_the_bonus_goes_with_every_impression_until_the_trial_is_over():
    plain = ExplorationConfig(bonus=0.0)
    bonuses = [after(n, n * RATE) - after(n, n * RATE, plain) for n in (0, 50, 100, 150, 200, 5_000)]
    assert bonuses[:5] == sorted(bonuses[:5], reverse=True)
    assert bonuses[4:] == [0.0, 0.0]


@pytest.mark.parametrize(("clicks", "factor"), [(800, 2.0), (400, 1.0), (100, 0.25)])
def test_in_the_end_the_factor_is_what_clicks_say_against_the_shop(clicks, factor):
    assert after(20_000, clicks) == pytest.approx(factor, rel=0.04)


def test_a_product_with_a_factor_is_measured_by_what_it_promises_without_it():
    exploration, product = Exploration(1), np.array([0])
    for _ in range(40):
        factor = exploration.factors(product)[0]
        shown = 1_000.0
        exploration.learn(product, np.array([shown]), np.array([shown * RATE * 3.0 / factor]), RATE)
    assert exploration.factors(product)[0] == pytest.approx(3.0, rel=0.02)


def test_products_that_are_not_new_count_once_and_factors_are_bounded():
    exploration = Exploration(3)
    products = np.array([0, 1, 2])
    exploration.learn(products, np.full(3, 1e6), np.array([1e6, 0.0, 1e6]), 0.001)
    assert exploration.factors(np.array([0, 1])).tolist() == pytest.approx([10.0, 0.1, 1.0])


def test_a_product_that_is_forgotten_begins_anew():
    exploration = Exploration(1)
    exploration.learn(np.array([0]), np.array([900.0]), np.array([0.0]), RATE)
    exploration.forget(np.array([0]))
    assert exploration.factors(np.array([0])).tolist() == [1.5]


@pytest.mark.parametrize(
    ("impressions", "clicks", "rate", "field"),
    [(1.0, 0.0, 0.0, "click_rate"), (-1.0, 0.0, 0.1, "impressions"), (1.0, float("nan"), 0.1, "clicks")],
)
def test_counts_that_make_no_sense_are_refused(impressions, clicks, rate, field):
    exploration = Exploration(1)
    with pytest.raises(InvalidValueError) as error:
        exploration.learn(np.array([0]), np.array([impressions]), np.array([clicks]), rate)
    assert error.value.field == field
    assert not exploration.state[:3].any()


def test_new_products_together_are_shown_as_often_as_if_their_appeal_were_known():
    rng = np.random.default_rng(1)
    old, new, pool, page = 300, 60, 40, 5
    guesses = 0.05 * np.exp(0.4 * rng.standard_normal(old + new))
    appeal = guesses.copy()
    appeal[old:] *= np.exp(0.6 * rng.standard_normal(new) - 0.18)
    exploration, numbers = Exploration(old + new), np.arange(old, old + new)
    shown, deserved, seen = np.zeros(old + new), np.zeros(old + new), np.zeros(old + new)
    for _ in range(300):
        factors = exploration.factors(numbers)
        candidates = rng.integers(0, old + new, (100, pool))
        fit = np.exp(0.7 * rng.standard_normal((100, pool)))
        chosen, due = (
            np.take_along_axis(candidates, np.argsort(-scores[candidates] * fit)[:, :page], 1)
            for scores in (guesses * factors, appeal)
        )
        suits = np.take_along_axis(fit, np.argsort(-(guesses * factors)[candidates] * fit)[:, :page], 1)
        clicked = rng.random(chosen.shape) < appeal[chosen] * suits
        impressions, clicks = (np.bincount(part, minlength=old + new) for part in (chosen.ravel(), chosen[clicked]))
        known = seen >= 200
        shown += known * impressions
        deserved += known * np.bincount(due.ravel(), minlength=old + new)
        seen += impressions
        rate = clicks[:old].sum() / impressions[:old].sum()
        exploration.learn(numbers, impressions[old:].astype(float), clicks[old:].astype(float), rate)
    assert deserved[old:].sum() > 5_000
    assert shown[old:].sum() == pytest.approx(deserved[old:].sum(), rel=0.2)
