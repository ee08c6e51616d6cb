"""Questions that can be asked of sessions: which act comes next, and which products the rest of a session holds."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from active_customers.core.errors import InvalidValueError
from active_customers.evaluation.task import Questions
from active_customers.models.base import SessionLog

Repeats = Literal["keep", "drop", "new"]
"""What becomes of products that come again: `keep` counts every act as it is; `drop` leaves out, of training and of
questions, every act on the product of the act before; `new` keeps the acts, but right is only what the session has not
shown yet, and what it has shown must not be proposed."""


def checked_repeats(name: str) -> Repeats:
    """Return the way to treat repeats; raises `InvalidValueError` for one that does not exist."""
    for known in get_args(Repeats):
        if name == known:
            return known  # type: ignore[no-any-return]
    raise InvalidValueError("repeats", name, f"choose one of {', '.join(get_args(Repeats))}")


def next_acts(log: SessionLog, asked: NDArray[np.bool_], *, only_new: bool = False) -> Questions:
    """Ask after each act for the product of the next one, where `asked` [acts] marks that next one.

    With `only_new` just where the next product has not been in the session yet.
    """
    rows = np.flatnonzero(asked & ~_is_first_act(log))
    if only_new:
        rows = rows[_first_of_product(log)[rows] == rows]
    sessions = session_of_acts(log)[rows]
    return Questions(
        sessions, rows - log.offsets[sessions], np.arange(len(rows) + 1), log.products[rows].astype(np.int64)
    )


def rest_of_sessions(
    log: SessionLog, asked: NDArray[np.bool_], wanted: NDArray[np.bool_], *, only_new: bool = False
) -> Questions:
    """Ask before each act that `asked` [acts] marks, but a session's first, for what comes from there on.

    Right are the distinct products of the acts from that one to the session's end that `wanted` [acts] marks; with
    `only_new` those that the session has not shown. Where nothing is right nothing is asked.
    """
    last = np.flatnonzero(_is_last_wanted(log, wanted))
    starts = log.offsets[session_of_acts(log)[last]]
    # A product is right before its last wanted act and, if it must be new, before its first act of any kind.
    until = _first_of_product(log)[last] if only_new else last
    asked_rows = np.flatnonzero(asked)
    first = np.searchsorted(asked_rows, starts, side="right")
    spans = np.searchsorted(asked_rows, until, side="right") - first
    targets = np.repeat(last, spans)
    before = asked_rows[np.repeat(first, spans) + _places_within(spans)]  # the act that the question is asked before
    order = np.lexsort((targets, before))
    targets = targets[order]
    rows, counts = np.unique(before, return_counts=True)
    sessions = session_of_acts(log)[rows]
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    return Questions(sessions, rows - log.offsets[sessions], offsets, log.products[targets].astype(np.int64))


def without_repeats(log: SessionLog, kinds: tuple[int, ...] = ()) -> SessionLog:
    """Return the log without the acts on the product of the act before; no session goes.

    An act of one of `kinds` (event types) repeats only one that was of these kinds, too.
    """
    keys = log.products.astype(np.int64) << 1 | np.isin(log.event_types, kinds)
    same = np.zeros(len(keys), bool)
    same[1:] = (log.products[1:] == log.products[:-1]) & ((keys[1:] == keys[:-1]) | (keys[1:] & 1 == 0))
    kept = ~same | _is_first_act(log)
    offsets = np.concatenate(([0], np.cumsum(kept)))[log.offsets]
    return SessionLog(
        offsets, log.products[kept], log.event_types[kept], log.times[kept], log.customers, log.n_products, log.as_of
    )


def session_of_acts(log: SessionLog) -> NDArray[np.int64]:
    """Return the session of each act."""
    return np.repeat(np.arange(log.n_sessions), np.diff(log.offsets))


def _is_first_act(log: SessionLog) -> NDArray[np.bool_]:
    first = np.zeros(len(log.products), bool)
    first[log.offsets[:-1]] = True
    return first


def _first_of_product(log: SessionLog) -> NDArray[np.int64]:
    """Return, for each act, the first act of its session on its product."""
    keys = session_of_acts(log) << 32 | log.products
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return np.asarray(first[inverse])


def _is_last_wanted(log: SessionLog, wanted: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which acts are the last wanted ones of their session on their product."""
    rows = np.flatnonzero(wanted)[::-1]
    keys = (session_of_acts(log) << 32 | log.products)[rows]
    last = np.zeros(len(wanted), bool)
    last[rows[np.unique(keys, return_index=True)[1]]] = True
    return last


def _places_within(spans: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.arange(int(spans.sum())) - np.repeat(np.cumsum(spans) - spans, spans)
