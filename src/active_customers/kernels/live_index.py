"""The fold from acts to the live index: the only code that changes it.

One process writes the shared arrays in place while many read them without locks. Every word that another process may
see is changed by `store`; a session's record has a version that is odd while its acts change; a slot is in a product's
ring only after its session is whole. What readers do about the rest stands in `kernels.live_knn`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.core.event import EventType
from active_customers.core.identifiers import NO_NUMBER
from active_customers.kernels.decayed_counts import add
from active_customers.kernels.jit import kernel
from active_customers.kernels.session_directory import OLDEST, Directory, find, has_free_slot, release, take, touch
from active_customers.kernels.shared_memory import store

MAGIC, GENERATION, ACTS_KEPT, RING_LENGTH, WATERMARK, NEWEST, N_SESSIONS, CAUGHT_UP = range(8)
"""Words of the header: what the file is, a number that grows when files do, the layout; then the first position not yet
read, the time of the newest act, how many sessions are held, and the machine's monotonic clock (microseconds) when the
log was last read to its end, 0 for not yet."""
HEADER = 8

RECENT, LONGER = range(2)
"""Counts of all products together, in `LiveCounts.totals`."""

VERSION, TIME, POSITION, SIZES = range(4)
"""Words of a session's record: version, time and log position of its last act; number of its acts (16 bits), of its
distinct products (16 bits) and of its customer (32 bits)."""
RECORD = 4

_ERASE = int(EventType.ERASE)
_FORGOTTEN = int(EventType.FORGOTTEN)
_JOINED = int(EventType.JOINED)


class LiveArrays(NamedTuple):
    """The sessions, and where they are found: what processes share.

    Slot `s` holds a session: its `RECORD` words in `records`, and up to `acts_kept` products, oldest first, in row `s`
    of `products`; an act on a product that was acted on again later keeps its place as `NO_NUMBER`. Row `p` of `rings`
    holds the slots of the sessions that took product `p` up last, at most `ring_length`; `ends[p]` is the place of the
    next one and, in its upper half, how many there are. `stored[p]` sessions hold the product. `generation` is the
    header's from before the files were mapped: once they differ, the files have grown.
    """

    header: NDArray[np.int64]
    records: NDArray[np.int64]
    products: NDArray[np.uint32]
    rings: NDArray[np.uint32]
    ends: NDArray[np.uint32]
    stored: NDArray[np.uint32]
    acts_kept: int
    ring_length: int
    generation: int


class LiveCounts(NamedTuple):
    """How much was acted on what, as `decayed_counts`: shared too, with the same header.

    `popular[p]` is the weight of all acts on product `p`, `recent[p]` and `longer[p]` the sessions that took it up.
    """

    header: NDArray[np.int64]
    totals: NDArray[np.float64]
    popular: NDArray[np.float64]
    recent: NDArray[np.float64]
    longer: NDArray[np.float64]


class LiveWriter(NamedTuple):
    """Everything the writer works on; `times` int64[slots * acts_kept] stands beside `products` and is its own."""

    shared: LiveArrays
    counts: LiveCounts
    directory: Directory
    times: NDArray[np.int64]


class Scales(NamedTuple):
    """How acts count: the logarithm of each event type's weight (-inf for none), and microseconds per e-fold."""

    log_weights: NDArray[np.float64]
    popular: float
    recent: float
    longer: float


class Acts(NamedTuple):
    """Acts in log order. Columns of one length.

    An act of type ERASE or FORGOTTEN forgets its customer; one of type JOINED gives its customer the sessions of the
    customer whose number stands in `sessions`.
    """

    positions: NDArray[np.int64]
    sessions: NDArray[np.int64]
    customers: NDArray[np.uint32]
    products: NDArray[np.uint32]
    event_types: NDArray[np.uint8]
    times: NDArray[np.int64]


@kernel
def learn(writer: LiveWriter, scales: Scales, acts: Acts, start: int) -> int:
    """Fold the acts from row `start` on; return the first row that needs a larger file, or the number of rows."""
    shared = writer.shared
    for row in range(start, len(acts.positions)):
        if acts.event_types[row] == _ERASE or acts.event_types[row] == _FORGOTTEN:
            forget(writer, acts.customers[row])
            continue
        if acts.event_types[row] == _JOINED:
            hand_over(writer.shared, acts.sessions[row], acts.customers[row])
            continue
        if acts.products[row] >= len(shared.ends):
            return row
        slot = _slot_for(writer, acts.sessions[row], acts.customers[row])
        if slot < 0:
            return row
        time = acts.times[row]
        is_new = _insert(writer, slot, acts.products[row], time)
        store(shared.records, slot * RECORD + POSITION, acts.positions[row])
        store(shared.header, NEWEST, max(shared.header[NEWEST], time))
        _count(writer.counts, scales, acts, row, is_new)
    return len(acts.positions)


@kernel
def forget(writer: LiveWriter, customer: int) -> int:
    """Drop the sessions of a customer; return how many there were."""
    records = writer.shared.records
    dropped = 0
    for slot in range(len(records) // RECORD):
        sizes = records[slot * RECORD + SIZES]
        if acts_of(sizes) > 0 and customer_of(sizes) == customer:
            _drop(writer, slot)
            dropped += 1
    return dropped


@kernel
def hand_over(shared: LiveArrays, before: int, customer: int) -> None:
    """Give a customer the sessions of somebody who turned out to be the same."""
    records = shared.records
    for slot in range(len(records) // RECORD):
        record = slot * RECORD
        sizes = records[record + SIZES]
        if acts_of(sizes) > 0 and customer_of(sizes) == before:
            store(records, record + VERSION, records[record + VERSION] + 1)
            store(records, record + SIZES, (sizes & 0xFFFFFFFF) | (np.int64(customer) << 32))
            store(records, record + VERSION, records[record + VERSION] + 1)


@kernel
def clear(shared: LiveArrays, counts: LiveCounts) -> None:
    """Empty the shared arrays, whatever a dead writer left in them; readers find nothing from then on."""
    for product in range(len(shared.ends)):
        store(shared.ends, product, 0)
        store(shared.stored, product, 0)
        store(counts.popular, product, 0.0)
        store(counts.recent, product, 0.0)
        store(counts.longer, product, 0.0)
    for slot in range(len(shared.records) // RECORD):
        record = slot * RECORD
        store(shared.records, record + VERSION, shared.records[record + VERSION] | 1)
        store(shared.records, record + SIZES, 0)
        store(shared.records, record + VERSION, shared.records[record + VERSION] + 1)
    for scale in (RECENT, LONGER):
        store(counts.totals, scale, 0.0)
    for word in (WATERMARK, NEWEST, N_SESSIONS, CAUGHT_UP):
        store(shared.header, word, 0)


@kernel
def acts_of(sizes: int) -> int:
    """Return how many acts a session's `SIZES` word says it has."""
    return sizes & 0xFFFF


@kernel
def customer_of(sizes: int) -> int:
    """Return the customer in a session's `SIZES` word."""
    return (sizes >> 32) & 0xFFFFFFFF


@kernel
def post(shared: LiveArrays, product: int, slot: int) -> None:
    """Put a session into a product's ring as the newest; the oldest leaves a full ring."""
    length = shared.ring_length
    end = shared.ends[product]
    place, count = end & 0xFFFF, end >> 16
    store(shared.rings, product * length + place, slot)
    store(shared.ends, product, (place + 1) % length | min(count + 1, length) << 16)
    store(shared.stored, product, shared.stored[product] + 1)


@kernel
def _unpost(shared: LiveArrays, product: int, slot: int) -> None:
    """Take a session out of a product's ring, if it is still in it; the older ones close the gap."""
    length, first = shared.ring_length, product * shared.ring_length
    end = np.int64(shared.ends[product])
    place, count = end & 0xFFFF, end >> 16
    oldest = place - count + length
    store(shared.stored, product, shared.stored[product] - 1)
    for back in range(count):
        if shared.rings[first + (oldest + back) % length] == slot:
            for gap in range(back, 0, -1):
                newer = shared.rings[first + (oldest + gap - 1) % length]
                store(shared.rings, first + (oldest + gap) % length, newer)
            store(shared.ends, product, place | (count - 1) << 16)
            return


@kernel
def _slot_for(writer: LiveWriter, session: int, customer: int) -> int:
    """Return the slot of a session, now the newest; -1 when it is new and needs a larger file.

    When there are as many sessions as there may be, the one whose last act stands first in the log makes room.
    """
    shared, directory = writer.shared, writer.directory
    slot = find(directory, session)
    if slot >= 0:
        touch(directory, slot)
        return slot
    n_slots = min(len(shared.records) // RECORD, len(directory.sessions))
    if not has_free_slot(directory, n_slots):
        if n_slots < len(directory.sessions):
            return -1
        _drop(writer, int(directory.state[OLDEST]) - 1)
    slot = take(directory, session)
    store(shared.records, slot * RECORD + TIME, 0)
    store(shared.records, slot * RECORD + SIZES, np.int64(customer) << 32)
    store(shared.header, N_SESSIONS, shared.header[N_SESSIONS] + 1)
    return slot


@kernel
def _drop(writer: LiveWriter, slot: int) -> None:
    """Remove a session, from the rings first."""
    shared = writer.shared
    record, first = slot * RECORD, slot * shared.acts_kept
    n_acts = acts_of(shared.records[record + SIZES])
    store(shared.records, record + VERSION, shared.records[record + VERSION] + 1)
    for row in range(first, first + n_acts):
        if shared.products[row] != NO_NUMBER:
            _unpost(shared, shared.products[row], slot)
            store(shared.products, row, NO_NUMBER)
        writer.times[row] = 0
    store(shared.records, record + SIZES, 0)
    store(shared.records, record + VERSION, shared.records[record + VERSION] + 1)
    store(shared.header, N_SESSIONS, shared.header[N_SESSIONS] - 1)
    release(writer.directory, slot)


@kernel
def _insert(writer: LiveWriter, slot: int, product: int, time: int) -> bool:
    """Put an act into its session, in order of time (ties: log order); return whether the session took the product up.

    Of a full session the oldest act leaves; an act that is older than all of them is passed over.
    """
    shared, times = writer.shared, writer.times
    record, first = slot * RECORD, slot * shared.acts_kept
    sizes = shared.records[record + SIZES]
    n_acts, end = acts_of(sizes), first + acts_of(sizes)
    place = end
    while place > first and times[place - 1] > time:
        place -= 1
    if n_acts == shared.acts_kept and place == first:
        return False
    store(shared.records, record + VERSION, shared.records[record + VERSION] + 1)
    if n_acts < shared.acts_kept:
        _make_room(shared.products, times, place, end)
        end += 1
        sizes += 1
    else:
        sizes -= _take_oldest_out(writer, slot, place)
        place -= 1
    times[place] = time
    is_new = _put(shared.products, (first, place, end), product)
    store(shared.records, record + SIZES, sizes + (np.int64(is_new) << 16))
    store(shared.records, record + TIME, times[end - 1])
    store(shared.records, record + VERSION, shared.records[record + VERSION] + 1)
    if is_new:
        post(shared, product, slot)
    return is_new


@kernel
def _make_room(products: NDArray[np.uint32], times: NDArray[np.int64], place: int, end: int) -> None:
    for row in range(end, place, -1):
        store(products, row, products[row - 1])
        times[row] = times[row - 1]


@kernel
def _take_oldest_out(writer: LiveWriter, slot: int, place: int) -> int:
    """Remove a session's oldest act, so that the row before `place` is free; return what to take from `SIZES`."""
    shared, times = writer.shared, writer.times
    first = slot * shared.acts_kept
    leaving = shared.products[first]
    for row in range(first, place - 1):
        store(shared.products, row, shared.products[row + 1])
        times[row] = times[row + 1]
    store(shared.products, place - 1, NO_NUMBER)
    if leaving == NO_NUMBER:
        return 0
    _unpost(shared, leaving, slot)
    return 1 << 16


@kernel
def _put(products: NDArray[np.uint32], rows: tuple[int, int, int], product: int) -> bool:
    """Write a product at rows (first, place, end); of acts on one product only the last keeps it.

    Returns whether no other act was on it.
    """
    first, place, end = rows
    store(products, place, NO_NUMBER)
    for row in range(first, end):
        if products[row] == product:
            if row < place:
                store(products, row, NO_NUMBER)
                store(products, place, product)
            return False
    store(products, place, product)
    return True


@kernel
def _count(counts: LiveCounts, scales: Scales, acts: Acts, row: int, is_new: bool) -> None:
    """Count an act for what is popular, and a session that took the product up for what is trending."""
    product, time = acts.products[row], float(acts.times[row])
    log_weight = scales.log_weights[acts.event_types[row]]
    if log_weight > -np.inf:
        add(counts.popular, product, log_weight, time / scales.popular)
    if is_new:
        add(counts.recent, product, 0.0, time / scales.recent)
        add(counts.longer, product, 0.0, time / scales.longer)
        add(counts.totals, RECENT, 0.0, time / scales.recent)
        add(counts.totals, LONGER, 0.0, time / scales.longer)
