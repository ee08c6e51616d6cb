"""Reading a session state in one call: what a question is made of, as plain arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.core.event import EventType
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.session import (
    BOUGHT_WORDS,
    CART_AGE,
    CART_WORDS,
    EVENT_WORDS,
    H_BOUGHT,
    H_CART,
    H_EVENTS,
    H_HIDDEN,
    HEADER,
    State,
)
from active_customers.kernels.jit import kernel

_VIEW = int(EventType.VIEW)

Numbers = NDArray[np.uint32]


class StateSections(NamedTuple):
    """The products of a state by section.

    Shapes: products uint32[n], event_types uint8[n], times int64[n] (oldest first), cart uint32[c], bought uint32[b],
    hidden uint32[h].
    """

    products: Numbers
    event_types: NDArray[np.uint8]
    times: NDArray[np.int64]
    cart: Numbers
    bought: Numbers
    hidden: Numbers


@kernel
def read_sections(state: State, asked: Numbers, now: int, of_all_sessions: bool) -> StateSections:
    """Return the sections of a state, after the acts a view of each product in `asked`.

    None of a product that is that of the newest act already: a shop that posts a view and then asks about its page
    tells of one view, not of two.

    The acts are those of the latest session, or all that are kept. Cart lines whose latest add is older than `CART_AGE`
    are left out.
    """
    n_kept, n_cart, n_bought = state[H_EVENTS], state[H_CART], state[H_BOUGHT]
    cart_at = HEADER + n_kept * EVENT_WORDS
    latest = state[cart_at - EVENT_WORDS + 1] if n_kept else 0
    n_events = 0
    for i in range(n_kept):
        n_events += of_all_sessions or state[HEADER + i * EVENT_WORDS + 1] == latest
    products = np.empty(n_events + len(asked), np.uint32)
    event_types = np.empty(n_events + len(asked), np.uint8)
    times = np.empty(n_events + len(asked), np.int64)
    row = 0
    for at in range(HEADER, cart_at, EVENT_WORDS):
        if of_all_sessions or state[at + 1] == latest:
            times[row] = state[at]
            products[row] = state[at + 2] & NO_NUMBER
            event_types[row] = state[at + 2] >> 32
            row += 1
    for product in asked:
        if row == 0 or products[row - 1] != product:
            products[row], event_types[row], times[row] = product, _VIEW, now
            row += 1
    at = cart_at
    cart_end = at + n_cart * CART_WORDS
    while at < cart_end and state[at + 2] < now - CART_AGE:  # the oldest lines come first
        at += CART_WORDS
    cart = _column(state, at, (cart_end - at) // CART_WORDS, CART_WORDS)
    at = cart_end
    bought = _column(state, at, n_bought, BOUGHT_WORDS)
    at += n_bought * BOUGHT_WORDS
    return StateSections(
        products[:row], event_types[:row], times[:row], cart, bought, _column(state, at, state[H_HIDDEN], 1)
    )


@kernel
def _column(state: State, at: int, count: int, words: int) -> Numbers:
    column = np.empty(count, np.uint32)
    for i in range(count):
        column[i] = state[at + i * words] & NO_NUMBER  # of what was bought, days stand beside the product
    return column
