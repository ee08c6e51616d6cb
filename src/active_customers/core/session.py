"""Session state of a customer: one small array of 64-bit integers, the same in memory, on disk and in the kernels.

Layout (words)::

    header   [HEADER]                 see the H_ constants; the upper half of H_VERSION is n_shown
    events   [n_events, 3]            time, session, product | event type << 32; oldest first
    cart     [n_cart, 3]              product, quantity, time of the latest add; oldest first
    bought   [n_bought, 3]            product | first day << 32 | days << 48, quantity, time of the latest purchase;
                                      oldest first
    hidden   [n_hidden]               product
    sessions [n_sessions, 3]          session, first time, last time; in the order they were opened
    shown    [n_shown, 2]             product | latest day << 32, impressions by day; the day longest ago first

Each section is bounded; when it is full its oldest row leaves, and an act that would be older than all is not kept:
oldest by the shop's own time (of sessions: their last time), except for `hidden`, which goes by arrival. The fold that
changes it is `kernels.session_state`.

Of what was bought the first day (days since 1970) and the number of days with a purchase stand beside the product, so
that its interval is known: 0 days where the state was written before they were counted.

Of what was shown and not acted on since, impressions are counted by day, `SHOWN_BITS` bits each, the latest day (days
since 1970) in the lowest ones. A state written before they were counted has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.core.clock import DAY, MINUTE
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.recommendation import Goal

State = NDArray[np.int64]

LAYOUT_VERSION = 2
H_VERSION, H_EVENTS, H_CART, H_BOUGHT, H_HIDDEN, H_SESSIONS, H_NEWEST = range(7)
HEADER = 7

EVENT_WORDS, CART_WORDS, BOUGHT_WORDS, HIDDEN_WORDS, SESSION_WORDS, SHOWN_WORDS = 3, 3, 3, 1, 3, 2
N_SHOWN_AT = 32
"""Bits of the word H_VERSION above which the number of rows of `shown` stands."""

FIRST_DAY_AT, DAYS_AT = 32, 48
"""Bits of a bought product's word where the first day and the number of days with a purchase stand."""
MOST_DAY, MOST_DAYS = 0xFFFF, 0x7FFF

# Bounds of the sections. An active customer's state is about 1.2 kB; the largest possible one is 24 kB.
EVENTS_KEPT = 40
"""Acts of taste that models see; longer sessions gain nothing (accuracy peaks below 20)."""
CART_KEPT = 200
BOUGHT_KEPT = 500
HIDDEN_KEPT = 500
SESSIONS_KEPT = 8
"""Open and recent sessions that a late event can still join."""
SHOWN_KEPT = 128
"""Products whose impressions are counted: 2 kB."""
SHOWN_DAY_AT = 32
"""Bit of a shown product's word where its latest day stands."""
SHOWN_DAYS, SHOWN_BITS = 15, 4
"""Days that impressions are counted for, and the bits of each: at most 15 of a product on one day count."""

MAX_WORDS = (
    HEADER
    + EVENTS_KEPT * EVENT_WORDS
    + CART_KEPT * CART_WORDS
    + BOUGHT_KEPT * BOUGHT_WORDS
    + HIDDEN_KEPT * HIDDEN_WORDS
    + SESSIONS_KEPT * SESSION_WORDS
    + SHOWN_KEPT * SHOWN_WORDS
)

SESSION_GAP = 30 * MINUTE
"""A pause longer than this ends a session that the shop did not name itself."""

CART_AGE = 30 * DAY
"""A cart line whose latest add is older than this is forgotten by the shop, too: it counts no longer when a state is
read."""

GIVEN_SESSION = 1 << 62
"""Bit that marks a session named by the shop (a hash of its id); without it the number is the log position of the
session's first event."""


ACT_TYPE, ACT_PRODUCT, ACT_TIME, ACT_QUANTITY, ACT_SESSION, ACT_POSITION = range(6)
"""Columns of the acts that the fold takes: int64[n, ACT_WORDS]. A session of 0 asks the fold to assign one."""
ACT_WORDS = 6


def given_session(customer: int, session_id: str) -> int:
    """Return the session number of an id that the shop gave, which counts per customer (ids such as "1" are common)."""
    digest = blake2b(session_id.encode(), digest_size=8, key=customer.to_bytes(4, "little")).digest()
    return GIVEN_SESSION | (int.from_bytes(digest, "little") & (GIVEN_SESSION - 1))


def renamed_session(before: int, customer: int, session_id: str | None) -> tuple[int, int]:
    """Return (old, new) of a session that the shop named and that goes on under another customer number.

    (0, 0) where it named none.
    """
    return (0, 0) if session_id is None else (given_session(before, session_id), given_session(customer, session_id))


def empty_state() -> State:
    """Return the state of a customer who has done nothing."""
    state = np.zeros(HEADER, np.int64)
    state[H_VERSION] = LAYOUT_VERSION
    return state


@dataclass(frozen=True, slots=True)
class CustomerState:
    """A readable view of a `State`; the hot path reads the array itself.

    Shapes: events [n, 3], cart [n, 3], bought [n, 3], hidden [n], sessions [n, 3], shown [n, 2], all int64, columns as
    in the layout, but that the products of `bought` stand alone.
    """

    events: State
    cart: State
    bought: State
    hidden: State
    sessions: State
    shown: State
    newest: int

    @classmethod
    def of(cls, state: State) -> CustomerState:
        """Split a state array into its sections: views, but for a copy of what was bought."""
        sections = []
        start = HEADER
        for count, words in (
            (state[H_EVENTS], EVENT_WORDS),
            (state[H_CART], CART_WORDS),
            (state[H_BOUGHT], BOUGHT_WORDS),
            (state[H_HIDDEN], HIDDEN_WORDS),
            (state[H_SESSIONS], SESSION_WORDS),
            (state[H_VERSION] >> N_SHOWN_AT, SHOWN_WORDS),
        ):
            end = start + int(count) * words
            section = state[start:end]
            sections.append(section.reshape(-1, words) if words > 1 else section)
            start = end
        events, cart, bought, hidden, sessions, shown = sections
        bought = bought.copy()
        bought[:, 0] &= NO_NUMBER
        return cls(events, cart, bought, hidden, sessions, shown, int(state[H_NEWEST]))


class SessionQuery(NamedTuple):
    """What a model is asked about: products a customer showed interest in, oldest first.

    Shapes: products uint32[n], event_types uint8[n], times int64[n] (microseconds). `now` is the time of the question,
    `goal` what the answer is for.
    """

    products: NDArray[np.uint32]
    event_types: NDArray[np.uint8]
    times: NDArray[np.int64]
    now: int
    goal: Goal = Goal.NEXT
