"""A held-out file: what each of its customers bought, foretold from the history that is learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from active_customers.core.errors import InvalidValueError, NoDataError
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.recommendation import Goal
from active_customers.evaluation.described import DescribedProducts
from active_customers.evaluation.interactions import Interactions, joined
from active_customers.evaluation.questions import Repeats, without_repeats
from active_customers.evaluation.task import Questions, Task, all_numbers, numbered, numbers


def held_out(
    files: Sequence[Interactions],
    heldout: Interactions,
    repeats: Repeats = "keep",
    catalogue: DescribedProducts | None = None,
) -> Task:
    """Set the held-out task: one question a customer, which shows all they did and must not be answered with it.

    Models learn from all of `files`. Raises `InvalidValueError` when a customer did nothing there, and for files
    without times, `NoDataError` when there is nothing to learn from or nobody to ask.
    """
    if any(part.times is None for part in files):
        raise InvalidValueError(
            "train", [part.source for part in files], "give files with times: histories need an order"
        )
    if not len(heldout):
        raise NoDataError("the held-out file holds no rows")
    rows = joined(files)
    histories = rows.as_sessions(rows.session_ids[rows.codes] if rows.customers is None else rows.customers)
    asked = _codes(heldout.sessions, histories.session_ids)
    logs = numbered(rows, histories.where(np.isin(histories.codes, asked)), catalogue)
    if repeats == "drop":
        logs = logs._replace(train=without_repeats(logs.train), test=without_repeats(logs.test))
    customers = rows.customer_of_sessions()
    logs = logs._replace(train=replace(logs.train, customers=customers[logs.train.customers].astype(np.uint32)))
    session_of = np.zeros(len(histories.session_ids), np.int64)
    session_of[logs.test.customers] = np.arange(logs.test.n_sessions)
    products = all_numbers(heldout.products, logs.product_ids).astype(np.int64)
    pairs = np.unique(np.stack((session_of[asked], products)), axis=1)
    offsets = np.concatenate(([0], np.cumsum(np.bincount(pairs[0])))).astype(np.int64)
    everyone = np.arange(logs.test.n_sessions)
    questions = Questions(everyone, np.diff(logs.test.offsets), offsets, pairs[1])
    return logs.task(questions, everyone, masks_history=True, several=True, goal=Goal.NEW)


def _codes(customers: NDArray[Any], known: NDArray[Any]) -> NDArray[np.int64]:
    """Return the place of each customer among the `known`, whatever the type of the ids."""
    texts = known.astype(np.str_)
    order = np.argsort(texts)
    places = numbers(customers.astype(np.str_), texts[order])
    missing = customers[places == NO_NUMBER]
    if len(missing):
        raise InvalidValueError("heldout", str(missing[0]), "leave out customers without acts in --train")
    return np.asarray(order[places])
