"""Exposures and choices: that a customer was really answered by a variant, written to the log while nobody waits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any, NamedTuple, Protocol

from active_customers.core.errors import ActiveCustomersError
from active_customers.core.event import Channel, Context, Event, EventType, Receipt
from active_customers.experiments.assignment import InVariant
from active_customers.monitoring.metrics import EXPOSURES

_log = logging.getLogger(__name__)

_MOST_WAITING = 10_000
"""Exposures that wait for the committer; what comes beyond is lost, and counted."""
_MOST_REMEMBERED = 500_000
"""Customers and variants that a worker knows it has noted, about 100 bytes each; then it begins anew, and the log
recognises what it has."""


class Appender(Protocol):
    """Where events go: the committer, or the link to it."""

    async def append(self, events: Sequence[Event]) -> list[Receipt]:
        """Return the receipts of events once they are durable."""
        ...


class AnswerShown(NamedTuple):
    """An answer that was given: to whom, where, when (microseconds), and what makes its `recommendation_id`."""

    customer_id: str
    context: Context
    channel: Channel
    time: int
    token: Callable[[], str]


class Exposures:
    """Notes each customer's first answer by each variant, and every choice of a bandit. For the event loop's thread.

    What was lost is told by the next exposure that is not, as `lost`, so that an analysis knows how many are missing.
    """

    def __init__(self, appender: Appender) -> None:
        self._appender = appender
        self._noted: set[tuple[str, int]] = set()
        self._waiting: list[tuple[tuple[str, int], Event]] = []
        self._sending: asyncio.Task[None] | None = None
        self._lost = 0

    def note(self, shown: AnswerShown, variants: Sequence[InVariant]) -> None:
        """Note that a customer was shown something by these variants."""
        for variant in variants:
            is_choice = variant.propensity is not None
            key = shown.customer_id, variant.code
            if not variant.counts or (key in self._noted and not is_choice):
                continue
            if len(self._waiting) >= _MOST_WAITING:
                self._lose(1)
                continue
            if len(self._noted) >= _MOST_REMEMBERED:
                self._noted.clear()
            if is_choice:
                self._waiting.append((key, _choice(shown, variant)))
            else:
                self._noted.add(key)
                self._waiting.append((key, _exposure(shown, variant)))
        if self._waiting and (self._sending is None or self._sending.done()):
            self._sending = asyncio.get_running_loop().create_task(self._send())

    async def _send(self) -> None:
        """Pass on what waits, and what comes meanwhile; while the committer is away it is lost."""
        while self._waiting:
            batch, self._waiting = self._waiting, []
            events = [event for _, event in batch]
            if self._lost:
                events[0] = _with_lost(events[0], self._lost)
            try:
                await self._appender.append(events)
            except ActiveCustomersError as error:
                _log.warning("%d exposures are lost: %s", len(batch), error)
                self._noted.difference_update(key for key, _ in batch)  # to be noted with the customer's next answer
                self._lose(len(batch))
            else:
                self._lost = 0
                EXPOSURES.labels("noted").inc(len(batch))

    def _lose(self, count: int) -> None:
        self._lost += count
        EXPOSURES.labels("lost").inc(count)


def _exposure(shown: AnswerShown, variant: InVariant) -> Event:
    told = {"experiment": variant.experiment, "version": variant.version, "variant": variant.variant}
    known = f"{variant.experiment}\0{variant.version}\0{shown.customer_id}".encode()
    return _event(shown, EventType.EXPOSURE, {"metadata": told}, known)


def _choice(shown: AnswerShown, variant: InVariant) -> Event:
    """Return the choice of a bandit with its propensity, as `batch.choice_history` reads it."""
    told: dict[str, Any] = {
        "bandit": variant.experiment,
        "version": variant.version,
        "arm": variant.variant,
        "propensity": variant.propensity,
    }
    if variant.features:
        told["features"] = variant.features
    token = shown.token()
    known = f"{variant.experiment}\0{variant.version}\0{token}".encode()
    return _event(shown, EventType.CHOICE, {"metadata": told, "recommendation_id": token}, known)


def _event(shown: AnswerShown, kind: EventType, details: dict[str, Any], known: bytes) -> Event:
    key = blake2b(known, digest_size=16, person=kind.word.encode()).digest()
    return Event(
        shown.customer_id,
        kind,
        shown.time,
        context=shown.context,
        channel=shown.channel,
        details=details,
        dedup_key=key,
    )


def _with_lost(event: Event, lost: int) -> Event:
    """Return an event that says, too, how many were lost before it."""
    metadata = {**event.details["metadata"], "lost": lost}
    return replace(event, details={**event.details, "metadata": metadata})
