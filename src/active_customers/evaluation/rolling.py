"""Rolling origin: one timed file in folds, each learned from all before it, asked in the sessions that begin in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from active_customers.core.clock import DAY
from active_customers.core.errors import InvalidValueError, NoDataError
from active_customers.core.event import EventType
from active_customers.core.recommendation import Goal
from active_customers.evaluation.described import DescribedProducts
from active_customers.evaluation.interactions import Interactions, SessionRows, joined
from active_customers.evaluation.questions import Repeats, next_acts, rest_of_sessions, without_repeats
from active_customers.evaluation.task import Numbered, Questions, Task, numbered
from active_customers.models.base import SessionLog

Targets = Literal["any", "view", "cart_add", "purchase"]
"""What is to be foretold. For `any` and `view` the next act (of that kind) and nothing else is right. For `cart_add`
and `purchase`, as in the OTTO contest, every product that the rest of the session puts into the cart or buys."""


_GOALS: Mapping[Targets, Goal] = {"any": Goal.NEXT, "view": Goal.NEXT, "cart_add": Goal.CART, "purchase": Goal.PURCHASE}


@dataclass(frozen=True, slots=True)
class Folds:
    """How a file is cut: into `count` windows of `days` up to its end (None: its second half in equal parts)."""

    count: int = 5
    days: float | None = None
    targets: Targets = "any"


def rolling(
    files: Sequence[Interactions],
    folds: Folds,
    repeats: Repeats = "keep",
    catalogue: DescribedProducts | None = None,
) -> list[Task]:
    """Set one task for each fold, earliest first.

    A fold that begins at T is learned from the acts before T alone (a session that goes on after T is cut), and asked
    in the sessions whose first act lies in it, before every act of the target kind but a session's first. Questions of
    one customer hang together over all folds, of one session where no customers are known. Raises `InvalidValueError`
    for files without times and folds that do not fit, `NoDataError` when a fold has nothing to learn from or to ask.
    """
    if any(part.times is None for part in files):
        raise InvalidValueError("events", [part.source for part in files], "rolling needs a file with times")
    _check_kinds(files, folds.targets)
    rows = joined(files)
    starts = _first_times(rows)
    how = (folds.targets, repeats, catalogue)
    return [_fold(rows, starts, window, how) for window in _windows(rows.times, folds)]


def newest_sessions(
    files: Sequence[Interactions],
    share: float,
    targets: Targets = "any",
    repeats: Repeats = "keep",
    catalogue: DescribedProducts | None = None,
) -> Task:
    """Set the task of the newest sessions, by when they begin: learned is what was done before the first of them.

    Files without times are in the order of time. Raises `InvalidValueError` for a share that is none, `NoDataError`
    when nothing is left to learn from or to ask.
    """
    if not 0 < share < 1:
        raise InvalidValueError("share", share, "give a share of the sessions between 0 and 1, such as 0.1")
    _check_kinds(files, targets)
    rows = joined(files)
    if not len(rows.times):
        raise NoDataError("the files hold no acts of taste: give views, carts or purchases")
    starts = _first_times(rows)
    begin = int(np.quantile(starts, 1 - share, method="higher"))
    return _fold(rows, starts, (begin, int(rows.times.max()) + 1), (targets, repeats, catalogue))


def checked_targets(name: str) -> Targets:
    """Return what is to be foretold; raises `InvalidValueError` for what cannot be."""
    for known in get_args(Targets):
        if name == known:
            return known  # type: ignore[no-any-return]
    raise InvalidValueError("targets", name, f"choose one of {', '.join(get_args(Targets))}")


def _check_kinds(files: Sequence[Interactions], targets: str) -> None:
    if checked_targets(targets) not in ("any", "view") and any(not _knows_kinds(part) for part in files):
        raise InvalidValueError("targets", targets, "the file holds views only: give events, with their preset")


def _knows_kinds(part: Interactions) -> bool:
    return len(part) == 0 or bool((part.event_types != EventType.VIEW).any())


def _windows(times: NDArray[np.int64], folds: Folds) -> list[tuple[int, int]]:
    """Return the begin (inclusive) and end (exclusive) of each fold."""
    if folds.count < 1:
        raise InvalidValueError("folds", folds.count, "ask for at least 1 fold")
    if not len(times):
        raise NoDataError("the file holds no acts of taste: give views, carts or purchases")
    first, end = int(times.min()), int(times.max()) + 1
    days = (end - first) / 2 / folds.count / DAY if folds.days is None else folds.days
    length = int(days * DAY)
    if length < 1 or end - folds.count * length <= first:
        raise InvalidValueError(
            "horizon_days",
            days,
            f"{folds.count} folds of it must be shorter than the file ({(end - first) / DAY:.1f} days)",
        )
    return [(end - place * length, end - (place - 1) * length) for place in range(folds.count, 0, -1)]


def _fold(
    rows: SessionRows,
    starts: NDArray[np.int64],
    window: tuple[int, int],
    how: tuple[Targets, Repeats, DescribedProducts | None],
) -> Task:
    begin, end = window
    targets, repeats, catalogue = how
    kinds = () if targets in ("any", "view") else (int(EventType[targets.upper()]),)
    begins = starts[rows.codes]
    logs = numbered(rows.where(rows.times < begin), rows.where((begins >= begin) & (begins < end)), catalogue)
    if repeats == "drop":
        logs = logs._replace(train=without_repeats(logs.train, kinds), test=without_repeats(logs.test, kinds))
    asked = _questions(logs.test, targets, only_new=repeats == "new")
    if not len(asked.sessions):
        raise NoDataError("a fold holds no session with something to foretell: ask for fewer or longer folds")
    customers = rows.customer_of_sessions()
    task = _with_customers(logs, customers).task(asked, customers[logs.test.customers])
    return replace(task, until=begin, several=bool(kinds), masks_history=repeats == "new", goal=_GOALS[targets])


def _questions(log: SessionLog, targets: Targets, *, only_new: bool) -> Questions:
    if targets == "any":
        return next_acts(log, np.ones(len(log.products), bool), only_new=only_new)
    wanted = log.event_types == EventType[targets.upper()]
    if targets == "view":
        return next_acts(log, wanted, only_new=only_new)
    return rest_of_sessions(log, wanted, wanted, only_new=only_new)


def _with_customers(logs: Numbered, customers: NDArray[np.int64]) -> Numbered:
    """Return the same with real customers in what is learned from, so that one counts once."""
    return logs._replace(train=replace(logs.train, customers=customers[logs.train.customers].astype(np.uint32)))


def _first_times(rows: SessionRows) -> NDArray[np.int64]:
    """Return when each session begins."""
    starts = np.full(len(rows.session_ids), np.iinfo(np.int64).max)
    np.minimum.at(starts, rows.codes, rows.times)
    return starts
