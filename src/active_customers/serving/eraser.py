"""Erasing a customer on request, and the receipt for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from active_customers.core.clock import HOUR, format_time
from active_customers.core.erasure import Erasure
from active_customers.core.errors import InvalidValueError, UnknownCustomerError
from active_customers.core.identifiers import canonical_id
from active_customers.models.trained import versions_holding
from active_customers.serving.retention import RetentionConfig
from active_customers.storage.base import Erasures


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

    def lines(self) -> list[str]:
        """Return it for people."""
        held = f"passed over in {', '.join(self.models)}" if self.models else "hold nothing"
        done = f"overwritten at {self.archive_done}" if self.archive_done else f"overwritten until {self.archive_due}"
        return [
            f"erased at {self.erased_at}, receipt {self.receipt}, customer {self.customer_hash}",
            f"session state: {'deleted' if self.session_state else 'there was none'}",
            f"log: {self.log_entries:,} entries overwritten",
            f"archive: {self.archive_rows:,} rows, {done}",
            f"models: {held}",
            f"live index: forgotten when it reads position {self.receipt}, within seconds in a running service",
        ]


@dataclass(frozen=True, slots=True)
class Eraser:
    """Erases customers by id through whoever owns the store."""

    erase_in_store: Callable[[str], Erasure | None]
    erasures: Erasures
    models: Path
    config: RetentionConfig

    def erase(self, customer_id: str) -> ErasureReceipt:
        """Erase a customer; for one who was erased before and has not come back, return that receipt again.

        Raises `UnknownCustomerError` when nothing is held and nothing was erased under this id.
        """
        try:
            customer = canonical_id(customer_id)
        except ValueError as error:
            raise InvalidValueError("customer_id", customer_id, str(error)) from error
        if self.erase_in_store(customer) is None and self.erasures.of(customer) is None:
            raise UnknownCustomerError(f"nothing is held about customer {customer!r}: nothing was erased")
        return self.receipt(customer)

    def receipt(self, customer: str) -> ErasureReceipt:
        """Return the latest receipt of an erased customer as things stand now."""
        erasure = self.erasures.of(customer)
        if erasure is None:
            raise UnknownCustomerError(f"customer {customer!r} was not erased")
        return ErasureReceipt(
            receipt=erasure.position,
            customer_hash=erasure.digest,
            erased_at=format_time(erasure.time),
            session_state=erasure.had_state,
            log_entries=erasure.log_entries,
            archive_rows=erasure.archive_rows,
            archive_due=format_time(erasure.time + self.config.erase_hours * HOUR),
            archive_done=None if erasure.archive_done is None else format_time(erasure.archive_done),
            models=versions_holding(self.models, erasure.customer),
        )
