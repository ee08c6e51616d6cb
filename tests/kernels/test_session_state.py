"""The fold, held equal to a plain Python twin that knows nothing of arrays."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from active_customers.core.clock import DAY
from active_customers.core.event import TASTE_TYPES, EventType
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.session import (
    BOUGHT_KEPT,
    BOUGHT_WORDS,
    CART_KEPT,
    DAYS_AT,
    EVENTS_KEPT,
    FIRST_DAY_AT,
    GIVEN_SESSION,
    HEADER,
    HIDDEN_KEPT,
    MAX_WORDS,
    MOST_DAY,
    SESSION_GAP,
    SESSIONS_KEPT,
    SHOWN_BITS,
    SHOWN_DAYS,
    SHOWN_KEPT,
    CustomerState,
    empty_state,
)
from active_customers.kernels.session_state import fold, fold_run, merge

MINUTE = 60_000_000


@dataclass
class Twin:
    """The rules of the session state in the plainest Python there is."""

    events: list[tuple[int, int, int, int]] = field(default_factory=list)
    cart: dict[int, tuple[int, int]] = field(default_factory=dict)
    bought: dict[int, tuple[int, int]] = field(default_factory=dict)
    days: dict[int, tuple[int, int]] = field(default_factory=dict)
    hidden: list[int] = field(default_factory=list)
    sessions: list[list[int]] = field(default_factory=list)
    shown: dict[int, dict[int, int]] = field(default_factory=dict)

    def act(self, kind, product, time, quantity, given, position):
        session = self._session(time, given, position)
        if product == NO_NUMBER:
            return session
        self._note_shown(kind, product, time)
        if kind in TASTE_TYPES:
            self._remember(time, session, product, kind)
        if kind == EventType.CART_ADD:
            if product not in self.bought or self.bought[product][1] <= time:
                self._add(self.cart, CART_KEPT, product, quantity, time)
        elif kind == EventType.CART_REMOVE:
            self._take(self.cart, product, quantity)
        elif kind == EventType.PURCHASE:
            if product in self.cart and self.cart[product][1] <= time:
                del self.cart[product]
            self._count_day(product, time // DAY)
            self._add(self.bought, BOUGHT_KEPT, product, quantity, time)
        elif kind == EventType.REFUND:
            self._take(self.bought, product, quantity)
        elif kind == EventType.HIDE and product not in self.hidden:
            self.hidden = [*self.hidden, product][-HIDDEN_KEPT:]
        return session

    def _note_shown(self, kind, product, time):
        if kind == EventType.IMPRESSION:
            if not any(seen == product and then > time for then, _, seen, _ in self.events):
                self._show(product, {time // DAY: 1})
        elif kind in (*TASTE_TYPES, EventType.CART_REMOVE, EventType.HIDE):
            self._set_back(product, time // DAY)

    def _set_back(self, product, day):
        """Only what was shown on later days than an act counts on."""
        left = {each: n for each, n in self.shown.get(product, {}).items() if each > day}
        if left:
            self.shown[product] = left
        elif product in self.shown and max(self.shown[product]) <= day:
            del self.shown[product]

    def _show(self, product, days):
        """Add impressions by day; a product lies where its latest day puts it, the one longest ago goes."""
        before = self.shown.pop(product, {})
        both = {day: min(before.get(day, 0) + days.get(day, 0), 15) for day in {*before, *days}}
        latest = max(both)
        self.shown[product] = {day: n for day, n in both.items() if latest - day < SHOWN_DAYS}
        ordered = sorted(self.shown.items(), key=lambda row: max(row[1]))
        self.shown = dict(ordered[-SHOWN_KEPT:])

    def _count_day(self, product, day):
        """A purchase is on a day of its own, unless that is the first or the latest one."""
        first, days = self.days.get(product, (day, 0)) if product in self.bought else (day, 0)
        latest = self.bought[product][1] // DAY if product in self.bought else None
        self.days[product] = min(first, day), days + (days == 0 or day not in (first, latest))

    def _join_days(self, product, theirs, their_latest):
        """Of two customers' days those count once that are the first or the latest of both."""
        first, days = theirs
        if product in self.bought:
            since, known = self.days[product]
            mine = {since, self.bought[product][1] // DAY}
            first, days = min(first, since), known + days - len(mine & {first, their_latest})
        self.days[product] = first, days

    @staticmethod
    def _add(rows, kept, product, quantity, time):
        """A product's row lies where its latest time puts it; of too many the one longest ago goes."""
        before, latest = rows.pop(product, (0, time))
        rows[product] = (before + quantity, max(latest, time))
        ordered = sorted(rows.items(), key=lambda row: row[1][1])
        if len(ordered) > kept:
            # As long ago as another: the one that came last stays.
            ordered.pop(0)
        rows.clear()
        rows.update(ordered)

    @staticmethod
    def _take(rows, product, quantity):
        if product in rows:
            before, latest = rows[product]
            rows[product] = (before - quantity, latest)
            if before <= quantity:
                del rows[product]

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
        self.sessions.append([given or position, time, time])
        if len(self.sessions) > SESSIONS_KEPT:  # whichever ended longest ago is forgotten, be it the new one
            self.sessions.remove(min(self.sessions, key=lambda row: row[2]))
        return given or position

    def merge(self, other: Twin, old: int, new: int) -> None:
        """Take in what somebody did who turned out to be the same."""
        other._rename(old, new)
        for session in other.sessions:
            self._meet(other, session)
        self._join_shown(other)
        for time, number, product, kind in list(other.events):
            self._remember(time, number, product, kind)
        for product, (_, time) in other.bought.items():
            if product in self.cart and self.cart[product][1] <= time:
                del self.cart[product]
        for product, (quantity, time) in other.cart.items():
            if product not in self.bought or self.bought[product][1] <= time:
                self._add(self.cart, CART_KEPT, product, quantity, time)
        for product, (quantity, time) in other.bought.items():
            self._join_days(product, other.days[product], time // DAY)
            self._add(self.bought, BOUGHT_KEPT, product, quantity, time)
        new = [product for product in other.hidden if product not in self.hidden]
        self.hidden = [*self.hidden, *new][-HIDDEN_KEPT:]

    def _join_shown(self, other: Twin) -> None:
        """The acts of each set back what the other was shown; the rest adds up."""
        for one, acts in ((self, other.events), (other, self.events)):
            for time, _, product, _ in acts:
                one._set_back(product, time // DAY)
        for product, days in other.shown.items():
            self._show(product, days)

    def _rename(self, old: int, new: int) -> None:
        self.events = [(time, new if each == old else each, *rest) for time, each, *rest in self.events]
        self.sessions = [[new if each == old else each, *span] for each, *span in self.sessions]

    def _meet(self, other: Twin, theirs: list[int]) -> None:
        number, first, last = theirs
        same = [row for row in self.sessions if row[0] == number]
        near = [
            row
            for row in self.sessions
            if max(first - row[2], row[1] - last) <= SESSION_GAP and not row[0] & number & GIVEN_SESSION
        ]
        if not same + near:
            if len(self.sessions) == SESSIONS_KEPT:
                oldest = min(self.sessions, key=lambda row: row[2])
                if last < oldest[2]:
                    return
                self.sessions.remove(oldest)
            self.sessions.append([number, first, last])
            return
        row = (same + near)[0]
        kept = row[0] if row[0] & GIVEN_SESSION or (not number & GIVEN_SESSION and row[1] <= first) else number
        other._rename(number, kept)
        self._rename(row[0], kept)
        row = next(each for each in self.sessions if each[0] == kept)
        row[1], row[2] = min(row[1], first), max(row[2], last)


kinds = st.sampled_from([int(kind) for kind in EventType])
acts = st.lists(
    st.tuples(
        kinds,
        st.one_of(st.integers(0, 12), st.just(NO_NUMBER)),
        st.one_of(st.integers(0, 400), st.integers(0, 40_000)).map(lambda minutes: minutes * MINUTE),
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
    assert [(product, (quantity, time)) for product, quantity, time in seen.cart.tolist()] == list(twin.cart.items())
    assert [(product, (quantity, time)) for product, quantity, time in seen.bought.tolist()] == list(
        twin.bought.items()
    )
    first = HEADER + seen.events.size + seen.cart.size
    words = state[first : first + seen.bought.size : BOUGHT_WORDS].tolist()
    assert [(word >> FIRST_DAY_AT & MOST_DAY, word >> DAYS_AT) for word in words] == [
        twin.days[product] for product in twin.bought
    ]
    assert seen.hidden.tolist() == twin.hidden
    assert seen.sessions.tolist() == twin.sessions
    shown = [(word & NO_NUMBER, days_of(word >> 32, counts)) for word, counts in seen.shown.tolist()]
    assert shown == list(twin.shown.items())


def days_of(latest, counts):
    found = {latest - ago: counts >> SHOWN_BITS * ago & (1 << SHOWN_BITS) - 1 for ago in range(SHOWN_DAYS)}
    return {day: n for day, n in found.items() if n}


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


@given(acts, acts, st.sampled_from([(0, 0), (GIVEN_SESSION | 1, GIVEN_SESSION | 9)]))
def test_merging_two_states_does_what_its_plain_twin_does(mine, theirs, renamed):
    tables = numbered(mine), numbered(theirs)
    tables[1][:, 5] += 1_000  # positions of their own
    twins = Twin(), Twin()
    for table, twin in zip(tables, twins, strict=True):
        for row in table.tolist():
            twin.act(*row)
    out = np.empty(MAX_WORDS, np.int64)
    length = merge(folded(tables[0].copy()), folded(tables[1].copy()), renamed, out)
    twins[0].merge(twins[1], *renamed)
    assert_equal(out[:length], twins[0])


def test_merging_with_nobody_changes_nothing():
    state = folded(numbered([(EventType.CART_ADD, 1, 5, 2, 0), (EventType.HIDE, 2, 9, 1, 0)]))
    out = np.empty(MAX_WORDS, np.int64)
    for pair in ((state, empty_state()), (empty_state(), state)):
        assert out[: merge(*pair, (0, 0), out)].tolist() == state.tolist()


def test_every_section_is_bounded_and_the_oldest_rows_leave():
    rows = [(EventType.CART_ADD, product, product, 1, 0) for product in range(700)]
    rows += [(EventType.PURCHASE, product, product, 1, 0) for product in range(700)]
    rows += [(EventType.HIDE, product, product, 1, GIVEN_SESSION | product) for product in range(700)]
    rows += [(EventType.CART_ADD, product, 700 + product, 1, 0) for product in range(700)]
    rows += [(EventType.IMPRESSION, 1_000 + product, 1_400, 1, GIVEN_SESSION | 699) for product in range(700)]
    state = folded(numbered(rows))
    seen = CustomerState.of(state)
    assert len(state) == MAX_WORDS
    assert (seen.shown[:, 0] & NO_NUMBER).tolist() == list(range(1_700 - SHOWN_KEPT, 1_700))
    assert seen.cart[:, 0].tolist() == list(range(700 - CART_KEPT, 700))
    assert seen.bought[:, 0].tolist() == list(range(700 - BOUGHT_KEPT, 700))
    assert seen.hidden.tolist() == list(range(700 - HIDDEN_KEPT, 700))
    assert len(seen.sessions) == SESSIONS_KEPT


def cart_of(*rows):
    return CustomerState.of(folded(numbered(rows))).cart.tolist()


def test_late_acts_never_push_out_the_session_that_is_open():
    day = 24 * 60 * MINUTE
    live = (EventType.VIEW, 1, 100 * day, 1, 0)
    imported = [(EventType.VIEW, 2, number * day, 1, 0) for number in range(SESSIONS_KEPT + 4)]
    table = numbered([live, *imported, (EventType.VIEW, 3, 100 * day + MINUTE, 1, 0)])
    state = folded(table)
    assert table[-1, 4] == table[0, 4] == 1
    assert len(set(table[:-1, 4].tolist())) == len(imported) + 1
    kept = [1, *range(len(imported) - SESSIONS_KEPT + 3, len(imported) + 2)]
    assert CustomerState.of(state).sessions[:, 0].tolist() == kept


def test_a_session_that_would_be_the_oldest_has_its_number_but_is_not_kept():
    gap = 2 * SESSION_GAP
    full = [(EventType.VIEW, 1, number * gap, 1, 0) for number in range(1, SESSIONS_KEPT + 1)]
    table = numbered([*full, (EventType.VIEW, 1, 0, 1, 0), (EventType.VIEW, 1, 0, 1, GIVEN_SESSION | 7)])
    state = folded(table)
    assert table[-2:, 4].tolist() == [SESSIONS_KEPT + 1, GIVEN_SESSION | 7]
    assert CustomerState.of(state).sessions[:, 0].tolist() == list(range(1, SESSIONS_KEPT + 1))


def test_what_was_put_into_the_cart_before_the_latest_purchase_was_bought_with_it():
    bought = (EventType.PURCHASE, 1, 10 * MINUTE, 1, 0)
    assert cart_of(bought, (EventType.CART_ADD, 1, 9 * MINUTE, 2, 0)) == []
    assert cart_of(bought, (EventType.CART_ADD, 1, 11 * MINUTE, 2, 0)) == [[1, 2, 11 * MINUTE]]
    assert cart_of(bought, (EventType.CART_ADD, 2, 9 * MINUTE, 2, 0)) == [[2, 2, 9 * MINUTE]]


def test_a_late_purchase_leaves_what_was_put_into_the_cart_after_it():
    added = (EventType.CART_ADD, 1, 10 * MINUTE, 2, 0)
    assert cart_of(added, (EventType.PURCHASE, 1, 9 * MINUTE, 1, 0)) == [[1, 2, 10 * MINUTE]]
    assert cart_of(added, (EventType.PURCHASE, 1, 11 * MINUTE, 1, 0)) == []


def test_the_purchase_longest_ago_leaves_first_however_late_it_comes():
    rows = [(EventType.PURCHASE, product, product, 1, 0) for product in range(1, BOUGHT_KEPT + 1)]
    late = [(EventType.PURCHASE, 9_001, 50, 1, 0), (EventType.PURCHASE, 9_002, 0, 1, 0)]
    seen = CustomerState.of(folded(numbered([*rows, *late])))
    assert sorted(seen.bought[:, 0].tolist()) == [*range(2, BOUGHT_KEPT + 1), 9_001]
    assert seen.bought[:, 2].tolist() == sorted(seen.bought[:, 2].tolist())
