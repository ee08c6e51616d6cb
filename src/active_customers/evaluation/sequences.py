"""Sequences: rows of who and what, in an order given by a position or a time, as tables hold them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.core.errors import InvalidValueError
from active_customers.core.event import EventType
from active_customers.evaluation.interactions import Interactions, Source

SESSION_COLUMNS = ("sessionid", "session", "userid", "customerid")
CUSTOMER_COLUMNS = ("userid", "customerid", "visitorid")
PRODUCT_COLUMNS = ("itemid", "productid", "item", "product")
TIME_COLUMNS = ("time", "timestamp", "ts", "eventtime")
POSITION_COLUMNS = ("pos", "position")
EVENT_COLUMNS = ("event", "eventtype", "type")


class SequenceColumns(NamedTuple):
    """What the columns of a sequence table are called; it has a time, a position, or both."""

    session: str
    product: str
    time: str | None
    position: str | None


class Sequences(NamedTuple):
    """The columns of a sequence table, all [n]: ids as integers or strings, times in microseconds."""

    sessions: NDArray[Any]
    products: NDArray[Any]
    times: NDArray[np.int64] | None
    positions: NDArray[np.float64] | None


def sequence_columns(names: Iterable[str]) -> SequenceColumns | None:
    """Return the columns of a sequence table: session, product and an order, but no kinds of events; None for others.

    >>> sequence_columns(["session_id", "pos", "item_id"])
    SequenceColumns(session='session_id', product='item_id', time=None, position='pos')
    >>> sequence_columns(["user_id", "item_id", "event", "ts"]) is None
    True
    """
    columns = list(names)
    session, product = _found(columns, SESSION_COLUMNS), _found(columns, PRODUCT_COLUMNS)
    time, position = _found(columns, TIME_COLUMNS), _found(columns, POSITION_COLUMNS)
    if session is None or product is None or time is position is None or _found(columns, EVENT_COLUMNS) is not None:
        return None
    return SequenceColumns(session, product, time, position)


def held_out_columns(names: Iterable[str]) -> SequenceColumns:
    """Return the columns of a table of held-out products: who, and what; raises `InvalidValueError` for another one.

    >>> held_out_columns(["user_id", "item_id"])
    SequenceColumns(session='user_id', product='item_id', time=None, position=None)
    """
    columns = list(names)
    customer, product = _found(columns, CUSTOMER_COLUMNS), _found(columns, PRODUCT_COLUMNS)
    if customer is None or product is None:
        raise InvalidValueError("heldout", columns, "give a file with the columns user_id and item_id")
    return SequenceColumns(customer, product, None, None)


def interactions_of(table: Sequences, source: Source | None = None) -> Interactions:
    """Return the rows in their order; every row counts as a view.

    Without times, the sessions are in the order of their first rows and positions order each session's acts. Acts with
    equal times stay in the order of their positions, else of the table.
    """
    n = len(table.products)
    order = np.arange(n) if table.positions is None else np.argsort(table.positions, kind="stable")
    if table.times is None:
        order = order[np.argsort(_first_rows(table.sessions)[order], kind="stable")]
    return Interactions(
        sessions=table.sessions[order],
        products=table.products[order],
        event_types=np.full(n, EventType.VIEW, np.uint8),
        times=None if table.times is None else table.times[order],
        source=source,
    )


def epoch_microseconds(numbers: NDArray[Any]) -> NDArray[np.int64]:
    """Return numbers since 1970 in seconds, milliseconds or microseconds, told apart by the largest, as microseconds.

    >>> epoch_microseconds(np.array([1_590_884_413.5])).tolist()
    [1590884413500000]
    """
    largest = float(numbers.max(initial=0))
    scale = 1_000_000 if largest < 1e11 else 1_000 if largest < 1e14 else 1
    return np.asarray((numbers * scale).astype(np.int64))


def _found(names: Iterable[str], wanted: Iterable[str]) -> str | None:
    """Return the first wanted column that is there, whatever its case and punctuation."""
    plain = {re.sub(r"[^a-z0-9]", "", name.lower()): name for name in names}
    return next((plain[name] for name in wanted if name in plain), None)


def _first_rows(sessions: NDArray[Any]) -> NDArray[np.int64]:
    """Return, for each row, the first row of its session."""
    _, first_rows, inverse = np.unique(sessions, return_index=True, return_inverse=True)
    return first_rows[inverse]
