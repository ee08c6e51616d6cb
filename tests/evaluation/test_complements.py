"""What it costs to leave stand-ins out, measured on carts whose next product is known."""

from __future__ import annotations

import numpy as np
from tests.models.conftest import log_of

from active_customers.core.event import EventType
from active_customers.evaluation.complements import measure


def carts(*sessions: list[int]):
    log = log_of([list(session) for session in sessions], 6)
    log.event_types[:] = EventType.PURCHASE
    return log


def test_hits_are_counted_with_and_without_what_is_left_out():
    log = carts([0, 1], [0, 1], [0, 1, 2], [2, 3], [2, 3], [0, 1], [2, 3])
    nothing = measure(log, 5, lambda _model: lambda _cart: np.empty(0, np.uint32), k=1)
    assert (nothing.questions, nothing.changed, nothing.with_stand_ins, nothing.without) == (2, 0, 1.0, 1.0)
    one = measure(log, 5, lambda _model: lambda _cart: np.array([1], np.uint32), k=1)
    assert (one.changed, one.with_stand_ins, one.without) == (1, 1.0, 0.5)
    assert one.differences["hr"].mean == -0.5
