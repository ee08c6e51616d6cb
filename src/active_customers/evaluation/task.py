"""A task: what is asked in one evaluation, what is right, and what a model answered."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.core.errors import NoDataError
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.recommendation import Goal
from active_customers.core.session import SessionQuery
from active_customers.evaluation.described import DescribedProducts
from active_customers.evaluation.interactions import SessionRows
from active_customers.models.base import NO_PRODUCTS, Model, SessionLog
from active_customers.models.product_features import ProductFeatures, features_of

PROGRESS_STEP = 1_000

Progress = Callable[[int, int], None]
"""Told how many of how many questions are answered."""


class Questions(NamedTuple):
    """What is asked of a log: `sessions` and `lengths` [n] say how many acts of which session a question shows.

    What is right for question `j` is `targets[target_offsets[j] : target_offsets[j + 1]]`, distinct, at least one.
    """

    sessions: NDArray[np.int64]
    lengths: NDArray[np.int64]
    target_offsets: NDArray[np.int64]
    targets: NDArray[np.int64]


class Unfolding(NamedTuple):
    """The test part for those who learn from it as it happens: what training has not seen has numbers, too.

    These are from `Task.train.n_products` on; `product_ids` holds theirs after those of training. The `customers` of
    `test` are the customers, where the files name them, else the sessions.
    """

    test: SessionLog
    product_ids: NDArray[Any]


@dataclass(frozen=True, slots=True)
class Task:
    """Everything asked in one evaluation, in product numbers; `product_ids` and `session_ids` lead back to the file.

    `sessions`, `lengths` [n], `target_offsets` [n + 1] and `targets` [m] are those of `Questions`. What training has
    not seen is `NO_NUMBER` in `test`, and a number from `train.n_products` on among the targets. `was_shown` [m] says
    of each target whether its question shows it, `clusters` [n] which questions hang together (one session's, one
    customer's). With `masks_history` what a question shows must not be among its answers.
    """

    train: SessionLog
    test: SessionLog
    unfolding: Unfolding
    product_ids: NDArray[Any]
    session_ids: NDArray[Any]
    sessions: NDArray[np.int64]
    lengths: NDArray[np.int64]
    target_offsets: NDArray[np.int64]
    targets: NDArray[np.uint32]
    was_shown: NDArray[np.bool_]
    clusters: NDArray[np.int64]
    masks_history: bool = False
    several: bool = False
    """Whether the protocol knows questions with several right answers, and so measures them as sets."""
    goal: Goal = Goal.NEXT
    """What the answers are for."""
    until: int | None = None
    """Time that everything learned from lies before, where the protocol splits by time."""

    def __post_init__(self) -> None:
        """Refuse a fit on what came after the split: no protocol may get that wrong."""
        if self.until is not None and len(self.train.times) and int(self.train.times.max()) >= self.until:
            raise AssertionError(f"training holds acts of {self.train.times.max()}, asked about from {self.until} on")

    @property
    def target_questions(self) -> NDArray[np.int64]:
        """The question that each target belongs to."""
        return np.repeat(np.arange(len(self.sessions)), np.diff(self.target_offsets))

    def part(self, chosen: NDArray[np.bool_]) -> Task:
        """Return the task of the questions that `chosen` [n] marks."""
        counts = np.diff(self.target_offsets)
        kept = np.repeat(chosen, counts)
        return replace(
            self,
            sessions=self.sessions[chosen],
            lengths=self.lengths[chosen],
            target_offsets=np.concatenate(([0], np.cumsum(counts[chosen]))).astype(np.int64),
            targets=self.targets[kept],
            was_shown=self.was_shown[kept],
            clusters=self.clusters[chosen],
        )


class Matches(NamedTuple):
    """Where answers and targets meet: `hits` [n, k] by place in the lists, `found` [m] by target."""

    hits: NDArray[np.bool_]
    found: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Predictions:
    """One model's answers: [n, k] products (`NO_NUMBER` after the last) and scores, and what a question took."""

    products: NDArray[np.uint32]
    scores: NDArray[np.float32]
    microseconds: float

    def matches(self, task: Task) -> Matches:
        """Return which places hold a target, and which targets stand in a list."""
        questions = np.repeat(np.arange(len(self.products), dtype=np.int64), self.products.shape[1])
        answered = questions << 32 | self.products.ravel()
        wanted = task.target_questions << 32 | task.targets
        hits = np.isin(answered, wanted).reshape(self.products.shape) & (self.products != NO_NUMBER)
        return Matches(hits, np.isin(wanted, answered))


class Numbered(NamedTuple):
    """Rows learned from and rows asked about as logs with one numbering of products.

    In `test` what training has not seen has numbers from `train.n_products` on, named by `unseen_ids`, so that two such
    products are two; those of a catalogue are numbered in `train` in any case. The `customers` of a test session are
    its code in the rows it was made of. Its real customer, if one is known, is in `customers_of_test`.
    """

    train: SessionLog
    test: SessionLog
    product_ids: NDArray[Any]
    session_ids: NDArray[Any]
    unseen_ids: NDArray[Any]
    customers_of_test: NDArray[np.int64]
    features: ProductFeatures | None = None

    def task(
        self,
        asked: Questions,
        clusters: NDArray[np.int64],
        *,
        masks_history: bool = False,
        several: bool = False,
        goal: Goal = Goal.NEXT,
    ) -> Task:
        """Return the task of these questions; `clusters` holds one for each test session."""
        return Task(
            train=replace(self.train, features=self.features),
            test=self._without_unseen(),
            unfolding=self._unfolding(),
            product_ids=self.product_ids,
            session_ids=self.session_ids,
            sessions=asked.sessions,
            lengths=asked.lengths,
            target_offsets=asked.target_offsets,
            targets=asked.targets.astype(np.uint32),
            was_shown=_was_shown(self.test, asked),
            clusters=clusters[asked.sessions],
            masks_history=masks_history,
            several=several,
            goal=goal,
        )

    def _unfolding(self) -> Unfolding:
        ids = (self.product_ids, self.unseen_ids)
        is_one_kind = self.product_ids.dtype.kind == self.unseen_ids.dtype.kind
        product_ids = np.concatenate(ids if is_one_kind else [part.astype(np.str_) for part in ids])
        return Unfolding(replace(self.test, customers=self.customers_of_test.astype(np.uint32)), product_ids)

    def _without_unseen(self) -> SessionLog:
        test = self.test
        products = _seen(test.products, self.train.n_products)
        return SessionLog(
            test.offsets, products, test.event_types, test.times, test.customers, self.train.n_products, test.as_of
        )


def numbered(learned: SessionRows, asked: SessionRows, catalogue: DescribedProducts | None = None) -> Numbered:
    """Give the products of two sets of rows numbers; raises `NoDataError` when there is nothing to learn from.

    Only what is learned from and the catalogue decide about numbers and about how many products there are.
    """
    if not len(learned.products):
        raise NoDataError("the training files hold no acts of taste: give files with views, carts or purchases")
    product_ids = with_catalogue(np.unique(learned.products), catalogue)
    asked_numbers = all_numbers(asked.products, product_ids)
    test = log_of(asked, asked_numbers, len(product_ids))
    return Numbered(
        train=log_of(learned, numbers(learned.products, product_ids), len(product_ids)),
        test=test,
        product_ids=product_ids,
        session_ids=asked.session_ids[test.customers],
        unseen_ids=np.unique(asked.products[asked_numbers >= len(product_ids)]),
        customers_of_test=asked.customer_of_sessions()[test.customers],
        features=features_by_number(catalogue, product_ids),
    )


def with_catalogue(product_ids: NDArray[Any], catalogue: DescribedProducts | None) -> NDArray[Any]:
    """Return ids with those that only the catalogue has behind them."""
    return product_ids if catalogue is None else np.concatenate((product_ids, catalogue.beyond(product_ids)))


def features_by_number(catalogue: DescribedProducts | None, product_ids: NDArray[Any]) -> ProductFeatures | None:
    """Return what the catalogue says of the products with these ids; None without a catalogue."""
    if catalogue is None:
        return None
    places = numbers(catalogue.ids, product_ids).tolist()
    return features_of(zip(places, catalogue.tokens, strict=True), len(product_ids))


def log_of(rows: SessionRows, products: NDArray[Any], n_products: int) -> SessionLog:
    """Group rows into sessions; the customer of each is its code."""
    columns: dict[str, NDArray[Any]] = {
        "session": rows.codes,
        "product": products,
        "event_type": rows.event_types,
        "time": rows.times,
        "customer": rows.codes,
    }
    as_of = int(rows.times.max()) if len(rows.times) else 0
    return SessionLog.from_rows(columns, n_products, as_of)


def predict(model: Model, task: Task, k: int, progress: Progress) -> Predictions:
    """Ask a fitted model every question of a task; only its `candidates` is timed, after one untimed question."""
    n = len(task.sessions)
    products = np.full((n, k), NO_NUMBER, np.uint32)
    scores = np.zeros((n, k), np.float32)
    model.candidates(question_of(task, 0), k)
    spent = 0
    for row in range(n):
        question = question_of(task, row)
        excluded = question.products if task.masks_history else NO_PRODUCTS
        started = time.perf_counter_ns()
        answer = model.candidates(question, k, excluded)
        spent += time.perf_counter_ns() - started
        products[row, : len(answer.products)] = answer.products
        scores[row, : len(answer.products)] = answer.scores
        if (row + 1) % PROGRESS_STEP == 0 or row + 1 == n:
            progress(row + 1, n)
    return Predictions(products, scores, spent / n / 1_000)


def question_of(task: Task, row: int) -> SessionQuery:
    """Return what a question shows, asked at the time of its last act."""
    start = task.test.offsets[task.sessions[row]]
    end = start + task.lengths[row]
    times = task.test.times[start:end]
    kinds = task.test.event_types[start:end]
    return SessionQuery(task.test.products[start:end], kinds, times, int(times[-1]), task.goal)


def numbers(ids: NDArray[Any], known: NDArray[Any]) -> NDArray[np.uint32]:
    """Return the place of each id among the `known`, `NO_NUMBER` for those that are not there.

    >>> numbers(np.array([7, 3]), np.array([3, 5])).tolist()
    [4294967295, 0]
    """
    if ids.dtype.kind != known.dtype.kind:
        ids, known = ids.astype(np.str_), known.astype(np.str_)
    order = np.argsort(known, kind="stable")
    ascending = known[order]
    found = np.minimum(np.searchsorted(ascending, ids), len(ascending) - 1)
    return np.where(ascending[found] == ids, order[found], NO_NUMBER).astype(np.uint32)


def all_numbers(ids: NDArray[Any], known: NDArray[Any]) -> NDArray[np.uint32]:
    """Return the place of each id among the `known`; others are numbered from there on.

    >>> all_numbers(np.array([7, 3, 9]), np.array([3, 5])).tolist()
    [2, 0, 3]
    """
    places = numbers(ids, known)
    unseen = places == NO_NUMBER
    places[unseen] = len(known) + np.unique(ids[unseen], return_inverse=True)[1]
    return places


def _was_shown(test: SessionLog, asked: Questions) -> NDArray[np.bool_]:
    """Return which targets stand among the acts that their question shows."""
    sessions = np.repeat(np.arange(test.n_sessions), np.diff(test.offsets))
    keys, first = np.unique(sessions << 32 | test.products, return_index=True)
    counts = np.diff(asked.target_offsets)
    wanted = np.repeat(asked.sessions, counts) << 32 | asked.targets
    ends = np.repeat(test.offsets[asked.sessions] + asked.lengths, counts)
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.asarray((keys[places] == wanted) & (first[places] < ends))


def _seen(products: NDArray[Any], n_products: int) -> NDArray[np.uint32]:
    return np.where(products < n_products, products, NO_NUMBER).astype(np.uint32)
