"""Which slot a session has, and which session acted longest ago: what only the writer of the live index needs.

A hash table with linear probing (Knuth, TAOCP 3, 6.4, algorithms L and R) finds the slot of a session number; a doubly
linked list through the slots holds them in the order of their last acts in the log; slots given back are used again.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.kernels.jit import kernel

USED, FREE, OLDEST, NEWEST, ALIVE = range(5)
"""Words of `Directory.state`: slots ever used, then slots plus one (0 for none), then how many sessions there are."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class Directory(NamedTuple):
    """Private memory of the writer: session numbers and links (slot + 1, 0 for none) by slot, and the hash table.

    `table` holds slot + 1, or 0 where it is empty; its length is a power of two, at least twice the number of slots.
    """

    sessions: NDArray[np.int64]
    older: NDArray[np.int32]
    newer: NDArray[np.int32]
    table: NDArray[np.int32]
    state: NDArray[np.int64]


def empty_directory(n_slots: int) -> Directory:
    """Allocate a directory; the memory is used as the slots are."""
    return Directory(
        sessions=np.zeros(n_slots, np.int64),
        older=np.zeros(n_slots, np.int32),
        newer=np.zeros(n_slots, np.int32),
        table=np.zeros(1 << (2 * n_slots - 1).bit_length(), np.int32),
        state=np.zeros(5, np.int64),
    )


@kernel
def find(directory: Directory, session: int) -> int:
    """Return the slot of a session, or -1."""
    slot: int = directory.table[_place(directory, session)] - 1
    return slot


@kernel
def has_free_slot(directory: Directory, n_slots: int) -> bool:
    """Whether one of the first `n_slots` slots is free."""
    return bool(directory.state[FREE] != 0 or directory.state[USED] < n_slots)


@kernel
def take(directory: Directory, session: int) -> int:
    """Give a free slot to a session that has none, as the newest; return it."""
    state = directory.state
    slot = state[FREE] - 1
    if slot >= 0:
        state[FREE] = directory.newer[slot]
    else:
        slot = state[USED]
        state[USED] += 1
    directory.sessions[slot] = session
    directory.table[_place(directory, session)] = slot + 1
    state[ALIVE] += 1
    _link_newest(directory, slot)
    return int(slot)


@kernel
def touch(directory: Directory, slot: int) -> None:
    """Make a session the newest."""
    if directory.state[NEWEST] != slot + 1:
        _unlink(directory, slot)
        _link_newest(directory, slot)


@kernel
def release(directory: Directory, slot: int) -> None:
    """Take the slot of a session back."""
    _unlink(directory, slot)
    _empty_place(directory, _place(directory, directory.sessions[slot]))
    directory.sessions[slot] = 0
    directory.newer[slot] = directory.state[FREE]
    directory.state[FREE] = slot + 1
    directory.state[ALIVE] -= 1


@kernel
def by_age(directory: Directory) -> NDArray[np.int64]:
    """Return the slots in use, the one that acted longest ago first."""
    slots = np.empty(directory.state[ALIVE], np.int64)
    slot = directory.state[OLDEST] - 1
    for i in range(len(slots)):
        slots[i] = slot
        slot = directory.newer[slot] - 1
    return slots


@kernel
def _home(directory: Directory, session: int) -> int:
    mixed = np.uint64(session) * _GOLDEN
    mixed ^= mixed >> np.uint64(32)
    return np.int64(mixed & np.uint64(len(directory.table) - 1))  # type: ignore[return-value]


@kernel
def _place(directory: Directory, session: int) -> int:
    """Return the place of a session in the table, or the empty one where it would go."""
    last = len(directory.table) - 1
    place = _home(directory, session)
    while directory.table[place] != 0 and directory.sessions[directory.table[place] - 1] != session:
        place = (place + 1) & last
    return place


@kernel
def _empty_place(directory: Directory, place: int) -> None:
    """Empty a place of the table and close the gap in the run of places behind it."""
    last = len(directory.table) - 1
    gap = place
    other = (gap + 1) & last
    while directory.table[other] != 0:
        home = _home(directory, directory.sessions[directory.table[other] - 1])
        if (other - home) & last >= (other - gap) & last:
            directory.table[gap] = directory.table[other]
            gap = other
        other = (other + 1) & last
    directory.table[gap] = 0


@kernel
def _link_newest(directory: Directory, slot: int) -> None:
    state = directory.state
    directory.older[slot] = state[NEWEST]
    directory.newer[slot] = 0
    if state[NEWEST] == 0:
        state[OLDEST] = slot + 1
    else:
        directory.newer[state[NEWEST] - 1] = slot + 1
    state[NEWEST] = slot + 1


@kernel
def _unlink(directory: Directory, slot: int) -> None:
    older, newer = directory.older[slot], directory.newer[slot]
    if older == 0:
        directory.state[OLDEST] = newer
    else:
        directory.newer[older - 1] = newer
    if newer == 0:
        directory.state[NEWEST] = older
    else:
        directory.older[newer - 1] = older
