from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from active_customers.importing.values import buffers_of
from active_customers.kernels.timestamp import parse_times


def parsed(*texts: str | None) -> list[int]:
    out = np.empty(len(texts), np.int64)
    parse_times(buffers_of(pa.array(texts, pa.string())), out)
    return out.tolist()


def twin(text: str) -> int:
    """The same in plain Python, for what `datetime` writes."""
    moment = datetime.fromisoformat(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(-1, (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1))


zones = st.none() | st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(datetime(1902, 1, 1), datetime(2200, 1, 1), timezones=zones)  # noqa: DTZ001


@given(st.lists(st.tuples(moments, st.sampled_from("T "), st.sampled_from(["minutes", "seconds", "microseconds"]))))
def test_the_kernel_equals_its_plain_twin(written):
    texts = [moment.isoformat(separator, precision) for moment, separator, precision in written]
    assert parsed(*texts) == [twin(text) for text in texts]


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2019-10-01 00:00:00 UTC", "2019-10-01T00:00:00+00:00"),
        ("2019-10-01", "2019-10-01T00:00:00Z"),
        ("2019-10-01t07:30z", "2019-10-01T07:30:00Z"),
        ("2019-10-01T07:30+0130", "2019-10-01T06:00:00Z"),
        ("2019-10-01T07:30:00.1234567Z", "2019-10-01T07:30:00.123456Z"),
        ("1969-12-31T19:00:00-05:00", "1970-01-01T00:00:00Z"),
        ("2020-02-29T23:59:59.5Z", "2020-02-29T23:59:59.500000Z"),
    ],
)
def test_the_common_ways_of_writing_a_time_are_understood(text, same):
    assert parsed(text) == [twin(same)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2019-10",
        "2019-13-01",
        "2019-02-29",
        "2100-02-29",
        "2019-04-31",
        "2019-00-10",
        "2019-10-01T24:00",
        "2019-10-01T10:60",
        "2019-10-01T10:00:60",
        "2019-10-01T10:00:00.",
        "2019-10-01T10:00:00+25:00",
        "2019-10-01T10:00:00 CET",
        "2019-10-01T10",
        "2019-10-01X10:00",
        "2019-10-01T10:00:00Zjunk",
        "1969-12-31T23:59:59Z",
        "12/1/2010 8:26",
        "1593536687",
    ],
)
def test_what_is_no_time_from_1970_on_is_refused(text):
    assert parsed(text) == [-1]


def test_no_text_is_no_time():
    assert parsed(None, "1970-01-01", None) == [-1, 0, -1]
