"""The fold from acts to session state (layout in `core.session`): the only code that changes a state.

The committer calls it with one act at a time, an import with millions; so both agree by construction. `merge` is what a
login does to two states.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from active_customers.core.clock import DAY
from active_customers.core.event import TASTE_TYPES, EventType
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.session import (
    ACT_POSITION,
    ACT_PRODUCT,
    ACT_QUANTITY,
    ACT_SESSION,
    ACT_TIME,
    ACT_TYPE,
    BOUGHT_KEPT,
    BOUGHT_WORDS,
    CART_KEPT,
    CART_WORDS,
    DAYS_AT,
    EVENT_WORDS,
    EVENTS_KEPT,
    FIRST_DAY_AT,
    GIVEN_SESSION,
    H_EVENTS,
    H_NEWEST,
    H_SESSIONS,
    H_VERSION,
    HEADER,
    HIDDEN_KEPT,
    HIDDEN_WORDS,
    LAYOUT_VERSION,
    MOST_DAY,
    MOST_DAYS,
    N_SHOWN_AT,
    SESSION_GAP,
    SESSION_WORDS,
    SESSIONS_KEPT,
    SHOWN_KEPT,
    SHOWN_WORDS,
)
from active_customers.kernels.jit import kernel
from active_customers.kernels.shown import acted_on, count_shown, merge_shown

Words = NDArray[np.int64]

_TASTE = np.zeros(256, np.bool_)
_TASTE[[int(kind) for kind in TASTE_TYPES]] = True

_IS_ACT = _TASTE.copy()
_IS_ACT[[int(EventType.CART_REMOVE), int(EventType.HIDE)]] = True

# Places of the sections, in the order of the layout and of the counts in the header.
_EVENTS, _CART, _BOUGHT, _HIDDEN, _SESSIONS, _SHOWN = range(6)
_N_SECTIONS = 6

_CART_ADD = int(EventType.CART_ADD)
_CART_REMOVE = int(EventType.CART_REMOVE)
_PURCHASE = int(EventType.PURCHASE)
_REFUND = int(EventType.REFUND)
_HIDE = int(EventType.HIDE)
_IMPRESSION = int(EventType.IMPRESSION)


@kernel
def _drop_row(rows: Words, count: int, row: int) -> int:
    for i in range(row, count - 1):
        rows[i] = rows[i + 1]
    return count - 1


@kernel
def _find(rows: Words, count: int, product: int) -> int:
    """Return the row of a product, whose number is the lower half of a word, or -1."""
    for i in range(count):
        if (rows[i, 0] ^ product) & NO_NUMBER == 0:
            return i
    return -1


@kernel
def _find_session(sessions: Words, count: int, session: int) -> int:
    for i in range(count):
        if sessions[i, 0] == session:
            return i
    return -1


@kernel
def _insert_event(events: Words, count: int, time: int, session: int, packed: int) -> int:
    """Keep events ordered by their own time (ties: arrival), dropping the oldest when full."""
    if count == EVENTS_KEPT:
        if time < events[0, 0]:
            return count
        count = _drop_row(events, count, 0)
    i = count
    while i > 0 and events[i - 1, 0] > time:
        events[i] = events[i - 1]
        i -= 1
    events[i, 0] = time
    events[i, 1] = session
    events[i, 2] = packed
    return count + 1


@kernel
def _add_line(rows: Words, count: int, kept: int, line: tuple[int, int, int]) -> int:
    """Add (product, quantity, time) to the product's row, which takes its place by its latest time (ties: arrival).

    When all rows are taken the oldest one leaves; a product that is older than all of them is not kept.
    """
    product, quantity, time = line
    row = _find(rows, count, product)
    if row >= 0:
        quantity += rows[row, 1]
        time = max(time, rows[row, 2])
        count = _drop_row(rows, count, row)
    elif count == kept:
        if time < rows[0, 2]:
            return count
        count = _drop_row(rows, count, 0)
    i = count
    while i > 0 and rows[i - 1, 2] > time:
        rows[i] = rows[i - 1]
        i -= 1
    rows[i, 0] = product
    rows[i, 1] = quantity
    rows[i, 2] = time
    return count + 1


@kernel
def _add_purchase(bought: Words, count: int, line: tuple[int, int, int]) -> int:
    """Do as `_add_line` does, and count the days on which the product was bought.

    A late purchase is taken for one on a day of its own, unless that is the first or the latest one.
    """
    product, quantity, time = line
    day = _day_of(time)
    first, days = day, 1
    row = _find(bought, count, product)
    if row >= 0:
        since, known, latest = _days_of(bought[row])
        first, days = min(since, day), known + (day not in (since, latest))
    return _add_line(bought, count, BOUGHT_KEPT, (_bought_word(product, first, days), quantity, time))


@kernel
def _merge_purchases(bought: Words, count: int, line: Words) -> int:
    """Add another one's row for a product; a day that is the first or the latest of both counts once."""
    product = line[0] & NO_NUMBER
    first, days, latest = _days_of(line)
    row = _find(bought, count, product)
    if row >= 0:
        since, known, last = _days_of(bought[row])
        shared = (first in (since, last)) + (latest != first and latest in (since, last))
        first, days = min(since, first), known + days - shared
    return _add_line(bought, count, BOUGHT_KEPT, (_bought_word(product, first, days), line[1], line[2]))


@kernel
def _day_of(time: int) -> int:
    return min(max(time // DAY, 0), MOST_DAY)


@kernel
def _days_of(row: Words) -> tuple[int, int, int]:
    """Return the first day with a purchase, the number of such days, and the latest one."""
    latest, known = _day_of(row[2]), row[0] >> DAYS_AT
    return (row[0] >> FIRST_DAY_AT) & MOST_DAY if known > 0 else latest, max(known, 1), latest


@kernel
def _bought_word(product: int, first: int, days: int) -> int:
    return product | first << FIRST_DAY_AT | min(days, MOST_DAYS) << DAYS_AT


@kernel
def _take_from_line(rows: Words, count: int, product: int, quantity: int) -> int:
    """Take a quantity from the product's row, where it has one; a row with nothing left goes."""
    row = _find(rows, count, product)
    if row < 0:
        return count
    rows[row, 1] -= quantity
    return _drop_row(rows, count, row) if rows[row, 1] <= 0 else count


@kernel
def _is_newer(rows: Words, count: int, product: int, time: int) -> bool:
    """Tell whether the product has a row whose latest time lies after `time`."""
    row = _find(rows, count, product)
    return row >= 0 and rows[row, 2] > time


@kernel
def _drop_product(rows: Words, count: int, product: int) -> int:
    row = _find(rows, count, product)
    return count if row < 0 else _drop_row(rows, count, row)


@kernel
def _session_holding(sessions: Words, count: int, time: int) -> int:
    """Return the row of the session nearest in time within the gap (ties: the one opened last), or -1."""
    best = -1
    best_distance = SESSION_GAP + 1
    for i in range(count):
        distance = max(sessions[i, 1] - time, time - sessions[i, 2], 0)
        if distance <= SESSION_GAP and distance <= best_distance:
            best, best_distance = i, distance
    return best


@kernel
def _oldest_session(sessions: Words, count: int) -> int:
    """Return the row of the session that ended first (ties: the one opened first)."""
    oldest = 0
    for i in range(1, count):
        if sessions[i, 2] < sessions[oldest, 2]:
            oldest = i
    return oldest


@kernel
def _place(sessions: Words, count: int, time: int, given: int, position: int) -> tuple[int, int]:
    """Return (the act's session, new count of sessions); opens a session where none fits.

    When all rows are taken the session that ended first leaves, so that late acts never push out the open one; a new
    session that would itself be that one has its number, but is not kept.
    """
    row = _find_session(sessions, count, given) if given != 0 else _session_holding(sessions, count, time)
    if row >= 0:
        sessions[row, 1] = min(sessions[row, 1], time)
        sessions[row, 2] = max(sessions[row, 2], time)
        return sessions[row, 0], count
    session = given if given != 0 else position
    if count == SESSIONS_KEPT:
        oldest = _oldest_session(sessions, count)
        if time < sessions[oldest, 2]:
            return session, count
        count = _drop_row(sessions, count, oldest)
    sessions[count, 0] = session
    sessions[count, 1] = time
    sessions[count, 2] = time
    return session, count + 1


@kernel
def _hide(hidden: Words, count: int, product: int) -> int:
    if _find(hidden, count, product) >= 0:
        return count
    if count == HIDDEN_KEPT:
        count = _drop_row(hidden, count, 0)
    hidden[count, 0] = product
    return count + 1


@kernel
def _apply(act: Words, session: int, sections: tuple[Words, ...], counts: Words) -> None:
    """Change the sections EVENTS, CART, BOUGHT and HIDDEN as one act on a product asks.

    Acts come late and out of order: what was put into the cart before the product's latest purchase was bought with
    it, and a purchase leaves what was put into the cart after it.
    """
    kind, product, time, quantity = act[ACT_TYPE], act[ACT_PRODUCT], act[ACT_TIME], act[ACT_QUANTITY]
    cart, bought, hidden = sections[_CART], sections[_BOUGHT], sections[_HIDDEN]
    if _TASTE[kind]:
        counts[_EVENTS] = _insert_event(sections[_EVENTS], counts[_EVENTS], time, session, product | (kind << 32))
    if kind == _CART_ADD and not _is_newer(bought, counts[_BOUGHT], product, time):
        counts[_CART] = _add_line(cart, counts[_CART], CART_KEPT, (product, quantity, time))
    elif kind == _CART_REMOVE:
        counts[_CART] = _take_from_line(cart, counts[_CART], product, quantity)
    elif kind == _PURCHASE:
        if not _is_newer(cart, counts[_CART], product, time):
            counts[_CART] = _drop_product(cart, counts[_CART], product)
        counts[_BOUGHT] = _add_purchase(bought, counts[_BOUGHT], (product, quantity, time))
    elif kind == _REFUND:
        counts[_BOUGHT] = _take_from_line(bought, counts[_BOUGHT], product, quantity)
    elif kind == _HIDE:
        counts[_HIDDEN] = _hide(hidden, counts[_HIDDEN], product)


@kernel
def _note_shown(act: Words, sections: tuple[Words, ...], counts: Words) -> None:
    """Count an impression, but one that came late and lies before an act on the product; an act sets the count back."""
    kind, product, time = act[ACT_TYPE], act[ACT_PRODUCT], act[ACT_TIME]
    if kind == _IMPRESSION:
        if not _acted_after(sections[_EVENTS], counts[_EVENTS], product, time):
            counts[_SHOWN] = count_shown(sections[_SHOWN], counts[_SHOWN], product, (time // DAY, 1))
    elif _IS_ACT[kind]:
        counts[_SHOWN] = acted_on(sections[_SHOWN], counts[_SHOWN], product, time // DAY)


@kernel
def _acted_after(events: Words, count: int, product: int, time: int) -> bool:
    """Tell whether one of the acts of taste is on a product and lies after a time."""
    i = count - 1
    while i >= 0 and events[i, 0] > time:
        if events[i, 2] & NO_NUMBER == product:
            return True
        i -= 1
    return False


@kernel
def _taken_apart(state: Words) -> tuple[tuple[Words, ...], Words]:
    """Return copies of a state's sections, each with room for all that it may hold, and how many rows they have."""
    sections = (
        np.empty((EVENTS_KEPT, EVENT_WORDS), np.int64),
        np.empty((CART_KEPT, CART_WORDS), np.int64),
        np.empty((BOUGHT_KEPT, BOUGHT_WORDS), np.int64),
        np.empty((HIDDEN_KEPT, HIDDEN_WORDS), np.int64),
        np.empty((SESSIONS_KEPT, SESSION_WORDS), np.int64),
        np.empty((SHOWN_KEPT, SHOWN_WORDS), np.int64),
    )
    counts = np.empty(_N_SECTIONS, np.int64)
    counts[:_SHOWN] = state[H_EVENTS : H_SESSIONS + 1]
    counts[_SHOWN] = state[H_VERSION] >> N_SHOWN_AT
    at = HEADER
    for s in range(len(sections)):
        rows = sections[s]
        for i in range(counts[s]):
            for j in range(rows.shape[1]):
                rows[i, j] = state[at]
                at += 1
    return sections, counts


@kernel
def _put_together(sections: tuple[Words, ...], counts: Words, newest: int, out: Words) -> int:
    """Write a state; return its length."""
    out[H_VERSION], out[H_NEWEST] = LAYOUT_VERSION | counts[_SHOWN] << N_SHOWN_AT, newest
    out[H_EVENTS : H_SESSIONS + 1] = counts[:_SHOWN]
    at = HEADER
    for s in range(len(sections)):
        rows = sections[s]
        for i in range(counts[s]):
            for j in range(rows.shape[1]):
                out[at] = rows[i, j]
                at += 1
    return at


@kernel
def fold(state: Words, acts: Words, out: Words) -> int:
    """Apply acts of one customer, in order, to a state; return the length of the new state written to `out`.

    Shapes: state int64[words]; acts int64[n, 6], columns ACT_* of `core.session`, where a session of 0 is replaced by
    the one assigned; out int64[MAX_WORDS], which may be the buffer of `state`.
    """
    sections, counts = _taken_apart(state)
    newest = state[H_NEWEST]
    for i in range(len(acts)):
        act = acts[i]
        act[ACT_SESSION], counts[_SESSIONS] = _place(
            sections[_SESSIONS], counts[_SESSIONS], act[ACT_TIME], act[ACT_SESSION], act[ACT_POSITION]
        )
        newest = max(newest, act[ACT_TIME])
        if act[ACT_PRODUCT] != NO_NUMBER:
            _apply(act, act[ACT_SESSION], sections, counts)
            _note_shown(act, sections, counts)
    return _put_together(sections, counts, newest, out)


@kernel
def _rename_session(sections: tuple[Words, ...], counts: Words, old: int, new: int) -> None:
    """Give a session another number, in the acts and among the sessions."""
    events, sessions = sections[_EVENTS], sections[_SESSIONS]
    for i in range(counts[_EVENTS]):
        if events[i, 1] == old:
            events[i, 1] = new
    for i in range(counts[_SESSIONS]):
        if sessions[i, 0] == old:
            sessions[i, 0] = new


@kernel
def _visit_of(sessions: Words, count: int, theirs: Words) -> int:
    """Return the row of the session that another one is one visit with, or -1.

    That is the one of the same number, else the first one within the gap, unless the shop named both.
    """
    row = _find_session(sessions, count, theirs[0])
    if row >= 0:
        return row
    for i in range(count):
        apart = max(theirs[1] - sessions[i, 2], sessions[i, 1] - theirs[2])
        if apart <= SESSION_GAP and sessions[i, 0] & theirs[0] & GIVEN_SESSION == 0:
            return i
    return -1


@kernel
def _merge_sessions(mine: tuple[Words, ...], n_mine: Words, theirs: tuple[Words, ...], n_theirs: Words) -> None:
    """Take their sessions in; those that meet become one, with the number of the named one, else the earlier one."""
    sessions = mine[_SESSIONS]
    for i in range(n_theirs[_SESSIONS]):
        other = theirs[_SESSIONS][i]
        row = _visit_of(sessions, n_mine[_SESSIONS], other)
        if row >= 0:
            number = sessions[row, 0]
            is_ours = number & GIVEN_SESSION != 0 or (other[0] & GIVEN_SESSION == 0 and sessions[row, 1] <= other[1])
            if is_ours:
                _rename_session(theirs, n_theirs, other[0], number)
            else:
                _rename_session(mine, n_mine, number, other[0])
            sessions[row, 1] = min(sessions[row, 1], other[1])
            sessions[row, 2] = max(sessions[row, 2], other[2])
            continue
        if n_mine[_SESSIONS] == SESSIONS_KEPT:
            oldest = _oldest_session(sessions, SESSIONS_KEPT)
            if other[2] < sessions[oldest, 2]:
                continue
            n_mine[_SESSIONS] = _drop_row(sessions, SESSIONS_KEPT, oldest)
        sessions[n_mine[_SESSIONS]] = other
        n_mine[_SESSIONS] += 1


@kernel
def _merge_shown(mine: tuple[Words, ...], n_mine: Words, theirs: tuple[Words, ...], n_theirs: Words) -> None:
    """Add their impressions, while the acts are still apart: those of each set the count of the other back."""
    _set_back(mine[_SHOWN], n_mine, theirs[_EVENTS][: n_theirs[_EVENTS]])
    _set_back(theirs[_SHOWN], n_theirs, mine[_EVENTS][: n_mine[_EVENTS]])
    n_mine[_SHOWN] = merge_shown(mine[_SHOWN], n_mine[_SHOWN], theirs[_SHOWN], n_theirs[_SHOWN])


@kernel
def _set_back(shown: Words, counts: Words, acts: Words) -> None:
    for i in range(len(acts)):
        counts[_SHOWN] = acted_on(shown, counts[_SHOWN], acts[i, 2] & NO_NUMBER, acts[i, 0] // DAY)


@kernel
def merge(state: Words, other: Words, renamed: tuple[int, int], out: Words) -> int:
    """Merge the state of somebody who turned out to be the same customer; return the length of what `out` holds then.

    Acts are put in order of time. Quantities in cart and purchases add up, and what one had put into the cart before
    the other bought it was bought with it. Impressions add up, too, but those before an act of either on the product
    are forgotten. `renamed` (old, new) is a session of the other's that goes on under another number, (0, 0) for none.
    Shapes: state, other int64[words]; out int64[MAX_WORDS].
    """
    mine, n_mine = _taken_apart(state)
    theirs, n_theirs = _taken_apart(other)
    if renamed[0] != 0:
        _rename_session(theirs, n_theirs, renamed[0], renamed[1])
    _merge_sessions(mine, n_mine, theirs, n_theirs)
    _merge_shown(mine, n_mine, theirs, n_theirs)
    for i in range(n_theirs[_EVENTS]):
        act = theirs[_EVENTS][i]
        n_mine[_EVENTS] = _insert_event(mine[_EVENTS], n_mine[_EVENTS], act[0], act[1], act[2])
    for i in range(n_theirs[_BOUGHT]):
        line = theirs[_BOUGHT][i]
        product = line[0] & NO_NUMBER
        if not _is_newer(mine[_CART], n_mine[_CART], product, line[2]):
            n_mine[_CART] = _drop_product(mine[_CART], n_mine[_CART], product)
    for i in range(n_theirs[_CART]):
        line = theirs[_CART][i]
        if not _is_newer(mine[_BOUGHT], n_mine[_BOUGHT], line[0], line[2]):
            n_mine[_CART] = _add_line(mine[_CART], n_mine[_CART], CART_KEPT, (line[0], line[1], line[2]))
    for i in range(n_theirs[_BOUGHT]):
        n_mine[_BOUGHT] = _merge_purchases(mine[_BOUGHT], n_mine[_BOUGHT], theirs[_BOUGHT][i])
    for i in range(n_theirs[_HIDDEN]):
        n_mine[_HIDDEN] = _hide(mine[_HIDDEN], n_mine[_HIDDEN], theirs[_HIDDEN][i, 0])
    return _put_together(mine, n_mine, max(state[H_NEWEST], other[H_NEWEST]), out)


@kernel
def fold_run(starts: Words, states: tuple[Words, Words], acts: Words, out: Words) -> int:
    """Fold the acts of many customers; return how many words of `out` were used.

    Customer `c` owns acts `starts[c]:starts[c + 1]`. `states` is (words, offsets): their states so far, one after the
    other. `out` must hold len(starts) - 1 states of `MAX_WORDS` at worst; `offsets` is overwritten with the offsets of
    the new states in `out`. Shapes: starts int64[c + 1], words int64[any], offsets int64[c + 1], acts int64[n, 6].
    """
    words, offsets = states
    at = 0
    for c in range(len(starts) - 1):
        state = words[offsets[c] : offsets[c + 1]]
        length = fold(state, acts[starts[c] : starts[c + 1]], out[at:])
        offsets[c] = at
        at += length
    offsets[len(starts) - 1] = at
    return at
