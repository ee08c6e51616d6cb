"""What each customer brought and when: any part of it can be counted as the analysis of an experiment counts it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.core.event import EventType
from active_customers.evaluation.simulator.customers import NOTHING
from active_customers.evaluation.simulator.journal import Column

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


class Amounts(NamedTuple):
    """Money of customers at times; `line` tells lines of orders apart (0 where it is of none)."""

    customer: Integers
    time: Integers
    money: Floats
    line: Integers


class Span(NamedTuple):
    """From when on each customer counts (int64[customers], -1: never), and for how long, in microseconds."""

    since: Integers
    length: int


class Accounts:
    """Books purchases and refunds as they are posted, and beside them what purchases were to be expected."""

    def __init__(self, n_customers: int, n_products: int) -> None:
        self._n_customers = n_customers
        self._n_products = n_products
        self._answered = np.zeros(n_customers, np.int64)
        self._bought: list[Amounts] = []
        self._expected: list[Amounts] = []
        self._shown: list[Amounts] = []
        self._sent_back: list[Integers] = []

    def answer(self, customers: Integers, now: int) -> None:
        """Note when customers were answered."""
        self._answered[customers] = now

    def dated(self, customers: Integers, times: Integers) -> Integers:
        """Return when customers acted: not before they were answered.

        The service's clock stands at the end of a slice, and what follows from an answer would else precede it.
        """
        return np.maximum(times, self._answered[customers])

    def book(self, columns: dict[str, Column]) -> None:
        """Book what was bought and sent back among acts (`journal.COLUMNS`) that are posted."""
        customer, time, order, product, pieces = (
            columns[name].astype(np.int64) for name in ("customer", "time", "order", "product", "quantity")
        )
        line = order * self._n_products + product
        money = columns["price"].astype(np.float64) * pieces
        bought, sent_back = (columns["event_type"] == kind for kind in (EventType.PURCHASE, EventType.REFUND))
        self._bought.append(Amounts(customer[bought], time[bought], money[bought], line[bought]))
        self._sent_back.append(line[sent_back])

    def expect(self, customer: Integers, time: Integers, money: Floats) -> None:
        """Book what ended visits were to bring, whether or not anything was bought."""
        times = self.dated(customer, time)
        self._expected.append(Amounts(customer, times, money, np.zeros(len(customer), np.int64)))

    def show(self, customer: Integers, now: int, worth: Floats) -> None:
        """Book answers at what they were truly worth."""
        n = len(customer)
        self._shown.append(Amounts(customer, np.full(n, now), worth, np.zeros(n, np.int64)))

    def shown(self, span: Span) -> tuple[Floats, Floats]:
        """Return what each customer's answers in their time were worth, and how many: float64[customers] each."""
        answers = _joined(self._shown)
        return self._summed(answers, span), self._summed(answers._replace(money=np.ones(len(answers.time))), span)

    def brought(self, span: Span) -> Floats:
        """Return what each customer brought in their time, less refunds, whenever these came: float64[customers].

        Refunds are of whole lines.
        """
        amounts = _joined(self._bought)
        sent_back = np.isin(amounts.line, np.concatenate([*self._sent_back, np.empty(0, np.int64)]))
        return self._summed(amounts._replace(money=np.where(sent_back, 0.0, amounts.money)), span)

    def expected(self, span: Span) -> Floats:
        """Return what each customer was to bring in their time, refunds not taken off: float64[customers]."""
        return self._summed(_joined(self._expected), span)

    def _summed(self, amounts: Amounts, span: Span) -> Floats:
        since = span.since[amounts.customer]
        counts = (since != NOTHING) & (amounts.time >= since) & (amounts.time < since + span.length)
        summed = np.zeros(self._n_customers)
        np.add.at(summed, amounts.customer[counts], amounts.money[counts])
        return summed


def _joined(parts: list[Amounts]) -> Amounts:
    nothing = np.empty(0, np.int64)
    parts = [Amounts(nothing, nothing, np.empty(0), nothing), *parts]
    return Amounts(
        customer=np.concatenate([part.customer for part in parts]),
        time=np.concatenate([part.time for part in parts]),
        money=np.concatenate([part.money for part in parts]),
        line=np.concatenate([part.line for part in parts]),
    )
