"""What a customer agrees to have kept of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from active_customers.core.config import Config
from active_customers.core.event import Event

NONE, SESSION, PROFILE = "none", "session", "profile"
"""Nothing is kept; what they do counts during the visit; everything is kept (`core.event.CONSENTS`)."""


class ConsentConfig(Config):
    """What may be kept of customers; `docs/privacy.md` says what that means."""

    default: Literal["none", "session", "profile"] = "profile"
    """What counts as long as a customer has agreed to nothing and refused nothing, and the event says nothing."""


def said_in(details: Mapping[str, object]) -> str | None:
    """Return the consent that an event's details name, or None."""
    said = details.get("consent")
    return said if isinstance(said, str) else None


def without_ids(event: Event) -> Event:
    """Return an event of a visit as the log may hold it: without ids and what else the shop wrote into it."""
    return replace(event, session_id=None, details={}, dedup_key=bytes(16), retry_window=None)
