"""Holidays and channels are learned as they are, told once beside months and hours, and not learned from chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.models.test_patterns import log_of

from active_customers.core.clock import DAY, HOUR, parse_time
from active_customers.core.event import Channel
from active_customers.models.holiday_calendar import countries, country_meant, holidays_ahead
from active_customers.models.patterns import Patterns, PatternsConfig, Place, learn_patterns

BEGIN = parse_time("2023-01-01T00:00:00Z")
CONFIG = PatternsConfig(memory_days=10)


def days_of(*dates):
    return np.array([parse_time(f"{day}T00:00:00Z") // DAY for day in dates])


def gifts(seed=1, days=760, lift=2.5, name="Good Friday", country="GB"):
    """Product 0 is wanted `lift` times as much in the run-up to a holiday, of nine others none is; 60 visits a day."""
    rng = np.random.default_rng(seed)
    ahead = np.array(holidays_ahead(country, BEGIN // DAY + np.arange(days), 14))
    products, times = [], []
    for day in range(days):
        wanted = np.ones(10)
        wanted[0] = lift if ahead[day] == name else 1
        products += rng.choice(10, 60, p=wanted / wanted.sum()).tolist()
        times += (BEGIN + day * DAY + rng.integers(0, DAY, 60)).tolist()
    return log_of(products, times, 10)


def test_a_movable_feast_is_recovered_and_found_again_on_another_date():
    """Its share before Easter is 2.5 / 11.5, and else 1 / 10: 2.17 times as much, wherever Easter lies."""
    patterns = learn_patterns(gifts(), CONFIG, "UTC", "GB")
    assert patterns.place.holidays == ("Good Friday",)
    easter, other = (patterns.weights(parse_time(f"2025-{day}T12:00:00Z"))[0] for day in ("04-10", "07-10"))
    assert easter == pytest.approx(2.17, abs=0.35)
    assert other == pytest.approx(1, abs=0.1)
    assert patterns.weights(parse_time("2026-03-30T12:00:00Z"))[0] == pytest.approx(easter, abs=0.2)
    assert patterns.weights(parse_time("2026-04-10T12:00:00Z"))[0] < 1.3


def test_christmas_and_december_are_told_once():
    """The month and the holiday come to the true 2.17 at most, shrunk as one of 120 counts is; told twice, to more."""
    config = PatternsConfig(most=10, memory_days=10)
    patterns = learn_patterns(gifts(name="Christmas Day"), config, "UTC", "GB")
    assert patterns.learned == ["month", "holiday"]
    assert patterns.place.holidays == ("Christmas Day",)
    december, july = (patterns.weights(parse_time(f"2025-{day}T12:00:00Z"))[0] for day in ("12-18", "07-10"))
    assert 1.5 < december / july < 2.3


@pytest.mark.parametrize("seed", range(5))
def test_from_chance_no_holiday_and_no_channel_is_learned(seed):
    rng = np.random.default_rng(seed)
    log = log_of(rng.integers(0, 50, 8_000), BEGIN + rng.integers(0, 760 * DAY, 8_000), 50, ["a", "b"] * 25)
    log = replace(log, channels=rng.integers(0, 5, 8_000).astype(np.uint8))
    assert learn_patterns(log, CONFIG, "UTC", "GB").learned == []


def test_without_a_country_there_are_no_holidays():
    assert "holiday" not in learn_patterns(gifts(), CONFIG).learned


@pytest.mark.parametrize(("days", "learned"), [(80, ()), (94, ()), (125, ("Good Friday",))])
def test_a_run_up_has_to_be_seen_whole_beside_enough_other_days(days, learned):
    """Good Friday of 2023 was on 7 April, the 97th day: a log that ends before says nothing of it."""
    patterns = learn_patterns(gifts(days=days, lift=5), PatternsConfig(significance=2), "UTC", "GB")
    assert patterns.place.holidays == learned


def test_what_models_learned_before_a_holiday_is_not_told_twice():
    """Who was trained on the eve of Easter knows already most of what it brings."""
    log = gifts()
    late = replace(log, as_of=parse_time("2024-03-28T00:00:00Z"))
    early = learn_patterns(log, CONFIG, "UTC", "GB")
    knowing = Patterns(early.factors, early.place, late.as_of, CONFIG)
    easter = parse_time("2024-03-28T12:00:00Z")
    assert 1 < knowing.weights(easter)[0] < early.weights(easter)[0] - 0.3


def test_run_ups_cross_the_end_of_a_year_and_the_29th_of_february():
    days = days_of("2024-12-25", "2024-12-26", "2024-12-31", "2025-01-01", "2025-01-02")
    assert holidays_ahead("GB", days, 14) == ["Christmas Day", "Boxing Day", "New Year's Day", "New Year's Day", ""]
    leap = days_of("2024-02-29", "2024-03-15", "2024-03-16")
    assert holidays_ahead("GB", leap, 14) == ["", "", "Good Friday"]
    assert holidays_ahead("", leap, 14) == ["", "", ""]


def test_a_holiday_begins_at_the_midnight_of_the_shop():
    factors = {"holiday": np.array([[1, 2]], np.float32)}
    at = parse_time("2025-01-01T08:00:00Z")  # in Auckland it is the 2nd, in London the 1st
    told = [
        Patterns(factors, Place(zone, "GB", ("New Year's Day",)), BEGIN + 200 * DAY, CONFIG).weights(at + 4 * HOUR)[0]
        for zone in ("Europe/London", "Pacific/Auckland")
    ]
    assert told == pytest.approx([2, 1])


def channelled(lift=3.0, seed=2, *, evening=False):
    """Half of all acts are mobile; product 0 is wanted `lift` times as much there, or at night when all are mobile."""
    rng = np.random.default_rng(seed)
    n = 12_000
    hours = rng.integers(0, 24, n)
    mobile = rng.random(n) < (np.where(hours >= 18, 0.9, 0.3) if evening else 0.5)
    more = hours >= 18 if evening else mobile
    chance = np.where(more, lift / (lift + 9), 0.1)
    products = np.where(rng.random(n) < chance, 0, rng.integers(1, 10, n))
    log = log_of(products, BEGIN + rng.integers(0, 90, n) * DAY + hours * HOUR, 10)
    return replace(log, channels=(mobile + 1).astype(np.uint8)[log.customers])


def test_a_wave_of_channels_is_recovered():
    """Of a share of 0.25 on mobile and 0.1 on the web, 0.175 on average: 1.43 and 0.57 times as much."""
    patterns = learn_patterns(channelled(), CONFIG)
    assert patterns.learned == ["channel"]
    web, mobile = (patterns.weights(BEGIN, channel=channel)[0] for channel in (Channel.WEB, Channel.MOBILE))
    assert [web, mobile] == pytest.approx([0.57, 1.43], abs=0.1)
    assert len(patterns.weights(BEGIN)) == 0


def test_what_the_hour_explains_is_not_told_of_the_channel_as_well():
    assert learn_patterns(channelled(evening=True), CONFIG).learned == ["hour"]


def test_places_and_channels_are_the_same_after_they_were_stored():
    log = replace(gifts(), channels=channelled().channels.repeat(4)[:45_600])
    patterns = learn_patterns(log, CONFIG, "UTC", "GB")
    again = Patterns.from_arrays(patterns.arrays(), CONFIG.model_dump())
    assert again.place == patterns.place == Place("UTC", "GB", ("Good Friday",))


def test_a_country_is_checked_and_the_one_that_was_meant_is_named():
    assert {"GB", "DE"} <= countries()
    assert [country_meant(given) for given in ("UK", "gb", "Germny")] == [
        "did you mean GB?",
        "did you mean GB?",
        "did you mean DE?",
    ]
    assert "ISO 3166" in country_meant("QQ")
