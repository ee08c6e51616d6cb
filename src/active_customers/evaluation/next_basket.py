"""Next basket: what the last order of each customer holds, foretold from their orders before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.core.clock import DAY
from active_customers.core.errors import InvalidValueError, NoDataError
from active_customers.core.event import EventType
from active_customers.core.recommendation import Goal
from active_customers.evaluation.described import DescribedProducts
from active_customers.evaluation.interactions import Interactions, SessionRows, encoded, joined
from active_customers.evaluation.task import Numbered, Questions, Task, log_of, numbered
from active_customers.models.base import SessionLog

HORIZON_DAYS = 30.0
"""Length of the test window where none is given."""


class _Baskets(NamedTuple):
    """Purchases in the order of baskets: a row for each product of a basket; `baskets` and `customers` are codes."""

    rows: SessionRows
    baskets: NDArray[np.int64]
    customers: NDArray[np.int64]
    customer_ids: NDArray[Any]


def next_basket(
    files: Sequence[Interactions], days: float | None = None, catalogue: DescribedProducts | None = None
) -> Task:
    """Set the next-basket task.

    A basket is what a customer bought in one order, or in one session where orders have no names; a product counts once
    in it. Asked is every customer whose last basket lies in the last `days` of the file and is not their only one, with
    everything they bought before that basket. Models learn from the purchases before the window, each basket being a
    session. Raises `InvalidValueError` where customers or times are not known or the window leaves nothing to learn
    from, `NoDataError` where nobody is asked.
    """
    length = HORIZON_DAYS if days is None else days
    bought = _baskets(files)
    times = bought.rows.times
    until = int(times.max(initial=0)) + 1 - int(length * DAY)
    if length <= 0 or not (times < until).any():
        raise InvalidValueError("horizon_days", length, "name fewer days than the file's purchases span, above 0")
    asked_rows = _rows_of_the_asked(bought, until)
    if not asked_rows.any():
        raise NoDataError("no customer has a basket before one in the window: name more days")
    return replace(_task(bought, times < until, asked_rows, catalogue), until=until)


def _baskets(files: Sequence[Interactions]) -> _Baskets:
    if any(part.customers is None or part.times is None for part in files):
        raise InvalidValueError(
            "events", [part.source for part in files], "give events with their preset: it needs customers"
        )
    rows = joined(files)
    rows = rows.where(rows.event_types == EventType.PURCHASE)
    if rows.customers is None or not len(rows.products):
        raise NoDataError("the file holds no purchases")
    customers, customer_ids = encoded([rows.customers])
    orders = np.full(len(customers), -1) if rows.orders is None else encoded([rows.orders])[0]
    named = np.zeros(len(customers), bool) if rows.orders is None else rows.orders != ""
    keys = np.stack((customers, np.where(named, orders, -1), np.where(named, -1, rows.codes)))
    _, baskets = np.unique(keys, axis=1, return_inverse=True)
    baskets = baskets.ravel()
    starts = np.full(int(baskets.max()) + 1, np.iinfo(np.int64).max)
    np.minimum.at(starts, baskets, rows.times)
    order = np.lexsort((np.arange(len(baskets)), baskets, starts[baskets]))
    products = encoded([rows.products])[0]
    _, first = np.unique(np.stack((baskets[order], products[order])), axis=1, return_index=True)
    order = order[np.sort(first)]
    kept = rows.where(order)  # rows of a basket stand together, at the time it began
    return _Baskets(replace(kept, times=starts[baskets[order]]), baskets[order], customers[order], customer_ids)


def _rows_of_the_asked(bought: _Baskets, until: int) -> NDArray[np.bool_]:
    """Return the rows of the customers who are asked about."""
    last_row = np.zeros(len(bought.customer_ids), np.int64)
    last_row[bought.customers] = np.arange(len(bought.customers))  # the last assignment counts
    last = bought.baskets[last_row]
    is_last = bought.baskets == last[bought.customers]
    earlier = np.bincount(bought.customers[~is_last], minlength=len(last)) > 0
    return (earlier & (bought.rows.times[last_row] >= until))[bought.customers]


def _task(
    bought: _Baskets, learned: NDArray[np.bool_], asked: NDArray[np.bool_], catalogue: DescribedProducts | None
) -> Task:
    by_basket = bought.rows.as_sessions(bought.baskets)
    by_customer = replace(bought.rows, codes=bought.customers, session_ids=bought.customer_ids)
    logs = numbered(by_basket.where(learned), by_customer.where(asked), catalogue)
    logs = logs._replace(train=_with_customers(logs.train, by_basket, bought.customers))
    return logs.task(_questions(logs, bought, asked), np.arange(logs.test.n_sessions), several=True, goal=Goal.RETURN)


def _with_customers(train: SessionLog, rows: SessionRows, customers: NDArray[np.int64]) -> SessionLog:
    of_basket = np.zeros(len(rows.session_ids), np.int64)
    of_basket[rows.codes] = customers
    return replace(train, customers=of_basket[train.customers].astype(np.uint32))


def _questions(logs: Numbered, bought: _Baskets, asked: NDArray[np.bool_]) -> Questions:
    """Ask each customer for all rows of their last basket."""
    rows = replace(bought.rows, codes=bought.customers, session_ids=bought.customer_ids).where(asked)
    baskets = log_of(rows, bought.baskets[asked], 0)  # the same acts in the same order, with baskets for products
    offsets = logs.test.offsets
    last = baskets.products[offsets[1:] - 1]
    is_right = baskets.products == np.repeat(last, np.diff(offsets))
    sizes = np.add.reduceat(is_right.astype(np.int64), offsets[:-1])
    targets = logs.test.products[is_right].astype(np.int64)
    lengths = np.diff(offsets) - sizes
    return Questions(
        np.arange(logs.test.n_sessions), lengths, np.concatenate(([0], np.cumsum(sizes))).astype(np.int64), targets
    )
