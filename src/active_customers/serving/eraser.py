"""Erasing a customer on request, and the receipt for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from active_customers.core.clock import DAY, HOUR, SECOND, format_time
from active_customers.core.erasure import Erasure
from active_customers.core.errors import InvalidValueError, UnknownCustomerError
from active_customers.core.identifiers import canonical_id
from active_customers.models.trained import versions_holding
from active_customers.serving.retention import RetentionConfig
from active_customers.storage.base import DAYS_REMEMBERED, Erasures


class Place(BaseModel):
    """What an erasure does in one place."""

    place: str
    what: str
    done: str | None = None
    """When it was done; null as long as it is not."""
    due: str | None = None
    """When it is done at the latest; null where it is done, or where something else decides."""


class ErasureReceipt(BaseModel):
    """What was erased where. It does not name the customer."""

    receipt: int
    """Position of the erasure in the log: everything stored before it is erased."""
    customer_hash: str
    """Keyed hash of the id; the key never leaves the data directory."""
    erased_at: str
    session_state: bool
    """Whether there was session state; it is gone."""
    log_entries: int
    """Entries overwritten in the log."""
    archive_rows: int
    """Rows found in the archive; they teach no model any more."""
    archive_due: str
    """When they are overwritten on disk at the latest."""
    archive_done: str | None
    """When they had been; null as long as they have not."""
    models: list[str]
    """Published versions with sessions or features of the customer: passed over when answering, gone with them."""
    joined_ids: int
    """Ids that had been joined with the customer's, and visits under way: erased with them."""
    places: list[Place]
    """Every place that can hold something of a customer, and when it is gone there."""

    def lines(self) -> list[str]:
        """Return it for people."""
        first = f"erased at {self.erased_at}, receipt {self.receipt}, customer {self.customer_hash}"
        return [first, *(f"{place.place}: {place.what}{_when(place)}" for place in self.places)]


def _when(place: Place) -> str:
    if place.done is not None:
        return f", done at {place.done}"
    return "" if place.due is None else f" until {place.due}"


def checked_id(customer_id: str) -> str:
    """Return a customer's id in canonical form; raises `InvalidValueError` for what is none."""
    try:
        return canonical_id(customer_id)
    except ValueError as error:
        raise InvalidValueError("customer_id", customer_id, str(error)) from error


@dataclass(frozen=True, slots=True)
class Eraser:
    """Erases customers by id through whoever owns the store."""

    erase_in_store: Callable[[str], Erasure | None]
    erasures: Erasures
    models: Path
    config: RetentionConfig
    rejects_days: float
    """For how long rejected rows of imports are kept."""
    checkpoint_seconds: float
    """Pause between two checkpoints of the live index; there are two copies."""

    def erase(self, customer_id: str) -> ErasureReceipt:
        """Erase a customer; for one who was erased before and has not come back, return that receipt again.

        Raises `UnknownCustomerError` when nothing is held and nothing was erased under this id.
        """
        customer = checked_id(customer_id)
        if self.erase_in_store(customer) is None and self.erasures.of(customer) is None:
            raise UnknownCustomerError(f"nothing is held about customer {customer!r}: nothing was erased")
        return self.receipt(customer)

    def receipt(self, customer: str) -> ErasureReceipt:
        """Return the latest receipt of an erased customer as things stand now."""
        erasure = self.erasures.of(customer)
        if erasure is None:
            raise UnknownCustomerError(f"customer {customer!r} was not erased")
        numbers = self.erasures.numbers(erasure)
        models = versions_holding(self.models, numbers)
        return ErasureReceipt(
            receipt=erasure.position,
            customer_hash=erasure.digest,
            erased_at=format_time(erasure.time),
            session_state=erasure.had_state,
            log_entries=erasure.log_entries,
            archive_rows=erasure.archive_rows,
            archive_due=self._due(erasure, self.config.erase_hours * HOUR),
            archive_done=None if erasure.archive_done is None else format_time(erasure.archive_done),
            models=models,
            joined_ids=len(numbers) - 1,
            places=self._places(erasure, len(numbers) - 1, models),
        )

    def _places(self, erasure: Erasure, joined: int, models: list[str]) -> list[Place]:
        now, archived = format_time(erasure.time), erasure.archive_done
        rejects, checkpoints = int(self.rejects_days * DAY), int(2 * self.checkpoint_seconds * SECOND)
        return [
            Place(place="session state", what="deleted" if erasure.had_state else "there was none", done=now),
            Place(place="ids, number, consents", what=f"forgotten, with {joined:,} joined ids or visits", done=now),
            Place(place="log", what=f"{erasure.log_entries:,} entries overwritten", done=now),
            Place(
                place="retry keys",
                what="hashes without names are known, so that no retry brings the customer back",
                due=self._due(erasure, (DAYS_REMEMBERED + 1) * DAY),
            ),
            Place(
                place="archive",
                what=f"{erasure.archive_rows:,} rows, overwritten",
                done=None if archived is None else format_time(archived),
                due=self._due(erasure, self.config.erase_hours * HOUR) if archived is None else None,
            ),
            Place(
                place="imports under way",
                what="overwritten when an import ends; what a dead one left is there",
                due=self._due(erasure, self.config.erase_hours * HOUR),
            ),
            Place(
                place="rejected rows of imports",
                what="files, which may quote what was wrong with a row, are kept",
                due=self._due(erasure, rejects),
            ),
            Place(
                place="live index",
                what=f"forgotten when it reads position {erasure.position}, within seconds in a running service; its "
                "checkpoints hold the customer",
                due=self._due(erasure, checkpoints),
            ),
            Place(place="models", what=f"passed over in {', '.join(models)}" if models else "hold nothing", done=now),
            Place(
                place="recommendation_id",
                what="tokens are stored nowhere; those handed out hold a keyed hash of the id",
                done=now,
            ),
        ]

    def _due(self, erasure: Erasure, after: int) -> str:
        return format_time(erasure.time + after)
