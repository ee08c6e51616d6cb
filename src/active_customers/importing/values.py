"""Arrow columns of any type as the values of fields: text, ids, numbers, times. Whole columns at a time.

Each function gives the values and a mask of rows whose value cannot be read; "no value" (null, empty text) is not one
of those.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from active_customers.core.identifiers import MAX_ID_LENGTH, MAX_JSON_INTEGER, canonical_id
from active_customers.kernels.row_key import Text
from active_customers.kernels.timestamp import parse_times

Mask = NDArray[np.bool_]

ID_REMEDY = f"give an integer in 0..2^53-1, or text of 1 to {MAX_ID_LENGTH} printable characters"

_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$"
_WHOLE = r"^([0-9]+)\.0+$"
_PER_UNIT = {"s": 1_000_000, "ms": 1_000, "us": 1}
_FARTHEST = float(1 << 60)


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers of a column. Shapes: values float64[n] (NaN where there is none), present bool[n], bad bool[n]."""

    values: NDArray[np.float64]
    present: Mask
    bad: Mask


def mask_of(array: pa.BooleanArray) -> Mask:
    """Return a boolean column as a mask; null is False."""
    mask: Mask = np.asarray(pc.fill_null(array, False))
    return mask


def present(array: pa.Array) -> Mask:
    """Return which rows have a value."""
    return mask_of(array.is_valid())


def text_of(array: pa.Array) -> pa.StringArray:
    """Return a column as text; empty text is no value, and a float that is an integer reads as one (17850.0: 17850)."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        return text_of(array.cast(kind.value_type))
    if pa.types.is_floating(kind):
        numbers = array.cast(pa.float64())
        whole = pc.and_(pc.equal(pc.floor(numbers), numbers), pc.less(pc.abs(numbers), float(MAX_JSON_INTEGER)))
        integers = pc.if_else(whole, numbers, None).cast(pa.int64()).cast(pa.string())
        other = pc.if_else(pc.is_nan(numbers), None, numbers).cast(pa.string())
        return pc.coalesce(integers, other)
    text = array.cast(pa.string())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pc.if_else(pc.equal(text, ""), None, text)
    return text


def ids_of(array: pa.Array, whole: bool = False) -> tuple[pa.StringArray, Mask]:
    """Return ids in their canonical form (see `core.identifiers`)."""
    if pa.types.is_integer(array.type):
        outside = pc.or_(pc.less(array, 0), pc.greater(array, MAX_JSON_INTEGER))
        return array.cast(pa.string()), mask_of(outside)
    text = text_of(array)
    if whole:
        text = pc.replace_substring_regex(text, _WHOLE, r"\1")
    plain = mask_of(pc.and_(pc.ascii_is_printable(text), pc.less_equal(pc.binary_length(text), MAX_ID_LENGTH)))
    unsure = np.flatnonzero(present(text) & ~plain)
    bad = np.zeros(len(text), np.bool_)
    bad[unsure] = [not _is_id(value) for value in text.take(pa.array(unsure)).to_pylist()]
    if pa.types.is_floating(array.type):
        bad |= mask_of(pc.match_substring_regex(text, "[^0-9]"))
    return text, bad


def _is_id(value: str) -> bool:
    try:
        canonical_id(value)
    except ValueError:
        return False
    return True


def numbers_of(array: pa.Array) -> Numbers:
    """Return a column as finite numbers."""
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.string())
    if _is_textual(array.type):
        array = text_of(array)
        given = present(array)
        try:
            numbers = array.cast(pa.float64())
        except pa.ArrowInvalid:
            numbers = pc.if_else(pc.match_substring_regex(array, _NUMBER), array, None).cast(pa.float64())
    else:
        given = present(array)
        numbers = array.cast(pa.float64(), safe=False)
        if pa.types.is_floating(array.type):  # a file without nulls says NaN
            given &= ~mask_of(pc.is_nan(numbers))
    values = numbers.to_numpy(zero_copy_only=False).astype(np.float64)
    return Numbers(values, given, given & ~np.isfinite(values))


def times_of(array: pa.Array, unit: str | None = None, formats: tuple[str, ...] = ()) -> tuple[NDArray[np.int64], Mask]:
    """Return times in microseconds since the epoch; -1 where there is none that can be read."""
    if pa.types.is_timestamp(array.type) or pa.types.is_date(array.type):
        moments = array.cast(pa.timestamp("us"), safe=False) if pa.types.is_date(array.type) else array
        moments = moments.cast(pa.timestamp("us", moments.type.tz), safe=False).cast(pa.int64())
        times = np.asarray(pc.fill_null(moments, -1))
        return times, present(array) & (times < 0)
    if not _is_textual(array.type):
        numbers = numbers_of(array)
        times = _epoch_times(numbers, unit)
        return times, numbers.present & (times < 0)
    text = text_of(array)
    times = np.empty(len(text), np.int64)
    parse_times(buffers_of(text), times)
    given = present(text)
    for pattern in formats:
        if (given & (times < 0)).any():
            found = pc.strptime(text, format=pattern, unit="us", error_is_null=True).cast(pa.int64())
            times = np.where(times < 0, np.asarray(pc.fill_null(found, -1)), times)
    if unit and (given & (times < 0)).any():
        times = np.where(times < 0, _epoch_times(numbers_of(text), unit), times)
    return times, given & (times < 0)


def _epoch_times(numbers: Numbers, unit: str | None) -> NDArray[np.int64]:
    times = np.full(len(numbers.values), -1, np.int64)
    if unit is not None:
        scaled = np.rint(numbers.values * _PER_UNIT[unit])
        usable = numbers.present & ~numbers.bad & (scaled >= 0) & (scaled < _FARTHEST)
        times[usable] = scaled[usable].astype(np.int64)
    return times


def codes_of(text: pa.StringArray, code_of: Callable[[str], int]) -> NDArray[np.int16]:
    """Return the code of each row's word, asked for once per different word; -1 where there is no value."""
    encoded = text.dictionary_encode()
    codes = np.array([*map(code_of, encoded.dictionary.to_pylist()), -1], np.int16)
    return codes.take(np.asarray(pc.fill_null(encoded.indices, -1)))


def rewritten(text: pa.StringArray, rewrite: Callable[[str], str | None]) -> pa.StringArray:
    """Return the column with each different value rewritten; None makes it no value."""
    encoded = text.dictionary_encode()
    values: list[Any] = [rewrite(value) for value in encoded.dictionary.to_pylist()]
    return pa.array(values, pa.string()).take(encoded.indices)


def buffers_of(text: pa.StringArray) -> Text:
    """Return a column of text as kernels take it; nothing is copied."""
    _, offsets, data = text.buffers()
    if offsets is None or len(text) == 0:
        return np.zeros(len(text) + 1, np.int32), np.empty(0, np.uint8), np.zeros(len(text), np.bool_)
    starts = np.frombuffer(offsets, np.int32, len(text) + 1, 4 * text.offset)
    content = np.frombuffer(data, np.uint8) if data is not None and data.size else np.empty(0, np.uint8)
    return starts, content, present(text)


def _is_textual(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_textual(kind.value_type)
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_null(kind)
    )
