"""Replay: what the service would have answered while the test part happened; predict, then learn, act by act."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.recommendation import Goal
from active_customers.core.session import (
    EVENT_WORDS,
    EVENTS_KEPT,
    H_EVENTS,
    H_NEWEST,
    H_VERSION,
    HEADER,
    LAYOUT_VERSION,
    State,
)
from active_customers.evaluation.questions import session_of_acts
from active_customers.evaluation.task import PROGRESS_STEP, Predictions, Progress, Task, check_answer
from active_customers.kernels.retrieval import Asked
from active_customers.models.artifacts import Manifest
from active_customers.models.base import NO_PRODUCTS, SessionLog
from active_customers.models.kernel_arguments import frozen, question
from active_customers.models.patterns import PatternsConfig, learn_patterns
from active_customers.models.registry import MODELS, new_model
from active_customers.realtime.live_index import LiveIndex, LiveIndexConfig
from active_customers.realtime.live_reader import LiveReader
from active_customers.realtime.session_recommender import PATTERNS, Models, SessionRecommender, load_models

SERVED = "served"
"""What the service answers with, in the reports."""

_FIRST = 1
"""Log position of the first act of the test part; all below has been learned by the models."""

Learn = Callable[[int], None]
"""Has everything learned that was done before a moment."""


def fit_served(train: SessionLog, configs: Mapping[str, Mapping[str, object]]) -> Models:
    """Return what a refresh would publish: every model of the service, fitted to the training part.

    `configs` holds parameters by model name. Raises `InvalidValueError` for wrong ones.
    """
    arrays, used = {}, {}
    for name, entry in MODELS.items():
        model = new_model(name, configs.get(name))
        model.fit(train)
        arrays[name] = model.arrays()
        used[name] = entry.config.model_validate(configs.get(name) or {}).model_dump(mode="json")
    patterns = PatternsConfig.model_validate(configs.get(PATTERNS) or {})
    arrays[PATTERNS], used[PATTERNS] = learn_patterns(train, patterns).arrays(), patterns.model_dump(mode="json")
    manifest = Manifest(
        version=SERVED,
        created=train.as_of,
        watermark=_FIRST,
        n_products=train.n_products,
        configs=used,
        hashes={},
        facts={},
    )
    return load_models(manifest, arrays)


def answer(models: Models, task: Task, k: int, progress: Progress) -> Predictions:
    """Return what the models answer without learning anything from the test part: the static replay."""
    return _answered(SessionRecommender(models), _nothing, task, k, progress)


def replay(models: Models, task: Task, k: int, config: LiveIndexConfig, progress: Progress) -> Predictions:
    """Return what the models answer beside a live index that learns the test part as it happens.

    A question knows the acts of others from strictly before its moment, that of its newest act, and nothing of its own
    customer but what its session has shown. Raises `DiskFullError` where the index finds no room in the
    temporary folder.
    """
    popularity = models.popularity.config
    with TemporaryDirectory(prefix="active-customers-") as folder:
        index = LiveIndex(Path(folder), config, popularity).open()
        live = LiveReader(Path(folder), models.hybrid.sessions.config, popularity)
        return _answered(SessionRecommender(models, live), _Unfolding(index, task).learn_before, task, k, progress)


def question_of_session(log: SessionLog, session: int, length: int, n: int) -> tuple[State, Asked]:
    """Return the state of a customer who did the first acts of a session, and the question of their next home page."""
    start = log.offsets[session]
    kept = min(length, EVENTS_KEPT)
    acts = slice(start + length - kept, start + length)
    state = np.zeros(HEADER + kept * EVENT_WORDS, np.int64)
    now = int(log.times[start + length - 1])
    state[H_VERSION], state[H_EVENTS], state[H_NEWEST] = LAYOUT_VERSION, kept, now
    events = state[HEADER:].reshape(kept, EVENT_WORDS)
    events[:, 0], events[:, 1] = log.times[acts], 1
    events[:, 2] = log.products[acts].astype(np.int64) | log.event_types[acts].astype(np.int64) << 32
    none = NO_PRODUCTS
    return frozen(state), Asked(n, now, NO_NUMBER, False, False, int(Goal.NEXT), False, none, none, none)


class Answers:
    """What a recommender answers to `n` questions with `k` products each, and how long it takes."""

    def __init__(self, recommender: SessionRecommender, n: int, k: int) -> None:
        self._recommender = recommender
        self._products = np.full((n, k), NO_NUMBER, np.uint32)
        self._scores = np.zeros((n, k), np.float32)
        self._spent = np.zeros(n, np.int64)

    def ask(self, row: int, state: State, asked: Asked) -> NDArray[np.uint32]:
        """Ask question `row` and return the products; asked once more, the last answer counts."""
        started = time.perf_counter_ns()
        rows, size = self._recommender.retrieve(state, asked)
        self._spent[row] = time.perf_counter_ns() - started
        self._products[row], self._scores[row] = NO_NUMBER, 0
        self._products[row, :size] = rows.products[:size]
        self._scores[row, :size] = rows.scores[:size]
        return self._products[row, :size]

    def predictions(self, usual: Callable[[NDArray[np.int64]], Any]) -> Predictions:
        """Return the answers, with the mean or the median, as `usual` makes it, of what one took."""
        return Predictions(self._products, self._scores, float(usual(self._spent)) / 1_000)


class _Unfolding:
    """The acts of a test part in the order of time, learned by a live index up to any moment."""

    def __init__(self, index: LiveIndex, task: Task) -> None:
        log = task.unfolding.test
        order = np.argsort(log.times, kind="stable")
        sessions = session_of_acts(log)[order]
        self._index = index
        self._done = 0
        self._columns: dict[str, NDArray[Any]] = {
            "position": np.arange(len(order)) + _FIRST,
            "session": sessions + 1,
            "customer": log.customers[sessions],
            "product": log.products[order],
            "event_type": log.event_types[order],
            "time": log.times[order],
        }

    def learn_before(self, moment: int) -> None:
        """Learn the acts from strictly before a moment: of those at the same time nobody knows which came first."""
        end = int(np.searchsorted(self._columns["time"], moment))
        if end > self._done:
            self._index.learn({name: column[self._done : end] for name, column in self._columns.items()})
            self._done = end


def _nothing(_moment: int) -> None:
    """Learn nothing."""


def _answered(recommender: SessionRecommender, learn: Learn, task: Task, k: int, progress: Progress) -> Predictions:
    """Ask every question at its moment, in the order of time; only the answer is timed, after one untimed question.

    Raises `AssertionError` as `check_answer` does.
    """
    n = len(task.sessions)
    answers = Answers(recommender, n, k)
    answers.ask(0, *_question(task, 0, k))
    for done, row in enumerate(_in_time(task), 1):
        state, asked = _question(task, row, k)
        learn(asked.now)
        recommender.refresh(asked.now)
        check_answer(answers.ask(row, state, asked), asked.excluded)
        if done % PROGRESS_STEP == 0 or done == n:
            progress(done, n)
    return answers.predictions(np.mean)


def _in_time(task: Task) -> list[int]:
    test = task.unfolding.test
    asked_at = test.times[test.offsets[task.sessions] + task.lengths - 1]
    return [int(row) for row in np.argsort(asked_at, kind="stable")]


def _question(task: Task, row: int, k: int) -> tuple[State, Asked]:
    """Return a question as the service is asked it."""
    test, session, length = task.unfolding.test, int(task.sessions[row]), int(task.lengths[row])
    state, asked = question_of_session(test, session, length, k)
    if task.masks_history:
        start = test.offsets[session]
        asked = asked._replace(excluded=question(test.products[start : start + length]))
    return state, asked._replace(customer=int(test.customers[session]), goal=int(task.goal))
