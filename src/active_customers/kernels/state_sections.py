"""Reading a session state in one call: what a question is made of, as plain arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.core.event import EventType
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.session import (
    BOUGHT_WORDS,
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
def read_sections(state: State, asked: Numbers, now: int) -> StateSections:
    """Return the sections of a state, with a view of each product in `asked`, at `now`, after its acts."""
    n_events, n_cart, n_bought = state[H_EVENTS], state[H_CART], state[H_BOUGHT]
    products = np.empty(n_events + len(asked), np.uint32)
    event_types = np.empty(n_events + len(asked), np.uint8)
    times = np.empty(n_events + len(asked), np.int64)
    at = HEADER
    for i in range(n_events):
        times[i] = state[at]
        products[i] = state[at + 2] & NO_NUMBER
        event_types[i] = state[at + 2] >> 32
        at += EVENT_WORDS
    for i in range(len(asked)):
        products[n_events + i], event_types[n_events + i], times[n_events + i] = asked[i], _VIEW, now
    cart = _column(state, at, n_cart, CART_WORDS)
    at += n_cart * CART_WORDS
    bought = _column(state, at, n_bought, BOUGHT_WORDS)
    at += n_bought * BOUGHT_WORDS
    return StateSections(products, event_types, times, cart, bought, _column(state, at, state[H_HIDDEN], 1))


@kernel
def _column(state: State, at: int, count: int, words: int) -> Numbers:
    column = np.empty(count, np.uint32)
    for i in range(count):
        column[i] = state[at + i * words]
    return column
