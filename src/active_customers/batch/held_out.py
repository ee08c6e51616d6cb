"""Sessions that are held out: what a version in force and a new one can both be asked about, since neither saw them."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from active_customers.batch.history import History
from active_customers.core.config import Config
from active_customers.models.base import SessionLog

MOST_PER_SESSION = 10
"""Questions that one session is good for, so that no robot's endless one decides alone."""


class HoldOutConfig(Config):
    """How many questions are asked, one after each act of a held-out session: which product comes next."""

    window_share: Annotated[float, Field(gt=0, le=0.5)] = 0.02
    """Questions for each act that models learn from; the newest sessions are held out."""
    least_questions: Annotated[int, Field(ge=1)] = 200
    """Fewer are not worth comparing: asked where the share is less, and where there are not so many nothing is."""
    most_questions: Annotated[int, Field(ge=1)] = 10_000
    """More would only take time: asked where the share is more."""


class HeldOut(NamedTuple):
    """Held-out sessions, and which rows of the history are theirs.

    `sessions` and `lengths` [n] say which session, and how many of its acts, each question shows.
    """

    log: SessionLog
    rows: NDArray[np.bool_]
    sessions: NDArray[np.int64]
    lengths: NDArray[np.int64]


def hold_out(history: History, config: HoldOutConfig) -> HeldOut:
    """Return the newest sessions with nothing but unseen acts; there may be too few, or none at all."""
    first = len(history) - history.n_unseen
    ids, codes = np.unique(history.columns["session"][first:], return_inverse=True)
    rows = np.zeros(len(history), np.bool_)
    rows[first:] = (~_occurs(ids, history.columns["session"][:first]))[codes]
    log = log_of(history, rows)
    n_held = _how_many(log, len(history), config)
    if n_held < log.n_sessions:
        rows &= np.isin(history.columns["session"], _newest(history, rows, n_held))
        log = log_of(history, rows)
    return HeldOut(log, rows, *_prefixes(log))


def _how_many(log: SessionLog, n_acts: int, config: HoldOutConfig) -> int:
    """Return how many sessions, newest first, give enough questions and leave half of all acts to learn from."""
    goal = max(min(int(config.window_share * n_acts), config.most_questions), config.least_questions)
    sessions, _ = _prefixes(log)
    questions = np.cumsum(np.bincount(sessions, minlength=log.n_sessions)[::-1])
    acts = np.cumsum(np.diff(log.offsets)[::-1])
    return int(min(np.searchsorted(questions, goal) + 1, np.searchsorted(acts, n_acts // 2, "right")))


def _prefixes(log: SessionLog) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return session and length of the first beginnings of each session that something follows."""
    counts = np.clip(np.diff(log.offsets) - 1, 0, MOST_PER_SESSION)
    sessions = np.repeat(np.arange(log.n_sessions), counts)
    return sessions, np.arange(len(sessions)) - np.repeat(np.cumsum(counts) - counts, counts) + 1


def log_of(history: History, rows: NDArray[np.bool_]) -> SessionLog:
    """Return some rows of a history as sessions, as they were known when the last of them ended."""
    return history.log(int(history.columns["time"][rows].max(initial=0)), rows)


def _newest(history: History, rows: NDArray[np.bool_], n: int) -> NDArray[np.generic]:
    """Return the ids of the `n` sessions that ended last."""
    ids, codes = np.unique(history.columns["session"][rows], return_inverse=True)
    columns = {name: column[rows] for name, column in history.columns.items()} | {"customer": codes}
    by_end = SessionLog.from_rows(columns, 0, 0).customers
    return ids[by_end[len(ids) - n :]]


def _occurs(ids: NDArray[np.generic], among: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Return which of some ascending ids stand in a long array, without sorting that."""
    found = np.zeros(len(ids), np.bool_)
    if len(ids):
        places = np.minimum(np.searchsorted(ids, among), len(ids) - 1)
        found[places[ids[places] == among]] = True
    return found
