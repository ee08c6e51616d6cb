import pytest
from hypothesis import given
from hypothesis import strategies as st

from active_customers.core.clock import day_of, format_time, parse_time


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2025-01-01T12:00:00Z", 1735732800), ("2025-01-01T13:00:00+01:00", 1735732800), ("1970-01-01T00:00:00Z", 0)],
)
def test_timestamps_with_a_zone_are_read(text, seconds):
    assert parse_time(text) == seconds * 1_000_000


@pytest.mark.parametrize(
    "text", ["2025-01-01T12:00:00", "1969-12-31T23:59:59Z", "yesterday", "", "2025-13-01T00:00:00Z"]
)
def test_others_are_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011 - the messages are the standard library's
        parse_time(text)


@given(st.integers(min_value=0, max_value=4_102_444_800_000_000))
def test_times_survive_being_written(time):
    assert parse_time(format_time(time)) == time


def test_days_are_utc():
    assert day_of(parse_time("2025-01-01T23:30:00-02:00")) == "2025-01-02"
