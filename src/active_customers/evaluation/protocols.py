"""Protocols for files of sessions: what is asked, of whom, and what the right answer is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from active_customers.core.errors import InvalidValueError, NoDataError
from active_customers.evaluation.described import DescribedProducts
from active_customers.evaluation.interactions import Interactions, joined
from active_customers.evaluation.questions import Repeats, next_acts, rest_of_sessions, without_repeats
from active_customers.evaluation.task import (
    Numbered,
    Questions,
    Task,
    features_by_number,
    log_of,
    numbered,
    numbers,
    with_catalogue,
)
from active_customers.models.base import SessionLog

NEXT_ITEM = "next-item"
"""After every act of every test session but its last: which product comes next? Ranked among all products of the
training files; repeats count like any other; a product that training has not seen is a miss and stays in the count."""

REST_OF_SESSION = "rest-of-session"
"""After every act of every test session but its last: which distinct products does the rest of it hold? Ranked as in
next-item; what training has not seen is missed and stays in the count."""

LEAVE_ONE_OUT = "leave-one-out"
"""For every customer: which product is the last one? Asked with all before it, which must not be proposed again; ranked
among all products of the file. Models are fitted on all but each customer's last two acts (strict), so the act before
the last is read only as a question; loose fits on all but the last."""

ROLLING = "rolling"
"""One timed file in folds: fitted on all before a fold begins, asked in the sessions that begin in it (`rolling`)."""

NEXT_BASKET = "next-basket"
"""For every customer who orders in the last days of the file: what does the last order hold? (`next_basket`)."""

HELD_OUT = "held-out"
"""For every customer of a file of held-out purchases: what did they buy, that is not in their history? (`held_out`)."""

UNFOLDING = (NEXT_ITEM, REST_OF_SESSION, ROLLING)
"""Protocols whose test part can be replayed, act by act."""

PROTOCOLS = (NEXT_ITEM, REST_OF_SESSION, LEAVE_ONE_OUT, ROLLING, NEXT_BASKET, HELD_OUT)

_LEAST_ACTS = 3
"""Acts of a customer who is asked about; what others did is learned from as a whole."""


def next_item(
    train: Sequence[Interactions],
    test: Interactions,
    repeats: Repeats = "keep",
    catalogue: DescribedProducts | None = None,
) -> Task:
    """Set the next-item task; raises `NoDataError` when there is nothing to learn from or nothing to ask."""
    logs = session_logs(train, test, repeats, catalogue)
    everywhere = np.ones(len(logs.test.products), bool)
    return _session_task(logs, next_acts(logs.test, everywhere, only_new=repeats == "new"), repeats)


def rest_of_session(
    train: Sequence[Interactions],
    test: Interactions,
    repeats: Repeats = "keep",
    catalogue: DescribedProducts | None = None,
) -> Task:
    """Set the rest-of-session task; raises `NoDataError` when there is nothing to learn from or nothing to ask."""
    logs = session_logs(train, test, repeats, catalogue)
    everywhere = np.ones(len(logs.test.products), bool)
    asked = rest_of_sessions(logs.test, everywhere, everywhere, only_new=repeats == "new")
    return replace(_session_task(logs, asked, repeats), several=True)


def session_logs(
    train: Sequence[Interactions],
    test: Interactions,
    repeats: Repeats,
    catalogue: DescribedProducts | None = None,
) -> Numbered:
    """Return what is learned from and what is asked about, with repeats left out of both if they are to be dropped."""
    logs = numbered(joined(train), joined([test]), catalogue)
    if repeats == "drop":
        return logs._replace(train=without_repeats(logs.train), test=without_repeats(logs.test))
    return logs


def leave_one_out(
    files: Sequence[Interactions],
    *,
    loose: bool = False,
    repeats: Repeats = "keep",
    catalogue: DescribedProducts | None = None,
) -> Task:
    """Set the leave-one-out task; raises `NoDataError` when nobody has enough acts."""
    rows = joined(files)
    product_ids = with_catalogue(np.unique(rows.products), catalogue)
    whole = log_of(rows, numbers(rows.products, product_ids), len(product_ids))
    if repeats == "drop":
        whole = without_repeats(whole)
    counts = np.diff(whole.offsets)
    asked = np.flatnonzero(counts >= _LEAST_ACTS)
    if not len(asked):
        raise NoDataError(f"no customer has {_LEAST_ACTS} acts: give longer histories")
    lengths = counts[asked] - 1
    targets = whole.products[whole.offsets[asked] + lengths].astype(np.int64)
    logs = Numbered(
        train=_all_but_the_last(whole, 1 if loose else 2),
        test=whole,
        product_ids=product_ids,
        session_ids=rows.session_ids[whole.customers],
        unseen_ids=product_ids[:0],
        customers_of_test=whole.customers.astype(np.int64),
        features=features_by_number(catalogue, product_ids),
    )
    questions = Questions(asked, lengths, np.arange(len(asked) + 1), targets)
    return logs.task(questions, np.arange(whole.n_sessions), masks_history=True)


def checked_protocol(name: str) -> str:
    """Return the protocol's name; raises `InvalidValueError` for one that does not exist."""
    if name not in PROTOCOLS:
        raise InvalidValueError("protocol", name, f"choose one of {', '.join(PROTOCOLS)}")
    return name


def _session_task(logs: Numbered, asked: Questions, repeats: Repeats) -> Task:
    if not len(asked.sessions):
        raise NoDataError("no test session has two acts: give longer sessions")
    return logs.task(asked, np.arange(logs.test.n_sessions), masks_history=repeats == "new")


def _all_but_the_last(whole: SessionLog, held_out: int) -> SessionLog:
    """Return the log without the last acts of the customers who have enough of them."""
    counts = np.diff(whole.offsets)
    customers = np.repeat(np.arange(whole.n_sessions), counts)
    left = np.repeat(whole.offsets[1:], counts) - np.arange(len(customers))
    kept = (left > held_out) | (counts[customers] < _LEAST_ACTS)
    columns: dict[str, NDArray[Any]] = {
        "session": customers[kept],
        "product": whole.products[kept],
        "event_type": whole.event_types[kept],
        "time": whole.times[kept],
        "customer": whole.customers[customers[kept]],
    }
    return SessionLog.from_rows(columns, whole.n_products, int(whole.times[kept].max(initial=0)))
