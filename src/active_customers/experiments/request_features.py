"""What a bandit with contexts is told of a request: ten numbers of about one size."""

from __future__ import annotations

from math import cos, log1p, pi, sin

import numpy as np
from numpy.typing import NDArray

from active_customers.core.clock import DAY
from active_customers.core.event import Channel
from active_customers.core.session import H_BOUGHT, H_CART, H_EVENTS, State

FEATURES = (*("always", "mobile", "email", "push", "hour_sine", "hour_cosine", "weekend", "acts", "in_cart", "bought"),)
"""The first is always 1; those of a medium are 1 there; the hour is the shop's, on a circle; counts are logarithms,
as shares of what is usual at most."""

_MOST_ACTS, _MOST_BOUGHT = log1p(40), log1p(50)
_FIRST_MONDAY = 4 * DAY
"""The first of January 1970 was a Thursday."""


def features_of(channel: Channel, state: State | None, local_time: int) -> NDArray[np.float32]:
    """Return the features of a request, float32[10]; `local_time` is that of the shop's zone, in microseconds.

    >>> dict(zip(FEATURES, features_of(Channel.MOBILE, None, 6 * HOUR).round(2).tolist()))["hour_sine"]
    1.0
    """
    angle = 2 * pi * (local_time % DAY) / DAY
    weekday = (local_time - _FIRST_MONDAY) // DAY % 7
    acts, cart, bought = (0, 0, 0) if state is None else (state[H_EVENTS], state[H_CART], state[H_BOUGHT])
    return np.array(
        (
            1.0,
            channel == Channel.MOBILE,
            channel == Channel.EMAIL,
            channel == Channel.PUSH,
            sin(angle),
            cos(angle),
            weekday >= 5,
            log1p(acts) / _MOST_ACTS,
            cart > 0,
            log1p(bought) / _MOST_BOUGHT,
        ),
        np.float32,
    )
