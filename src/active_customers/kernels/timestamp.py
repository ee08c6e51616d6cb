"""Times written as text, parsed a column at a time.

Accepted: `2025-01-01`, `2025-01-01T12:00`, with seconds, with a fraction (digits beyond the microsecond are cut off), a
space or a small t for the T, and a zone: `Z`, ` UTC`, `+01:00`, `+0100`. Without a zone the time is taken as UTC.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from active_customers.kernels.jit import kernel
from active_customers.kernels.row_key import Text

Bytes = NDArray[np.uint8]

_MINUS, _PLUS, _COLON, _DOT, _SPACE, _T, _SMALL_T, _Z, _SMALL_Z = (ord(sign) for sign in "-+:. TtZz")
_U, _C = ord("U"), ord("C")
_ZERO = ord("0")
_MICROSECONDS = 1_000_000
_NO_DAY = -1_000_000


@kernel
def _digits(data: Bytes, at: int, count: int, end: int) -> int:
    """Return the number written in `count` digits, or a number below -1e9 when there are not so many."""
    if at + count > end:
        return -1_000_000_000_000
    value = 0
    for i in range(at, at + count):
        digit = int(data[i]) - _ZERO
        if digit < 0 or digit > 9:
            return -1_000_000_000_000
        value = value * 10 + digit
    return value


@kernel
def _days(year: int, month: int, day: int) -> int:
    """Return days since 1970-01-01 in the Gregorian calendar, or `_NO_DAY` when there is no such day from 1969 on."""
    leap = (year % 4 == 0 and year % 100 != 0) or year % 400 == 0
    if year < 1969 or month < 1 or month > 12 or day < 1:
        return _NO_DAY
    last = 31 - (month - 1) % 7 % 2
    if month == 2:
        last = 29 if leap else 28
    if day > last:
        return _NO_DAY
    # Count from March, so that the leap day is the last of its year.
    shifted_year, shifted_month = (year, month - 3) if month > 2 else (year - 1, month + 9)
    day_of_year = (153 * shifted_month + 2) // 5 + day - 1
    return shifted_year * 365 + shifted_year // 4 - shifted_year // 100 + shifted_year // 400 + day_of_year - 719468


@kernel
def _zone(data: Bytes, at: int, end: int) -> int:
    """Return the seconds that the zone is ahead of UTC, or 1e9 when the rest is no zone."""
    if at == end:
        return 0
    if end - at == 4 and data[at] == _SPACE and data[at + 1] == _U and data[at + 2] == _T and data[at + 3] == _C:
        return 0
    if end - at == 1 and (data[at] == _Z or data[at] == _SMALL_Z):
        return 0
    sign = data[at]
    colon = 1 if end - at == 6 and data[at + 3] == _COLON else 0
    if sign not in (_PLUS, _MINUS) or end - at != 5 + colon:
        return 1_000_000_000
    hours, minutes = _digits(data, at + 1, 2, end), _digits(data, at + 3 + colon, 2, end)
    if hours < 0 or hours > 23 or minutes < 0 or minutes > 59:
        return 1_000_000_000
    ahead = hours * 3600 + minutes * 60
    return ahead if sign == _PLUS else -ahead


@kernel
def _fraction(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """Return (microseconds, where the fraction ends); (-1, at) when a dot has no digit after it."""
    if at == end or data[at] != _DOT:
        return 0, at
    start = at + 1
    at = start
    value = 0
    while at < end and _ZERO <= data[at] <= _ZERO + 9:
        if at - start < 6:
            value = value * 10 + int(data[at]) - _ZERO
        at += 1
    for _ in range(at - start, 6):
        value *= 10
    return (value, at) if at > start else (-1, at)


@kernel
def _clock(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """Return (microseconds since midnight, where the zone begins) of `T12:00:00.5`; (-1, at) when it is none."""
    if at == end:
        return 0, at
    hour, minute = _digits(data, at + 1, 2, end), _digits(data, at + 4, 2, end)
    separator = data[at]
    if separator not in (_T, _SMALL_T, _SPACE) or hour < 0 or hour > 23:
        return -1, at
    if minute < 0 or minute > 59 or data[at + 3] != _COLON:
        return -1, at
    at += 6
    second, fraction = 0, 0
    if at < end and data[at] == _COLON:
        second = _digits(data, at + 1, 2, end)
        fraction, at = _fraction(data, at + 3, end)
        if second < 0 or second > 59 or fraction < 0:
            return -1, at
    return (hour * 3600 + minute * 60 + second) * _MICROSECONDS + fraction, at


@kernel
def _time(data: Bytes, begin: int, end: int) -> int:
    """Return microseconds since the epoch, or -1."""
    year, month = _digits(data, begin, 4, end), _digits(data, begin + 5, 2, end)
    day = _digits(data, begin + 8, 2, end)
    if year < 0 or month < 0 or day < 0 or data[begin + 4] != _MINUS or data[begin + 7] != _MINUS:
        return -1
    days = _days(year, month, day)
    clock, at = _clock(data, begin + 10, end)
    ahead = _zone(data, at, end) if clock >= 0 else 1_000_000_000
    if days == _NO_DAY or ahead == 1_000_000_000:
        return -1
    return max(-1, (days * 86_400 - ahead) * _MICROSECONDS + clock)


@kernel
def parse_times(text: Text, out: NDArray[np.int64]) -> None:
    """Write each row's time in microseconds since the epoch to `out` int64[n]; -1 where there is none to be read.

    A time before 1970 is none, as in `core.clock.parse_time`.
    """
    offsets, data, valid = text
    for row in range(len(out)):
        out[row] = _time(data, offsets[row], offsets[row + 1]) if valid[row] else -1
