"""What the live index holds, free of where it lies: taken out for a checkpoint, put into an empty index again."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.core.identifiers import NO_NUMBER
from active_customers.kernels.jit import kernel
from active_customers.kernels.live_index import (
    N_SESSIONS,
    POSITION,
    RECORD,
    SIZES,
    TIME,
    VERSION,
    LiveArrays,
    LiveWriter,
    acts_of,
    customer_of,
    post,
)
from active_customers.kernels.session_directory import by_age, take
from active_customers.kernels.shared_memory import store


class Contents(NamedTuple):
    """Sessions, the one that acted longest ago first, and for each product the sessions in its ring, oldest first.

    Session `j` is `sessions[j]` of `customers[j]`, its last act at log position `positions[j]`, with the acts
    `offsets[j]:offsets[j + 1]` of `products` (`NO_NUMBER` where a later act was on the same one) and `times`. Product
    `p` stands in the sessions `postings[posting_offsets[p]:posting_offsets[p + 1]]`.
    """

    sessions: NDArray[np.int64]
    customers: NDArray[np.uint32]
    positions: NDArray[np.int64]
    offsets: NDArray[np.int64]
    products: NDArray[np.uint32]
    times: NDArray[np.int64]
    posting_offsets: NDArray[np.int64]
    postings: NDArray[np.uint32]


@kernel
def take_out(writer: LiveWriter) -> Contents:
    """Return a copy of what the index holds."""
    shared = writer.shared
    slots = by_age(writer.directory)
    customers, positions = np.empty(len(slots), np.uint32), np.empty(len(slots), np.int64)
    offsets = np.zeros(len(slots) + 1, np.int64)
    for j, slot in enumerate(slots):
        sizes = shared.records[slot * RECORD + SIZES]
        customers[j] = customer_of(sizes)
        positions[j] = shared.records[slot * RECORD + POSITION]
        offsets[j + 1] = offsets[j] + acts_of(sizes)
    products, times = np.empty(offsets[-1], np.uint32), np.empty(offsets[-1], np.int64)
    for j, slot in enumerate(slots):
        for act in range(offsets[j + 1] - offsets[j]):
            products[offsets[j] + act] = shared.products[slot * shared.acts_kept + act]
            times[offsets[j] + act] = writer.times[slot * shared.acts_kept + act]
    posting_offsets, postings = _take_rings_out(shared, slots)
    sessions = writer.directory.sessions[slots]
    return Contents(sessions, customers, positions, offsets, products, times, posting_offsets, postings)


@kernel
def _take_rings_out(shared: LiveArrays, slots: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    numbers = np.zeros(len(shared.records) // RECORD, np.uint32)
    for j, slot in enumerate(slots):
        numbers[slot] = j
    offsets = np.zeros(len(shared.ends) + 1, np.int64)
    for product, end in enumerate(shared.ends):
        offsets[product + 1] = offsets[product] + (end >> 16)
    postings = np.empty(offsets[-1], np.uint32)
    length = shared.ring_length
    for product, end in enumerate(shared.ends):
        oldest = np.int64(end & 0xFFFF) - np.int64(end >> 16) + length
        for i in range(offsets[product + 1] - offsets[product]):
            slot = shared.rings[product * length + (oldest + i) % length]
            postings[offsets[product] + i] = numbers[slot]
    return offsets, postings


@kernel
def put_in(writer: LiveWriter, contents: Contents) -> None:
    """Fill an empty index, whose arrays are large enough, with contents."""
    shared = writer.shared
    slots = np.empty(len(contents.sessions), np.int64)
    for j, session in enumerate(contents.sessions):
        slots[j] = take(writer.directory, session)
        _put_session_in(writer, contents, j, slots[j])
    for product in range(len(contents.posting_offsets) - 1):
        for row in range(contents.posting_offsets[product], contents.posting_offsets[product + 1]):
            post(shared, product, slots[contents.postings[row]])
        store(shared.stored, product, 0)
    for product in contents.products:
        if product != NO_NUMBER:
            store(shared.stored, product, shared.stored[product] + 1)
    store(shared.header, N_SESSIONS, len(slots))


@kernel
def _put_session_in(writer: LiveWriter, contents: Contents, j: int, slot: int) -> None:
    shared = writer.shared
    record, first = slot * RECORD, slot * shared.acts_kept
    start, end = contents.offsets[j], contents.offsets[j + 1]
    store(shared.records, record + VERSION, shared.records[record + VERSION] + 1)
    n_distinct = 0
    for act in range(end - start):
        product = contents.products[start + act]
        store(shared.products, first + act, product)
        writer.times[first + act] = contents.times[start + act]
        n_distinct += product != NO_NUMBER
    sizes = np.int64(contents.customers[j]) << 32 | n_distinct << 16 | (end - start)
    store(shared.records, record + TIME, contents.times[end - 1])
    store(shared.records, record + POSITION, contents.positions[j])
    store(shared.records, record + SIZES, sizes)
    store(shared.records, record + VERSION, shared.records[record + VERSION] + 1)
