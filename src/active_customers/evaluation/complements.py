"""Whether leaving out what would only replace a product of the cart costs what people really add next."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.core.event import EventType
from active_customers.evaluation.comparison import Difference, differences
from active_customers.evaluation.metrics import gains
from active_customers.models.base import SessionLog
from active_customers.models.item_knn import ItemKnn

SEED = 1
_MOST_ASKED = 5_000

StandIns = Callable[[NDArray[np.uint32]], NDArray[np.uint32]]
"""Return what would only replace a product of a cart."""


class Complements(NamedTuple):
    """Hit rate at k of what is bought together with and without stand-ins, how many it left out, and the difference."""

    with_stand_ins: float
    without: float
    changed: int
    differences: dict[str, Difference]
    questions: int


def measure(log: SessionLog, n_before: int, stand_ins: Callable[[ItemKnn], StandIns], k: int = 10) -> Complements:
    """Ask each cart of the sessions after the first `n_before` for the product that is added next.

    A cart is what a session had put in (or bought) so far, in its order. The models learn from the sessions before.
    """
    model = ItemKnn()
    model.fit(log.first(n_before))
    left_out = stand_ins(model)
    ranks: list[tuple[int, int]] = []
    sessions: list[int] = []
    changed = 0
    for session in range(n_before, log.n_sessions):
        rows = slice(*log.offsets[session : session + 2])
        wanted = np.isin(log.event_types[rows], (EventType.CART_ADD, EventType.PURCHASE))
        cart = list(dict.fromkeys(log.products[rows][wanted].tolist()))
        for length in range(1, len(cart)):
            if len(ranks) == _MOST_ASKED:
                break
            have = np.array(cart[:length], np.uint32)
            other = np.concatenate((have, left_out(have)))
            plain = model.bought_with(have, k, have).products.tolist()
            kept = model.bought_with(have, k, other).products.tolist()
            changed += plain != kept
            ranks.append((_rank(plain, cart[length]), _rank(kept, cart[length])))
            sessions.append(session)
    found = np.array(ranks, np.int64).reshape(-1, 2)
    plain_gains, kept_gains = gains(found[:, 0]), gains(found[:, 1])
    apart = differences(kept_gains, plain_gains, np.array(sessions), np.random.default_rng(SEED))
    return Complements(float(plain_gains["hr"].mean()), float(kept_gains["hr"].mean()), changed, apart, len(found))


def _rank(products: list[int], target: int) -> int:
    return products.index(target) + 1 if target in products else 0
