"""The fold into the live index against a plain Python twin."""

from bisect import insort
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from active_customers.core.event import EventType
from active_customers.core.identifiers import NO_NUMBER
from active_customers.kernels.live_contents import put_in, take_out
from active_customers.kernels.live_index import (
    HEADER,
    N_SESSIONS,
    NEWEST,
    RECORD,
    Acts,
    LiveArrays,
    LiveCounts,
    LiveWriter,
    Scales,
    clear,
    forget,
    learn,
)
from active_customers.kernels.session_directory import empty_directory

SESSIONS, PRODUCTS, ACTS_KEPT, RING = 4, 6, 3, 2
SCALES = Scales(np.zeros(256), 10.0, 20.0, 30.0)

acts = st.tuples(
    st.sampled_from([EventType.VIEW] * 9 + [EventType.ERASE]),
    st.integers(1, 6),  # session
    st.integers(0, PRODUCTS - 1),
    st.integers(0, 20),  # time
)


class Twin:
    """The definition: what is held after some acts, in lists and dictionaries."""

    def __init__(self):
        self.sessions = {}  # session -> [customer, position, acts]; the one that acted longest ago first
        self.rings = {product: [] for product in range(PRODUCTS)}

    def learn(self, position, kind, session, product, time):
        if kind == EventType.ERASE:
            self.forget(session % 3)
            return
        if session not in self.sessions and len(self.sessions) == SESSIONS:
            self.drop(next(iter(self.sessions)))
        customer, _, kept = self.sessions.pop(session, (session % 3, 0, []))
        self.sessions[session] = (customer, position, kept)
        act = (time, position, product)
        if len(kept) == ACTS_KEPT:
            if act < kept[0]:
                return
            leaving = kept.pop(0)[2]
            if leaving not in products_of(kept):
                self.leave(leaving, session)
        if product not in products_of(kept):
            self.rings[product] = [*self.rings[product], session][-RING:]
        insort(kept, act)

    def forget(self, customer):
        for session in [number for number, held in self.sessions.items() if held[0] == customer]:
            self.drop(session)

    def drop(self, session):
        for product in products_of(self.sessions.pop(session)[2]):
            self.leave(product, session)

    def leave(self, product, session):
        self.rings[product] = [other for other in self.rings[product] if other != session]

    def shown(self):
        shown_sessions = [
            (
                session,
                customer,
                position,
                [NO_NUMBER if act[2] in products_of(kept[i + 1 :]) else act[2] for i, act in enumerate(kept)],
                [act[0] for act in kept],
            )
            for session, (customer, position, kept) in self.sessions.items()
        ]
        return shown_sessions, self.rings


def products_of(kept):
    return {product for _, _, product in kept}


def new_writer(n_slots=SESSIONS, n_products=PRODUCTS, capacity=SESSIONS):
    live = LiveArrays(
        header=np.zeros(HEADER, np.int64),
        records=np.zeros(n_slots * RECORD, np.int64),
        products=np.zeros(n_slots * ACTS_KEPT, np.uint32),
        rings=np.zeros(n_products * RING, np.uint32),
        ends=np.zeros(n_products, np.uint32),
        stored=np.zeros(n_products, np.uint32),
        acts_kept=ACTS_KEPT,
        ring_length=RING,
        generation=1,
    )
    counts = LiveCounts(live.header, np.zeros(2), *(np.zeros(n_products) for _ in range(3)))
    return LiveWriter(live, counts, empty_directory(capacity), np.zeros(capacity * ACTS_KEPT, np.int64))


def columns(stream):
    """Return the acts of a stream at positions 1, 2, 3, ...; customers are the sessions modulo 3."""
    kinds, sessions, products, times = np.array(stream, np.int64).reshape(-1, 4).T.copy()
    return Acts(
        np.arange(1, len(kinds) + 1),
        sessions,
        (sessions % 3).astype(np.uint32),
        products.astype(np.uint32),
        kinds.astype(np.uint8),
        times,
    )


def shown(writer):
    """Return what an index holds in the twin's form."""
    held = take_out(writer)
    numbers = held.sessions.tolist()
    sessions = [
        (number, int(held.customers[j]), int(held.positions[j]), held.products[a:b].tolist(), held.times[a:b].tolist())
        for j, (number, (a, b)) in enumerate(zip(numbers, pairwise(held.offsets.tolist()), strict=True))
    ]
    rings = {
        product: [numbers[j] for j in held.postings[a:b].tolist()]
        for product, (a, b) in enumerate(pairwise(held.posting_offsets.tolist()))
    }
    return sessions, rings


def equals_its_twin(stream):
    writer, twin = new_writer(), Twin()
    assert learn(writer, SCALES, columns(stream), 0) == len(stream)
    for position, (kind, session, product, time) in enumerate(stream, 1):
        twin.learn(position, kind, session, product, time)
    assert shown(writer) == twin.shown()
    assert writer.shared.header[N_SESSIONS] == len(twin.sessions)
    holding = [
        sum(product in products_of(kept) for _, _, kept in twin.sessions.values()) for product in range(PRODUCTS)
    ]
    assert writer.shared.stored.tolist() == holding


@given(st.lists(acts))
def test_the_fold_equals_its_twin(stream):
    equals_its_twin(stream)


@pytest.mark.parametrize("seed", range(30))
def test_the_fold_equals_its_twin_when_sessions_are_long_and_many(seed):
    rng = np.random.default_rng(seed)
    kinds = np.where(rng.random(300) < 0.01, EventType.ERASE, EventType.VIEW)
    columns_of_numbers = (rng.integers(1, 6, 300), rng.integers(0, PRODUCTS, 300), rng.integers(0, 20, 300))
    equals_its_twin(list(zip(kinds.tolist(), *(column.tolist() for column in columns_of_numbers), strict=True)))


@given(st.lists(acts))
def test_contents_put_into_an_empty_index_are_the_same_and_go_on_the_same(stream):
    half = len(stream) // 2
    one, other = new_writer(), new_writer()
    rows = columns(stream)
    learn(one, SCALES, Acts(*(column[:half] for column in rows)), 0)
    put_in(other, take_out(one))
    assert shown(other) == shown(one)
    for writer in (one, other):
        learn(writer, SCALES, rows, half)
    assert shown(other) == shown(one)
    assert other.shared.stored.tolist() == one.shared.stored.tolist()
    assert other.shared.header[N_SESSIONS] == one.shared.header[N_SESSIONS]


@given(st.lists(acts), st.lists(acts))
def test_what_a_dead_writer_left_is_cleared_whatever_it_is(before, after):
    used, fresh = new_writer(), new_writer()
    learn(used, SCALES, columns(before), 0)
    used.shared.records[0] += 1  # it died in the middle of a session
    again = LiveWriter(used.shared, used.counts, empty_directory(SESSIONS), np.zeros_like(used.times))
    clear(again.shared, again.counts)
    for writer in (again, fresh):
        learn(writer, SCALES, columns(after), 0)
    assert shown(again) == shown(fresh)
    for ours, theirs in zip(again.counts, fresh.counts, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert (again.shared.records[::RECORD] % 2 == 0).all()


def test_the_fold_stops_at_the_first_act_that_needs_a_larger_file():
    writer = new_writer(n_slots=2, n_products=3)
    view = EventType.VIEW
    rows = columns([(view, 1, 0, 1), (view, 2, 1, 2), (view, 2, 3, 3), (view, 3, 1, 4)])
    assert learn(writer, SCALES, rows, 0) == 2  # product 3
    assert learn(writer, SCALES, rows, 3) == 3  # a third session
    assert shown(writer)[0] == [(1, 1, 1, [0], [1]), (2, 2, 2, [1], [2])]


def test_sessions_of_other_customers_stay_when_one_is_forgotten():
    writer = new_writer()
    view = EventType.VIEW
    learn(writer, SCALES, columns([(view, 1, 0, 1), (view, 2, 0, 2), (view, 4, 1, 3)]), 0)
    assert forget(writer, 1) == 2
    assert shown(writer) == ([(2, 2, 2, [0], [2])], {0: [2], 1: [], 2: [], 3: [], 4: [], 5: []})
    assert forget(writer, 1) == 0


def test_acts_are_counted_by_weight_and_sessions_once_for_a_product():
    weights = np.full(256, -np.inf)
    weights[[EventType.VIEW, EventType.PURCHASE]] = np.log([1, 5])
    writer = new_writer()
    acts_on_2 = [(EventType.VIEW, 1, 2, 5), (EventType.PURCHASE, 1, 2, 5), (EventType.CLICK, 2, 2, 5)]
    learn(writer, SCALES._replace(log_weights=weights), columns(acts_on_2), 0)
    counted = [
        np.exp(counts[2] - 1000 - 5 / scale) for counts, scale in zip(writer.counts[2:], SCALES[1:], strict=True)
    ]
    assert counted == pytest.approx([6, 2, 2])
    assert np.exp(writer.counts.totals - 1000 - 5 / np.array([20, 30])) == pytest.approx([2, 2])
    assert writer.shared.header[NEWEST] == 5
