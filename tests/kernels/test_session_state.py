"""The fold, held equal to a plain Python twin that knows nothing of arrays."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from active_customers.core.event import TASTE_TYPES, EventType
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.session import (
    BOUGHT_KEPT,
    CART_KEPT,
    EVENTS_KEPT,
    GIVEN_SESSION,
    HIDDEN_KEPT,
    MAX_WORDS,
    SESSION_GAP,
    SESSIONS_KEPT,
    CustomerState,
    empty_state,
)
from active_customers.kernels.session_state import fold, fold_run

MINUTE = 60_000_000


@dataclass
class Twin:
    """The rules of the session state in the plainest Python there is."""

    events: list[tuple[int, int, int, int]] = field(default_factory=list)
    cart: dict[int, int] = field(default_factory=dict)
    bought: dict[int, tuple[int, int]] = field(default_factory=dict)
    hidden: list[int] = field(default_factory=list)
    sessions: list[list[int]] = field(default_factory=list)

    def act(self, kind, product, time, quantity, given, position):
        session = self._session(time, given, position)
        if product == NO_NUMBER:
            return session
        if kind in TASTE_TYPES:
            self._remember(time, session, product, kind)
        if kind == EventType.CART_ADD:
            self.cart[product] = self.cart.get(product, 0) + quantity
            self._bound(self.cart, CART_KEPT)
        elif kind == EventType.CART_REMOVE and product in self.cart:
            self.cart[product] -= quantity
            if self.cart[product] <= 0:
                del self.cart[product]
        elif kind == EventType.PURCHASE:
            self.cart.pop(product, None)
            before, latest = self.bought.pop(product, (0, 0))
            self.bought[product] = (before + quantity, max(latest, time))
            self._bound(self.bought, BOUGHT_KEPT)
        elif kind == EventType.REFUND and product in self.bought:
            before, latest = self.bought[product]
            self.bought[product] = (before - quantity, latest)
            if before <= quantity:
                del self.bought[product]
        elif kind == EventType.HIDE and product not in self.hidden:
            self.hidden = [*self.hidden, product][-HIDDEN_KEPT:]
        return session

    @staticmethod
    def _bound(rows, kept):
        while len(rows) > kept:
            del rows[next(iter(rows))]

    def _remember(self, time, session, product, kind):
        if len(self.events) == EVENTS_KEPT:
            if time < self.events[0][0]:
                return
            self.events.pop(0)
        self.events.append((time, session, product, kind))
        self.events.sort(key=lambda row: row[0])

    def _session(self, time, given, position):
        if given:
            holding = [row for row in self.sessions if row[0] == given]
        else:
            distance = [(max(row[1] - time, time - row[2], 0), -i, row) for i, row in enumerate(self.sessions)]
            holding = [row for gap, _, row in sorted(distance, key=lambda d: d[:2]) if gap <= SESSION_GAP]
        if holding:
            row = holding[0]
            row[1], row[2] = min(row[1], time), max(row[2], time)
            return row[0]
        self.sessions = [*self.sessions, [given or position, time, time]][-SESSIONS_KEPT:]
        return given or position


kinds = st.sampled_from([int(kind) for kind in EventType])
acts = st.lists(
    st.tuples(
        kinds,
        st.one_of(st.integers(0, 12), st.just(NO_NUMBER)),
        st.integers(0, 400).map(lambda minutes: minutes * MINUTE),
        st.integers(1, 3),
        st.one_of(st.just(0), st.integers(1, 3).map(lambda name: GIVEN_SESSION | name)),
    ),
    max_size=120,
)


def numbered(rows):
    return np.array([[*row, position] for position, row in enumerate(rows, 1)], np.int64).reshape(-1, 6)


def folded(table, state=None):
    out = np.empty(MAX_WORDS, np.int64)
    length = fold(empty_state() if state is None else state, table, out)
    return out[:length].copy()


def assert_equal(state, twin):
    seen = CustomerState.of(state)
    events = [(time, session, packed & NO_NUMBER, packed >> 32) for time, session, packed in seen.events.tolist()]
    assert events == twin.events
    assert dict(seen.cart.tolist()) == twin.cart
    assert {product: (quantity, time) for product, quantity, time in seen.bought.tolist()} == twin.bought
    assert seen.hidden.tolist() == twin.hidden
    assert seen.sessions.tolist() == twin.sessions


@given(acts)
def test_the_fold_does_what_its_plain_twin_does(rows):
    table, twin = numbered(rows), Twin()
    sessions = [twin.act(*row) for row in table.tolist()]
    state = folded(table)
    assert table[:, 4].tolist() == sessions
    assert_equal(state, twin)


@given(acts, st.integers(0, 120))
def test_folding_in_two_steps_changes_nothing(rows, cut):
    whole, first, second = numbered(rows), numbered(rows)[:cut], numbered(rows)[cut:]
    assert folded(second, folded(first)).tolist() == folded(whole).tolist()


@given(st.lists(acts, min_size=1, max_size=5))
def test_folding_many_customers_is_folding_each(streams):
    tables = [numbered(rows) for rows in streams]
    starts = np.cumsum([0, *(len(table) for table in tables)]).astype(np.int64)
    before = [folded(numbered([(1, 99, 5, 1, 0)])) if i % 2 else empty_state() for i in range(len(tables))]
    offsets = np.cumsum([0, *(len(state) for state in before)]).astype(np.int64)
    out = np.empty(MAX_WORDS * len(tables), np.int64)
    fold_run(starts, (np.concatenate(before), offsets), np.concatenate(tables), out)
    for i, table in enumerate(tables):
        assert out[offsets[i] : offsets[i + 1]].tolist() == folded(numbered(streams[i]), before[i]).tolist()
        assert len(table) == len(streams[i])


def test_every_section_is_bounded_and_the_oldest_rows_leave():
    rows = [(EventType.CART_ADD, product, product, 1, 0) for product in range(700)]
    rows += [(EventType.PURCHASE, product, product, 1, 0) for product in range(700)]
    rows += [(EventType.HIDE, product, product, 1, GIVEN_SESSION | product) for product in range(700)]
    rows += [(EventType.CART_ADD, product, product, 1, 0) for product in range(700)]
    state = folded(numbered(rows))
    seen = CustomerState.of(state)
    assert len(state) == MAX_WORDS
    assert seen.cart[:, 0].tolist() == list(range(700 - CART_KEPT, 700))
    assert seen.bought[:, 0].tolist() == list(range(700 - BOUGHT_KEPT, 700))
    assert seen.hidden.tolist() == list(range(700 - HIDDEN_KEPT, 700))
    assert len(seen.sessions) == SESSIONS_KEPT
