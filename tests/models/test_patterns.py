"""When products are wanted is learned where the log shows it, and nothing is learned where it does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.conftest import NOW

from active_customers.core.clock import DAY, HOUR, MINUTE, parse_time
from active_customers.evaluation.simulator import Shop, SimulatorConfig
from active_customers.evaluation.simulator.seasons import demand_factors
from active_customers.models.base import SessionLog
from active_customers.models.patterns import CYCLES, Patterns, PatternsConfig, learn_patterns, no_patterns
from active_customers.models.product_features import About, features_of

MONDAY = parse_time("2025-01-06T00:00:00Z")


def log_of(products, times, n_products, categories=None):
    """Return a log in which every act is a session of a customer of its own."""
    n = len(products)
    columns = {
        "session": np.arange(n),
        "product": np.array(products),
        "event_type": np.ones(n, np.int64),
        "time": np.array(times, np.int64),
        "customer": np.arange(n),
    }
    log = SessionLog.from_rows(columns, n_products, int(np.max(times, initial=NOW)))
    if categories is None:
        return log
    said = [(product, [(About.CATEGORY, word)]) for product, word in enumerate(categories) if word]
    return replace(log, features=features_of(said, n_products))


def two_kinds(n_days=60, seed=1):
    """Products 0 and 1 are wanted at 8 h three times as often as at 20 h, products 2 and 3 the other way round."""
    rng = np.random.default_rng(seed)
    products, times = [], []
    for day in range(n_days):
        for hour, lots in ((8, (3, 3, 1, 1)), (20, (1, 1, 3, 3))):
            drawn = np.repeat(np.arange(4), rng.poisson(np.array(lots) * 4))
            products += drawn.tolist()
            times += (MONDAY + day * DAY + hour * HOUR + rng.integers(0, HOUR, len(drawn))).tolist()
    return products, times


def test_hours_are_learned_as_they_are():
    """Half of all visits come at either hour, three quarters of a product's at its own: 1.5 and 0.5 times as many."""
    patterns = learn_patterns(log_of(*two_kinds(), 4), PatternsConfig())
    assert patterns.learned == ["hour"]
    morning, evening = (patterns.weights(MONDAY + hour * HOUR) for hour in (8, 20))
    np.testing.assert_allclose(morning, [1.5, 1.5, 0.5, 0.5], atol=0.1)
    np.testing.assert_allclose(evening, [0.5, 0.5, 1.5, 1.5], atol=0.1)


def test_at_hours_of_which_nothing_is_known_nothing_changes():
    patterns = learn_patterns(log_of(*two_kinds(), 4), PatternsConfig())
    np.testing.assert_allclose(patterns.weights(MONDAY + 3 * HOUR), 1.0)


def test_hours_are_those_of_the_shop_s_time_zone():
    """8 h UTC is 17 h in Tokyo, on all days."""
    patterns = learn_patterns(log_of(*two_kinds(), 4), PatternsConfig(), "Asia/Tokyo")
    [factor] = patterns.factors_of(0, MONDAY + 100 * DAY + 8 * HOUR)
    assert (factor.cycle, factor.part) == ("hour", 17)
    assert factor.factor == pytest.approx(1.5, abs=0.1)


def test_summer_time_moves_the_hours():
    """What is wanted at 9 h in Berlin is wanted an hour earlier by UTC in summer."""
    products, times = two_kinds()
    patterns = learn_patterns(log_of(products, times, 4), PatternsConfig(), "Europe/Berlin")
    winter, summer = (
        patterns.factors_of(0, parse_time(f"2025-{month}-01T{hour}:30:00Z"))
        for month, hour in (("02", "08"), ("07", "07"))
    )
    assert winter == summer
    assert winter[0].part == 9


def test_weekdays_are_learned():
    rng = np.random.default_rng(2)
    products, times = [], []
    for day in range(200):
        lots = (6, 1) if day % 7 >= 5 else (2, 2)
        drawn = np.repeat([0, 1], rng.poisson(np.array(lots) * 3))
        products += drawn.tolist()
        times += (MONDAY + day * DAY + rng.integers(0, DAY, len(drawn))).tolist()
    patterns = learn_patterns(log_of(products, times, 2), PatternsConfig())
    assert patterns.learned == ["weekday"]
    saturday, tuesday = (patterns.weights(MONDAY + day * DAY) for day in (5, 1))
    assert saturday[0] > 1.3
    assert tuesday[0] < 1
    assert saturday[1] < 0.7
    assert tuesday[1] > 1


@pytest.mark.parametrize("seed", range(5))
def test_from_visits_at_any_time_nothing_is_learned(seed):
    rng = np.random.default_rng(seed)
    log = log_of(rng.integers(0, 50, 5_000), MONDAY + rng.integers(0, 500 * DAY, 5_000), 50, ["a", "b"] * 25)
    patterns = learn_patterns(log, PatternsConfig())
    assert patterns.learned == []
    assert len(patterns.weights(NOW)) == 0


def test_one_customer_s_habit_is_nobody_else_s():
    """Who looks at one product every evening counts once."""
    products, times = two_kinds(4)
    log = log_of(products + [0] * 200, times + [MONDAY + day * DAY + 20 * HOUR for day in range(200)], 4)
    customers = log.customers.copy()
    customers[-200:] = customers[-1]
    patterns = learn_patterns(replace(log, customers=customers), PatternsConfig(significance=0))
    assert patterns.weights(MONDAY + 20 * HOUR)[0] < 1


def test_a_product_of_which_little_is_known_is_believed_to_be_as_its_category():
    products, times = two_kinds()
    products, times = [*products, 4], [*times, MONDAY + 20 * HOUR]
    log = log_of(products, times, 6, ["coffee", "coffee", "wine", "wine", "coffee", "coffee"])
    morning = learn_patterns(log, PatternsConfig()).weights(MONDAY + 8 * HOUR)
    assert morning[4] == pytest.approx(1.5, abs=0.15)
    assert morning[5] == pytest.approx(1.5, abs=0.15)


def test_without_a_category_few_data_are_shrunk_towards_the_average():
    products, times = two_kinds()
    log = log_of([*products, 4], [*times, MONDAY + 8 * HOUR], 5)
    morning = learn_patterns(log, PatternsConfig()).weights(MONDAY + 8 * HOUR)
    assert 1 < morning[4] < morning[0]


def test_less_than_a_year_teaches_nothing_of_months():
    rng = np.random.default_rng(4)
    times = np.concatenate(
        [MONDAY + rng.integers(0, 90 * DAY, 2_000), MONDAY + rng.integers(90 * DAY, 180 * DAY, 2_000)]
    )
    log = log_of(np.repeat([0, 1], 2_000), times, 2)
    assert "month" not in learn_patterns(log, PatternsConfig()).learned


def seasonal():
    """Product 0 is wanted in the half-year around January, product 1 in the other; two years, up to January."""
    rng = np.random.default_rng(5)
    days = rng.integers(0, 730, 20_000)
    is_winter = np.cos(2 * np.pi * days / 365) > 0
    products = np.where(rng.random(20_000) < np.where(is_winter, 0.8, 0.2), 0, 1)
    return log_of(products, parse_time("2023-01-10T00:00:00Z") + days * DAY + rng.integers(0, DAY, 20_000), 2)


def test_a_month_counts_against_the_season_that_models_have_learned_from():
    """In January they know that it is winter; half a year on, without another refresh, they do not know of summer."""
    patterns = learn_patterns(seasonal(), PatternsConfig(memory_days=10))
    assert patterns.learned == ["month"]
    january, july = (patterns.weights(parse_time(f"2025-{month}-10T12:00:00Z")) for month in ("01", "07"))
    np.testing.assert_allclose(january, 1.0, atol=0.15)
    assert july[0] < 0.5
    assert july[1] > 2


def test_months_pass_into_each_other():
    patterns = learn_patterns(seasonal(), PatternsConfig())
    days = np.array([patterns.weights(parse_time("2025-01-10T12:00:00Z") + day * DAY)[0] for day in range(366)])
    assert np.abs(np.diff(days)).max() < 0.1


def test_seasons_of_a_simulated_shop_are_recovered():
    """Each category's learned year is the wave that its customers' demand was drawn from."""
    config = SimulatorConfig(customers=3_000, products=300, days=380, end="2025-01-01T00:00:00Z", pictures=False)
    shop = Shop.open(config)
    rng, n_days = np.random.default_rng(1), 380
    products, times = [], []
    for day in range(n_days):
        moment = config.moment_of(day)
        wanted = demand_factors(shop.catalogue.assortment, moment)[shop.catalogue.category]
        chosen = rng.choice(len(wanted), 150, p=wanted / wanted.sum())
        products += chosen.tolist()
        times += (moment + rng.integers(0, DAY, 150)).tolist()
    names = [shop.catalogue.assortment.categories[row].path for row in shop.catalogue.category]
    patterns = learn_patterns(log_of(products, times, len(names), names), PatternsConfig())
    assert "month" in patterns.learned
    middles = [parse_time(f"2024-{month:02d}-15T00:00:00Z") for month in range(1, 13)]
    true = np.stack(
        [demand_factors(shop.catalogue.assortment, moment)[shop.catalogue.category] for moment in middles], axis=1
    )
    true /= true.mean(axis=0)
    learned = patterns.factors["month"]
    assert np.corrcoef(learned.ravel(), true.ravel())[0, 1] > 0.95
    assert np.abs(np.log(learned / true)).mean() < 0.15


def test_a_factor_has_bounds():
    products, times = two_kinds()
    patterns = learn_patterns(log_of(products, times, 4), PatternsConfig(most=1.2))
    np.testing.assert_allclose(patterns.weights(MONDAY + 8 * HOUR), [1.2, 1.2, 1 / 1.2, 1 / 1.2], rtol=1e-6)


def test_a_power_of_0_changes_nothing_and_half_of_it_takes_the_root():
    patterns = learn_patterns(log_of(*two_kinds(), 4), PatternsConfig())
    whole, half, none = (patterns.weights(MONDAY + 8 * HOUR, power) for power in (1, 0.5, 0))
    np.testing.assert_allclose(half, np.sqrt(whole), rtol=1e-6)
    assert len(none) == 0


def test_what_was_learned_is_the_same_after_it_was_stored():
    patterns = learn_patterns(log_of(*two_kinds(), 4), PatternsConfig(most=2), "Europe/Berlin")
    again = Patterns.from_arrays(patterns.arrays(), patterns.config.model_dump())
    assert (again.zone, again.config, again.learned) == ("Europe/Berlin", patterns.config, ["hour"])
    for minute in range(0, 24 * 60, 45):
        moment = MONDAY + minute * MINUTE
        np.testing.assert_array_equal(again.weights(moment), patterns.weights(moment))


@pytest.mark.parametrize(
    "patterns", [no_patterns(), Patterns.from_arrays({}, {}), learn_patterns(log_of([], [], 3), PatternsConfig())]
)
def test_without_a_history_there_are_no_patterns(patterns):
    assert (patterns.learned, len(patterns.weights(NOW)), patterns.factors_of(0, NOW)) == ([], 0, [])
    assert set(patterns.arrays()) == {*CYCLES, "zone", "country", "holidays", "as_of"}
