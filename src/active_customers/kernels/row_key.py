"""A 128-bit hash of rows: two 64-bit streams that take in one column after the other.

The value is stored (it is how an import knows a row again), so it must never change: the same on every machine and in
every version. It guards against chance, not against an enemy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from active_customers.kernels.jit import kernel

Lanes = NDArray[np.uint64]
Text = tuple[NDArray[np.int32], NDArray[np.uint8], NDArray[np.bool_]]
"""A column of text: offsets int32[n + 1] into data uint8[any], and whether each row has a value."""

# Odd constants with about as many ones as zeros; one pair for each lane.
_FACTOR_A = np.uint64(0xC2B2AE3D27D4EB4F)
_FACTOR_B = np.uint64(0x9E3779B185EBCA87)
_FACTOR_C = np.uint64(0x165667B19E3779F9)
_FACTOR_D = np.uint64(0xD6E8FEB86659FD93)
_SEED_LOW = np.uint64(0x243F6A8885A308D3)
_SEED_HIGH = np.uint64(0x13198A2E03707344)
_MIX_1 = np.uint64(0xFF51AFD7ED558CCD)
_MIX_2 = np.uint64(0xC4CEB9FE1A85EC53)
_BYTES = tuple(np.uint64(8 * i) for i in range(8))
_LEFT_LOW, _RIGHT_LOW = np.uint64(31), np.uint64(33)
_LEFT_HIGH, _RIGHT_HIGH = np.uint64(27), np.uint64(37)
_FOLD = np.uint64(33)


@kernel
def _take(lanes: Lanes, row: int, word: np.uint64) -> None:
    low = lanes[row, 0] + word * _FACTOR_A
    lanes[row, 0] = ((low << _LEFT_LOW) | (low >> _RIGHT_LOW)) * _FACTOR_B
    high = lanes[row, 1] ^ (word * _FACTOR_C)
    lanes[row, 1] = ((high << _LEFT_HIGH) | (high >> _RIGHT_HIGH)) * _FACTOR_D + _FACTOR_A


@kernel
def _mixed(value: np.uint64) -> np.uint64:
    value = (value ^ (value >> _FOLD)) * _MIX_1
    value = (value ^ (value >> _FOLD)) * _MIX_2
    return value ^ (value >> _FOLD)


@kernel
def start_keys(lanes: Lanes) -> None:
    """Make `lanes` uint64[n, 2] ready to take in columns."""
    for row in range(len(lanes)):
        lanes[row, 0] = _SEED_LOW
        lanes[row, 1] = _SEED_HIGH


@kernel
def take_words(lanes: Lanes, words: Lanes) -> None:
    """Take in a column of 64-bit words, uint64[n]."""
    for row in range(len(lanes)):
        _take(lanes, row, words[row])


@kernel
def take_text(lanes: Lanes, text: Text) -> None:
    """Take in a column of text; "no value" differs from the empty text, and no two columns run into each other."""
    offsets, data, valid = text
    for row in range(len(lanes)):
        if not valid[row]:
            _take(lanes, row, np.uint64(0))
            continue
        begin, end = offsets[row], offsets[row + 1]
        _take(lanes, row, np.uint64(end - begin + 1))
        for at in range(begin, end, 8):
            word = np.uint64(0)
            for i in range(min(8, end - at)):
                word |= np.uint64(data[at + i]) << _BYTES[i]
            _take(lanes, row, word)


@kernel
def finish_keys(lanes: Lanes) -> None:
    """Turn the lanes into keys: every bit taken in changes about half of the 128."""
    for row in range(len(lanes)):
        low, high = _mixed(lanes[row, 0]), _mixed(lanes[row, 1])
        low += high
        high += low
        low, high = _mixed(low), _mixed(high)
        low += high
        lanes[row, 0] = low
        lanes[row, 1] = high + low
