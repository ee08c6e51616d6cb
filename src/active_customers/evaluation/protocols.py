"""Protocols: what is asked, of whom, and what the right answer is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from active_customers.core.errors import InvalidValueError, NoDataError
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.session import SessionQuery
from active_customers.evaluation.interactions import Interactions, SessionRows, joined
from active_customers.models.base import NO_PRODUCTS, Model, SessionLog

NEXT_ITEM = "next-item"
"""After every act of every test session but its last: which product comes next? Ranked among all products of the
training files; repeats count like any other; a product that training has not seen is a miss and stays in the count."""

LEAVE_ONE_OUT = "leave-one-out"
"""For every customer: which product is the last one? Asked with all before it, which must not be proposed again; ranked
among all products of the file. Models are fitted on all but each customer's last two acts (strict), so the act before
the last is read only as a question; loose fits on all but the last."""

PROTOCOLS = (NEXT_ITEM, LEAVE_ONE_OUT)

_LEAST_ACTS = 3
"""Acts of a customer who is asked about; what others did is learned from as a whole."""

PROGRESS_STEP = 1_000

Progress = Callable[[int, int], None]
"""Told how many of how many questions are answered."""


@dataclass(frozen=True, slots=True)
class Task:
    """Everything asked in one evaluation, in product numbers; `product_ids` and `session_ids` lead back to the file.

    `sessions` and `lengths` [n] say which test session and how many of its acts a question shows, `targets` [n] the
    product that came next, `NO_NUMBER` where training has not seen it. With `masks_history` what a question shows must
    not be among its answers.
    """

    train: SessionLog
    test: SessionLog
    product_ids: NDArray[Any]
    session_ids: NDArray[Any]
    sessions: NDArray[np.int64]
    lengths: NDArray[np.int64]
    targets: NDArray[np.uint32]
    masks_history: bool = False


@dataclass(frozen=True, slots=True)
class Predictions:
    """One model's answers: [n, k] products (`NO_NUMBER` after the last) and scores, and what a question took."""

    products: NDArray[np.uint32]
    scores: NDArray[np.float32]
    microseconds: float

    def ranks(self, targets: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Return the place of each target, from 1; 0 where it is missing."""
        hits = (self.products == targets[:, None]) & (targets != NO_NUMBER)[:, None]
        return np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, 0)


def next_item(train: Sequence[Interactions], test: Interactions) -> Task:
    """Set the next-item task; raises `NoDataError` when there is nothing to learn from or nothing to ask."""
    learned, asked = joined(train), joined([test])
    if not len(learned.products):
        raise NoDataError("the training files hold no acts of taste: give files with views, carts or purchases")
    product_ids = np.unique(learned.products)
    test_log = _log(asked, product_ids)
    sessions, lengths = prefixes(test_log)
    if not len(sessions):
        raise NoDataError("no test session has two acts: give longer sessions")
    return Task(
        train=_log(learned, product_ids),
        test=test_log,
        product_ids=product_ids,
        session_ids=asked.session_ids[test_log.customers],
        sessions=sessions,
        lengths=lengths,
        targets=test_log.products[test_log.offsets[sessions] + lengths],
    )


def prefixes(log: SessionLog, most: int | None = None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return session and length of every beginning of a session that something follows, `most` of each at most."""
    counts = np.maximum(np.diff(log.offsets) - 1, 0)
    if most is not None:
        counts = np.minimum(counts, most)
    sessions = np.repeat(np.arange(log.n_sessions), counts)
    return sessions, np.arange(len(sessions)) - np.repeat(np.cumsum(counts) - counts, counts) + 1


def leave_one_out(files: Sequence[Interactions], *, loose: bool = False) -> Task:
    """Set the leave-one-out task; raises `NoDataError` when nobody has enough acts."""
    rows = joined(files)
    product_ids = np.unique(rows.products)
    whole = _log(rows, product_ids)
    counts = np.diff(whole.offsets)
    asked = np.flatnonzero(counts >= _LEAST_ACTS)
    if not len(asked):
        raise NoDataError(f"no customer has {_LEAST_ACTS} acts: give longer histories")
    held_out = 1 if loose else 2
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
    lengths = counts[asked] - 1
    return Task(
        train=SessionLog.from_rows(columns, len(product_ids), int(whole.times[kept].max(initial=0))),
        test=whole,
        product_ids=product_ids,
        session_ids=rows.session_ids[whole.customers],
        sessions=asked,
        lengths=lengths,
        targets=whole.products[whole.offsets[asked] + lengths],
        masks_history=True,
    )


def predict(model: Model, task: Task, k: int, progress: Progress) -> Predictions:
    """Ask a fitted model every question of a task; only its `candidates` is timed, after one untimed question."""
    n = len(task.sessions)
    products = np.full((n, k), NO_NUMBER, np.uint32)
    scores = np.zeros((n, k), np.float32)
    model.candidates(_question(task, 0), k)
    spent = 0
    for row in range(n):
        question = _question(task, row)
        excluded = question.products if task.masks_history else NO_PRODUCTS
        started = time.perf_counter_ns()
        answer = model.candidates(question, k, excluded)
        spent += time.perf_counter_ns() - started
        products[row, : len(answer.products)] = answer.products
        scores[row, : len(answer.products)] = answer.scores
        if (row + 1) % PROGRESS_STEP == 0 or row + 1 == n:
            progress(row + 1, n)
    return Predictions(products, scores, spent / n / 1_000)


def checked_protocol(name: str) -> str:
    """Return the protocol's name; raises `InvalidValueError` for one that does not exist."""
    if name not in PROTOCOLS:
        raise InvalidValueError("protocol", name, f"choose one of {', '.join(PROTOCOLS)}")
    return name


def _question(task: Task, row: int) -> SessionQuery:
    start = task.test.offsets[task.sessions[row]]
    end = start + task.lengths[row]
    times = task.test.times[start:end]
    return SessionQuery(task.test.products[start:end], task.test.event_types[start:end], times, int(times[-1]))


def _log(rows: SessionRows, product_ids: NDArray[Any]) -> SessionLog:
    """Group rows into sessions; the customer of each is its code."""
    columns: dict[str, NDArray[Any]] = {
        "session": rows.codes,
        "product": _numbers(rows.products, product_ids),
        "event_type": rows.event_types,
        "time": rows.times,
        "customer": rows.codes,
    }
    as_of = int(rows.times.max()) if len(rows.times) else 0
    return SessionLog.from_rows(columns, len(product_ids), as_of)


def _numbers(ids: NDArray[Any], product_ids: NDArray[Any]) -> NDArray[np.uint32]:
    """Return the number of each id, `NO_NUMBER` for those that are not among the (ascending) `product_ids`."""
    if ids.dtype.kind != product_ids.dtype.kind:
        ids = ids.astype(np.str_)
        product_ids = product_ids.astype(np.str_)
        order = np.argsort(product_ids)
        return _numbers_in(ids, product_ids[order], order)
    return _numbers_in(ids, product_ids, np.arange(len(product_ids)))


def _numbers_in(ids: NDArray[Any], ascending: NDArray[Any], numbers: NDArray[np.int64]) -> NDArray[np.uint32]:
    places = np.minimum(np.searchsorted(ascending, ids), len(ascending) - 1)
    return np.where(ascending[places] == ids, numbers[places], NO_NUMBER).astype(np.uint32)
