"""Exposures and choices: that a customer was really answered by a variant, written to the log while nobody waits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any, NamedTuple, Protocol

from active_customers.core.event import Channel, Context, Event, EventType, Receipt
from active_customers.experiments.assignment import InVariant
from active_customers.monitoring.metrics import EXPOSURES

_log = logging.getLogger(__name__)

_MOST_WAITING = 10_000
"""Exposures that wait for the committer; what comes beyond is lost, and counted."""
_MOST_REMEMBERED = 500_000
"""Customers and variants that a worker knows it has noted, as hashes of about 70 bytes; then it begins anew, and the
log recognises what it has."""
_MOST_AT_ONCE = 1_000
_PAUSE_SECONDS = 0.5


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

    What found no room is told by the next exposure that did, as `lost`, so that an analysis knows how many are missing.
    """

    def __init__(self, appender: Appender) -> None:
        self._appender = appender
        self._noted: set[int] = set()
        self._waiting: list[Event] = []
        self._sending: asyncio.Task[None] | None = None
        self._lost = 0

    def note(self, shown: AnswerShown, variants: Sequence[InVariant]) -> None:
        """Note that a customer was shown something by these variants."""
        for variant in variants:
            is_choice = variant.propensity is not None
            key = hash((shown.customer_id, variant.code))
            if not variant.counts or (key in self._noted and not is_choice):
                continue
            if len(self._waiting) >= _MOST_WAITING:
                self._lose(1)
                continue
            if len(self._noted) >= _MOST_REMEMBERED:
                self._noted.clear()
            if is_choice:
                self._waiting.append(_choice(shown, variant))
            else:
                self._noted.add(key)
                self._waiting.append(_exposure(shown, variant))
        if self._waiting and (self._sending is None or self._sending.done()):
            self._sending = asyncio.get_running_loop().create_task(self._send())

    async def _send(self) -> None:
        """Pass on what waits, and what comes meanwhile; while the committer is away, try again."""
        while self._waiting:
            batch, self._waiting = self._waiting[:_MOST_AT_ONCE], self._waiting[_MOST_AT_ONCE:]
            told, batch = self._lost, [_with_lost(batch[0], self._lost), *batch[1:]] if self._lost else batch
            try:
                receipts = await self._appender.append(batch)
            except Exception as error:  # noqa: BLE001 - whatever it was, nothing is forgotten
                _log.warning("%d exposures wait: %s", len(batch), error)
                self._waiting = batch + self._waiting
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            if told and receipts[0].position:  # a duplicate, or of who wants nothing kept, tells the log nothing
                self._lost -= told
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
