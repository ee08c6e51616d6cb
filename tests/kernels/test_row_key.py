from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from active_customers.importing.values import buffers_of
from active_customers.kernels.row_key import finish_keys, start_keys, take_text, take_words

BITS = (1 << 64) - 1


def twin(cells: list[str | int | None]) -> tuple[int, int]:
    """The key of one row in plain Python."""
    low, high = 0x243F6A8885A308D3, 0x13198A2E03707344
    for cell in cells:
        for word in words_of(cell):
            low = (low + word * 0xC2B2AE3D27D4EB4F) & BITS
            low = ((low << 31 | low >> 33) * 0x9E3779B185EBCA87) & BITS
            high = (high ^ word * 0x165667B19E3779F9) & BITS
            high = ((high << 27 | high >> 37) * 0xD6E8FEB86659FD93 + 0xC2B2AE3D27D4EB4F) & BITS
    low, high = mixed(low), mixed(high)
    low = (low + high) & BITS
    high = (high + low) & BITS
    low, high = mixed(low), mixed(high)
    low = (low + high) & BITS
    return low, (high + low) & BITS


def words_of(cell: str | int | None) -> list[int]:
    if cell is None:
        return [0]
    if isinstance(cell, int):
        return [cell]
    data = cell.encode()
    return [len(data) + 1, *(int.from_bytes(data[i : i + 8], "little") for i in range(0, len(data), 8))]


def mixed(value: int) -> int:
    value = ((value ^ value >> 33) * 0xFF51AFD7ED558CCD) & BITS
    value = ((value ^ value >> 33) * 0xC4CEB9FE1A85EC53) & BITS
    return value ^ value >> 33


def keys(texts: list[str | None], numbers: list[int]) -> list[tuple[int, int]]:
    lanes = np.empty((len(texts), 2), np.uint64)
    start_keys(lanes)
    take_text(lanes, buffers_of(pa.array(texts, pa.string())))
    take_words(lanes, np.array(numbers, np.uint64))
    finish_keys(lanes)
    return [(int(low), int(high)) for low, high in lanes]


@given(st.lists(st.tuples(st.none() | st.text(max_size=30), st.integers(0, BITS)), max_size=20))
def test_the_kernel_equals_its_plain_twin(rows):
    assert keys([text for text, _ in rows], [number for _, number in rows]) == [twin(list(row)) for row in rows]


def test_the_keys_of_known_rows_never_change():
    assert [f"{low:016x}{high:016x}" for low, high in keys(["SKU-9", "", None], [1, 1, 1])] == [
        "3aad39d4c5b6b2e1684079310f89ef9e",
        "d9670d25e443fc53dcb1d3a6537da1de",
        "ce2a2a9379164746abccc686c35d4168",
    ]


def test_a_slice_of_a_column_is_hashed_as_its_own_rows():
    whole = pa.array(["a", "bc", None, "ü" * 9])
    lanes = np.empty((2, 2), np.uint64)
    start_keys(lanes)
    take_text(lanes, buffers_of(whole.slice(2)))
    finish_keys(lanes)
    assert [tuple(map(int, row)) for row in lanes] == [twin([None]), twin(["ü" * 9])]


@pytest.mark.parametrize("lane", [0, 1])
def test_many_rows_that_differ_little_have_different_halves(lane):
    found = keys([f"customer-{i}" for i in range(50_000)], [0] * 50_000)
    assert len({key[lane] for key in found}) == 50_000
