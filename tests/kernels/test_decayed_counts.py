"""Counts that fade."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from active_customers.core.clock import DAY, parse_time
from active_customers.kernels.decayed_counts import add, value

TODAY = parse_time("2025-01-15T12:00:00Z")
SCALE = 2 * DAY

additions = st.lists(st.tuples(st.floats(0.01, 100), st.integers(-40 * DAY, 0)), min_size=1)


@given(additions)
def test_a_count_is_the_sum_of_its_weights_faded_by_age_in_whatever_order_they_came(added):
    counts = np.zeros(3)
    for weight, age in added:
        add(counts, 1, math.log(weight), (TODAY + age) / SCALE)
    expected = math.fsum(weight * math.exp((age - DAY) / SCALE) for weight, age in added)
    assert value(counts, 1, (TODAY + DAY) / SCALE) == pytest.approx(expected, rel=1e-6)
    assert counts[[0, 2]].tolist() == [0, 0]


def test_what_was_never_counted_is_zero():
    assert value(np.zeros(1), 0, TODAY / SCALE) == 0


def test_an_act_at_the_very_beginning_of_time_counts():
    counts = np.zeros(1)
    add(counts, 0, 0.0, 0.0)
    assert value(counts, 0, 0.0) == pytest.approx(1)
