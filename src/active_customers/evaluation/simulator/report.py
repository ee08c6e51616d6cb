"""What a run of the simulated shop made, in figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from active_customers import __version__
from active_customers.core.clock import format_time
from active_customers.core.event import EventType
from active_customers.evaluation.simulator.journal import NONE, Column
from active_customers.evaluation.simulator.shop import Shop

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SimulationReport:
    """What a run made; it is written to `simulation.json`, from which the same shop can be opened again.

    A session counts when something in it was recorded. `conversion`: share of sessions with an order;
    `cart_abandonment`: share of sessions with something put into the cart and no order; `session_length`: mean events
    of a session; `returning_customers`: share of customers with more than one session; `revenue` in EUR, refunds not
    taken off.
    """

    version: str
    arguments: dict[str, Any]
    start: str
    end: str
    products: int
    pictures: int
    customers: int
    sessions: int
    events: int
    events_by_type: dict[str, int]
    orders: int
    revenue: float
    conversion: float
    cart_abandonment: float
    session_length: float
    returning_customers: float


class Tally:
    """Counts events, sessions and money as the days go by."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._by_type = np.zeros(max(EventType) + 1, np.int64)
        self._visits: list[Integers] = []
        """Pairs of session and customer, int64[n, 2], each at least once."""
        self._with_cart: list[Integers] = []
        self._orders: list[Integers] = []
        """Pairs of session and order."""
        self._in_sessions = 0
        self._revenue = 0.0

    def count(self, columns: dict[str, Column]) -> None:
        """Add the events of a day."""
        event_type, session = columns["event_type"].astype(np.int64), columns["session"].astype(np.int64)
        self._by_type += np.bincount(event_type, minlength=len(self._by_type))
        named = session != NONE
        self._in_sessions += int(named.sum())
        self._visits.append(_distinct(session[named], columns["customer"][named]))
        self._with_cart.append(session[event_type == EventType.CART_ADD])
        bought = event_type == EventType.PURCHASE
        self._orders.append(_distinct(session[bought], columns["order"][bought]))
        self._revenue += float(np.dot(columns["price"][bought], columns["quantity"][bought]))

    def report(self, pictures: int) -> SimulationReport:
        """Return the figures so far; shares of nothing are 0."""
        visits = np.unique(np.concatenate(self._visits), axis=0)
        orders = np.unique(np.concatenate(self._orders), axis=0)
        with_cart = np.unique(np.concatenate(self._with_cart))
        abandoned = np.setdiff1d(with_cart, orders[:, 0])
        visits_each = np.unique(visits[:, 1], return_counts=True)[1]
        config = self._shop.config
        return SimulationReport(
            version=__version__,
            arguments=config.model_dump(),
            start=format_time(config.start),
            end=format_time(config.stop),
            products=len(self._shop.catalogue),
            pictures=pictures,
            customers=len(visits_each),
            sessions=len(visits),
            events=int(self._by_type.sum()),
            events_by_type={kind.word: int(self._by_type[kind]) for kind in EventType if self._by_type[kind]},
            orders=len(orders),
            revenue=round(self._revenue, 2),
            conversion=_share(len(orders), len(visits)),
            cart_abandonment=_share(len(abandoned), len(with_cart)),
            session_length=_share(self._in_sessions, len(visits)),
            returning_customers=_share(int((visits_each > 1).sum()), len(visits_each)),
        )


def _distinct(left: Column, right: Column) -> Integers:
    return np.unique(np.column_stack((left, right)).astype(np.int64), axis=0)


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0
