from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from active_customers.core.clock import parse_time
from active_customers.core.identifiers import canonical_id
from active_customers.importing.details import details_of, objects_of, quoted
from active_customers.importing.values import ids_of, numbers_of, text_of, times_of

T = parse_time("2020-06-01T10:00:00Z")
MOMENT = datetime(2020, 6, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    "array",
    [
        pa.array([12345, None]),
        pa.array([12345, None], pa.uint32()),
        pa.array([12345.0, float("nan")]),
        pa.array([12345.0, None], pa.float32()),
        pa.array(["12345", None]),
        pa.array(["12345", ""]),
        pa.array(["12345", None], pa.large_string()),
        pa.array(["12345", None]).dictionary_encode(),
        pa.array([12345, None]).dictionary_encode(),
    ],
    ids=lambda array: str(array.type),
)
def test_one_id_is_the_same_in_every_type(array):
    text, bad = ids_of(array)
    assert text.to_pylist() == ["12345", None]
    assert not bad.any()


@given(st.lists(st.text(max_size=140)))
def test_text_is_an_id_when_the_api_would_take_it(values):
    def accepted(value: str) -> bool:
        try:
            return canonical_id(value) == value
        except ValueError:
            return value == ""  # in a file that is no value

    _, bad = ids_of(pa.array(values, pa.string()))
    assert (~bad).tolist() == [accepted(value) for value in values]


def test_only_where_a_preset_says_so_text_like_a_float_is_an_integer():
    array = pa.array(["17850.0", "1.50", "a.0"])
    assert ids_of(array)[0].to_pylist() == ["17850.0", "1.50", "a.0"]
    assert ids_of(array, whole=True)[0].to_pylist() == ["17850", "1.50", "a.0"]


@given(st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70)))
def test_written_numbers_are_read_as_python_reads_them(values):
    written = [None if value is None else repr(value) for value in values]
    found = numbers_of(pa.array([*written, "x"], pa.string()))
    assert found.bad.tolist() == [False] * len(values) + [True]
    assert found.present.tolist() == [value is not None for value in values] + [True]
    read = found.values[:-1][found.present[:-1]].tolist()
    assert read == [float(value) for value in values if value is not None]


@pytest.mark.parametrize(
    ("array", "unit"),
    [
        (pa.array([MOMENT], pa.timestamp("us", "UTC")), None),
        (pa.array([MOMENT], pa.timestamp("ns", "Europe/Berlin")), None),
        (pa.array([MOMENT.replace(tzinfo=None)], pa.timestamp("ms")), None),
        (pa.array(["2020-06-01T12:00:00+02:00"]), None),
        (pa.array(["2020-06-01T12:00:00+02:00"]).dictionary_encode(), "ms"),
        (pa.array([T // 1_000_000]), "s"),
        (pa.array([T / 1_000_000]), "s"),
        (pa.array([T // 1000], pa.uint64()), "ms"),
        (pa.array([T]), "us"),
        (pa.array([str(T // 1_000_000)]), "s"),
        (pa.array([f"{T / 1_000_000:.3f}"]), "s"),
        (pa.array([str(T)]), "us"),
    ],
    ids=str,
)
def test_one_moment_is_the_same_however_it_is_given(array, unit):
    times, bad = times_of(array, unit)
    assert times.tolist() == [T]
    assert not bad.any()


def test_days_are_midnights_and_other_formats_are_tried_after_the_standard():
    assert times_of(pa.array([date(2020, 6, 1)]))[0].tolist() == [parse_time("2020-06-01T00:00:00Z")]
    times, bad = times_of(
        pa.array(["6/1/2020 10:00", "2020-06-01T10:00:00Z", "6/31/2020", None]), None, ("%m/%d/%Y %H:%M",)
    )
    assert times.tolist() == [T, T, -1, -1]
    assert bad.tolist() == [False, False, True, False]


def test_numbers_without_a_unit_are_no_times():
    times, bad = times_of(pa.array([T, None]))
    assert times.tolist() == [-1, -1]
    assert bad.tolist() == [True, False]


def test_other_numbers_keep_their_digits_as_text():
    assert text_of(pa.array([1.5, -0.25, 1e300, float("inf")])).to_pylist() == ["1.5", "-0.25", "1e+300", "inf"]
    assert text_of(pa.array([np.nan, 3.0])).to_pylist() == [None, "3"]


def test_details_hold_what_a_row_has_and_nothing_else():
    fields = {
        "query": quoted(pa.array(['say "hi"\n', None, None])),
        "metadata": objects_of(pa.array([None, None, '{"a": [1, "}"]}'])),
        "consent": quoted(pa.nulls(3, pa.string())),
    }
    assert details_of(fields).to_pylist() == ['{"query":"say \\"hi\\"\\n"}', None, '{"metadata":{"a":[1,"}"]}}']


def test_arrow_structures_and_maps_are_objects():
    structs = pa.array([{"a": 1, "b": None}, None])
    maps = pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64()))
    assert objects_of(structs).to_pylist() == ['{"a":1,"b":null}', None]
    assert objects_of(maps).to_pylist() == ['{"k":1}', None]
    assert objects_of(pa.array([[1], None])).to_pylist() == [None, None]
