"""Exposures: that a customer was really answered by a variant, written to the log without anybody waiting for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from hashlib import blake2b
from typing import Protocol

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


class Exposures:
    """Notes each customer's first answer by each variant. For the thread of the event loop.

    What was lost is told by the next exposure that is not, as `lost`, so that an analysis knows how many are missing.
    """

    def __init__(self, appender: Appender) -> None:
        self._appender = appender
        self._noted: set[tuple[str, int]] = set()
        self._waiting: list[tuple[tuple[str, int], Event]] = []
        self._sending: asyncio.Task[None] | None = None
        self._lost = 0

    def note(self, customer_id: str, variants: Sequence[InVariant], where: tuple[Context, Channel], now: int) -> None:
        """Note that a customer was shown something by these variants at a time (microseconds)."""
        for variant in variants:
            key = customer_id, variant.code
            if not variant.counts or key in self._noted:
                continue
            if len(self._waiting) >= _MOST_WAITING:
                self._lose(1)
                continue
            if len(self._noted) >= _MOST_REMEMBERED:
                self._noted.clear()
            self._noted.add(key)
            self._waiting.append((key, self._exposure(customer_id, variant, where, now)))
        if self._waiting and (self._sending is None or self._sending.done()):
            self._sending = asyncio.get_running_loop().create_task(self._send())

    def _exposure(self, customer_id: str, variant: InVariant, where: tuple[Context, Channel], now: int) -> Event:
        told = {"experiment": variant.experiment, "version": variant.version, "variant": variant.variant}
        known = f"{variant.experiment}\0{variant.version}\0{customer_id}".encode()
        return Event(
            customer_id,
            EventType.EXPOSURE,
            now,
            context=where[0],
            channel=where[1],
            details={"metadata": told},
            dedup_key=blake2b(known, digest_size=16, person=b"exposure").digest(),
        )

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


def _with_lost(event: Event, lost: int) -> Event:
    told = {**event.details["metadata"], "lost": lost}
    return Event(
        event.customer_id,
        event.event_type,
        event.time,
        context=event.context,
        channel=event.channel,
        details={"metadata": told},
        dedup_key=event.dedup_key,
    )
