"""Erasures: what is kept of them, and what stands in the log where an erased event stood."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from active_customers.core.event import Event, EventType, LogEntry
from active_customers.core.identifiers import NO_NUMBER

NAMES_ANOTHER = "other_customer_id"
"""The one field of an event that holds the id of a customer other than its own."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """The receipt of one erasure. It outlives the customer and does not name them."""

    position: int
    """Of the `erase` entry in the log, which names the receipt: what was appended before it is erased."""
    time: int
    """When, in microseconds."""
    customer: int
    """The number that stood for the customer; never given again."""
    digest: str
    """Keyed hash of the customer's id (hexadecimal): whoever has the id and the store finds the receipt by it."""
    had_state: bool
    """Whether there was session state, which went with the `erase` entry."""
    log_entries: int = 0
    """Entries of the log that were overwritten."""
    archive_rows: int = 0
    """Rows of the archive that were found, to be overwritten or overwritten by now."""
    archive_done: int | None = None
    """When the last of them had been overwritten on disk; None as long as it is to be done."""
    of: int = 0
    """Position of the erasure that this one is part of: that of the customer whom the id had been joined with; 0 for an
    erasure of its own."""


def summed(parts: Sequence[Erasure]) -> Erasure:
    """Return the first of the erasures with what all of them amount to; the others are parts of it."""
    done = [part.archive_done for part in parts if part.archive_done is not None]
    return replace(
        parts[0],
        log_entries=sum(part.log_entries for part in parts),
        archive_rows=sum(part.archive_rows for part in parts),
        archive_done=max(done) if len(done) == len(parts) else None,
    )


def blank_entry(position: int, arrival: int) -> LogEntry:
    """Return what stands in the place of an erased event: that something arrived there then, and nothing else."""
    event = Event("", EventType.ERASED, arrival, quantity=0, dedup_key=bytes(16))
    return LogEntry(position, arrival, NO_NUMBER, NO_NUMBER, 0, event)


class ErasedCustomers:
    """Whose rows and mentions are to be overwritten: what archive and log go by when they look for them.

    `numbers` are the customers' (uint32); `mentions` gives for the digest of an id the position below which a mention
    of it is to go, and `digest` makes one.
    """

    def __init__(
        self,
        numbers: NDArray[np.uint32],
        mentions: Mapping[str, int] | None = None,
        digest: Callable[[str], str] = str,
    ) -> None:
        self.numbers = numbers
        self._mentions = mentions or {}
        self._digest = digest

    @classmethod
    def of(cls, erasures: Sequence[Erasure], digest: Callable[[str], str]) -> Self:
        """Return the customers of some erasures."""
        in_order = sorted(erasures, key=lambda erasure: erasure.position)
        numbers = np.array([erasure.customer for erasure in in_order], np.uint32)
        return cls(numbers, {erasure.digest: erasure.position for erasure in in_order}, digest)

    def names(self, customer_id: object, position: int) -> bool:
        """Tell whether an id that an event at a position mentions is that of somebody who was erased since."""
        return isinstance(customer_id, str) and position < self._mentions.get(self._digest(customer_id), 0)
