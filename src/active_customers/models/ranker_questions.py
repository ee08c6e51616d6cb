"""What a ranker learns from: questions out of a history, with their right answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from active_customers.core.event import EventType
from active_customers.core.recommendation import Goal
from active_customers.kernels.hybrid import Acts
from active_customers.models.base import NO_PRODUCTS, SessionLog
from active_customers.models.kernel_arguments import question

MOST_ACTS = 500
"""Newest acts of a customer that a question shows, at most."""

_LEADING = {Goal.CART: EventType.CART_ADD, Goal.PURCHASE: EventType.PURCHASE, Goal.RETURN: EventType.PURCHASE}


class Questions(NamedTuple):
    """Questions by the row of the log that follows what is known: from `starts` on, up to `rows`; [n] each.

    Right is the product of the next act, or are those that are put into the cart, or bought, before `ends`. For `CART`
    and `PURCHASE` what the session has in the cart or bought is excluded and never right: no answer shows it.
    """

    log: SessionLog
    goal: Goal
    starts: NDArray[np.int64]
    rows: NDArray[np.int64]
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, log: SessionLog, n_before: int, goal: Goal) -> Self:
        """Return all questions of the sessions after the first `n_before`, one act or more into each.

        For `RETURN` those before each session with a purchase, of customers who had acted before it began: what they
        did at that moment or later is not shown, even in a session that had begun earlier and went on beside it.
        """
        if goal is Goal.RETURN:
            return cls._of_customers(log, n_before)
        counts = np.diff(log.offsets[n_before:])
        starts, ends = np.repeat(log.offsets[n_before:-1], counts), np.repeat(log.offsets[n_before + 1 :], counts)
        rows = np.arange(log.offsets[n_before], log.offsets[-1])
        asked = rows > starts
        if goal is not Goal.NEXT:
            leading = log.event_types[rows] == _LEADING[goal]
            last = np.zeros(log.n_sessions, np.int64)
            sessions = np.repeat(np.arange(n_before, log.n_sessions), counts)
            np.maximum.at(last, sessions[leading], rows[leading])
            asked &= rows <= last[sessions]
        return cls(log, goal, starts[asked], rows[asked], ends[asked])

    @classmethod
    def _of_customers(cls, log: SessionLog, n_before: int) -> Self:
        everyone = np.repeat(log.customers, np.diff(log.offsets))
        acts = np.lexsort((log.times, everyone))  # a customer's acts by time, however their sessions overlap
        by_customer = replace(
            log, products=log.products[acts], event_types=log.event_types[acts], times=log.times[acts]
        )
        rows = np.arange(len(acts))
        is_first = _begins(everyone[acts])
        first = np.maximum.accumulate(np.where(is_first, rows, 0))
        moment = np.maximum.accumulate(np.where(is_first | _begins(by_customer.times), rows, 0))
        place = np.empty(len(acts), np.int64)
        place[acts] = rows
        opening, ends = place[log.offsets[n_before:-1]], place[log.offsets[n_before + 1 :] - 1] + 1
        rows = moment[opening]
        bought = np.concatenate(([0], np.cumsum(by_customer.event_types == EventType.PURCHASE)))
        asked = (rows > first[opening]) & (bought[ends] > bought[rows])
        starts = np.maximum(first[opening], rows - MOST_ACTS)
        return cls(by_customer, Goal.RETURN, starts[asked], rows[asked], ends[asked])

    def acts(self, place: int) -> Acts:
        """Return what is known in a question."""
        known, log = slice(self.starts[place], self.rows[place]), self.log
        return make_acts(log.products[known], log.event_types[known], log.times[known], self.goal)

    def answers(self, place: int) -> NDArray[np.uint32]:
        """Return the right products; one is enough, and they may repeat."""
        row, end = self.rows[place], self.ends[place]
        if self.goal is Goal.NEXT:
            return self.log.products[row : row + 1]
        leading = self.log.event_types[row:end] == _LEADING[self.goal]
        later = self.log.products[row:end][leading]
        right: NDArray[np.uint32] = later[~np.isin(later, self.excluded(place))]
        return right

    def excluded(self, place: int) -> NDArray[np.uint32]:
        """Return the products that no answer may hold, ascending: for a visit's cart or purchase those already there.

        Serving keeps them out: trees that learned to show them would have learned what is never asked of them.
        """
        if self.goal not in (Goal.CART, Goal.PURCHASE):
            return NO_PRODUCTS
        known = slice(self.starts[place], self.rows[place])
        taken = np.isin(self.log.event_types[known], (EventType.CART_ADD, EventType.PURCHASE))
        products: NDArray[np.uint32] = np.unique(self.log.products[known][taken])
        return products


def make_acts(
    products: NDArray[np.uint32], event_types: NDArray[np.uint8], times: NDArray[np.int64], goal: Goal
) -> Acts:
    """Return acts in the kernels' form, whatever they came in."""
    return Acts(question(products), np.array(event_types, np.uint8), np.array(times, np.int64), int(goal))


def _begins(numbers: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where a row of equal numbers begins."""
    return np.concatenate(([True], numbers[1:] != numbers[:-1])) if len(numbers) else np.zeros(0, bool)
