"""Percentiles, spreads and marks mean what they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from benchmarks.plan import Mark
from benchmarks.spread import percentiles, spread
from hypothesis import given
from hypothesis import strategies as st


def test_percentiles_of_known_durations():
    """Of 1 to 1000 ms the nearest ranks are the numbers themselves."""
    found = percentiles(np.arange(1, 1001) * 1_000_000)
    assert found == {"p50_ms": 500, "p90_ms": 900, "p99_ms": 990, "p999_ms": 999, "max_ms": 1000}


def test_a_percentile_is_never_between_two_durations():
    """One slow answer in ten is p99 itself, not something between it and the others."""
    assert percentiles(np.array([1_000] * 9 + [90_000]), "us")["p99_us"] == 90


@given(st.lists(st.integers(1, 9_999), min_size=1, max_size=300))
def test_at_least_its_share_lies_at_or_below_a_percentile(milliseconds):
    """The promise of a percentile, and that it is the least duration that keeps it."""
    found = percentiles(np.array(milliseconds) * 1_000_000)
    for name, share in (("p50_ms", 0.5), ("p90_ms", 0.9), ("p99_ms", 0.99), ("p999_ms", 0.999)):
        assert found[name] in milliseconds
        assert sum(value <= found[name] for value in milliseconds) >= share * len(milliseconds) - 1e-9
        assert sum(value < found[name] for value in milliseconds) < share * len(milliseconds) + 1e-9


def test_a_spread_is_least_median_most():
    """In any order of the rounds."""
    assert spread([5.0, 1.0, 2.0]) == {"min": 1, "median": 2, "max": 5}


@pytest.mark.parametrize(
    ("measured", "least", "met"),
    [(1, False, True), (2, False, True), (3, False, False), (1, True, False), (2, True, True)],
)
def test_a_mark_is_met_on_its_own_side_of_the_limit(measured, least, met):
    """At most, or at least; the limit itself meets both."""
    assert Mark("it", measured, 2, least=least).is_met is met


def test_what_was_not_measured_meets_nothing():
    """A missing measurement is null in the file and no mark is met by it."""
    for least in (False, True):
        mark = Mark("it", math.nan, 2, "s", least=least)
        assert mark.as_dict()["measured"] is None
        assert not mark.is_met
