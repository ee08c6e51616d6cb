"""What a batch of events becomes in the log: the steps that both adapters take, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from active_customers.core.consent import ConsentConfig, said_in
from active_customers.core.event import Event, EventType, LogEntry, Receipt
from active_customers.core.identifiers import NO_NUMBER
from active_customers.storage.robots import RobotConfig


class CustomerRules(NamedTuple):
    """The settings by which events are kept and robots recognised."""

    consent: ConsentConfig = ConsentConfig()
    robots: RobotConfig = RobotConfig()


DEFAULT_RULES = CustomerRules()

NOT_KEPT = Receipt(0)
"""The receipt of an event that was accepted and not stored, since its customer does not want that."""


def turns(event: Event) -> bool:
    """Tell whether what follows an event may be another customer's, or be kept otherwise, than what came before."""
    if event.event_type == EventType.LOGIN:
        return True
    return event.event_type == EventType.CONSENT and said_in(event.details) is not None


def stretches(events: Sequence[Event]) -> Iterator[Sequence[Event]]:
    """Cut events after each that `turns`."""
    start = 0
    for end, event in enumerate(events, 1):
        if turns(event):
            yield events[start:end]
            start = end
    if start < len(events):
        yield events[start:]


def joined_entry(login: LogEntry, position: int, moved: int) -> LogEntry:
    """Return the entry that says that the history of a number is the customer's of a login from here on."""
    event = Event(
        login.event.customer_id,
        EventType.JOINED,
        login.event.time,
        session_id=login.event.session_id,
        dedup_key=bytes(16),
    )
    return LogEntry(position, login.arrival, login.customer, NO_NUMBER, moved, event)


def forgotten_entry(cause: LogEntry, position: int, why: Mapping[str, str]) -> LogEntry:
    """Return the entry that says that the live index is to forget the customer of an event.

    `why` is a `consent` to less than a profile, or the rule by which a `robot` was recognised.
    """
    event = Event(cause.event.customer_id, EventType.FORGOTTEN, cause.event.time, details=why, dedup_key=bytes(16))
    return LogEntry(position, cause.arrival, cause.customer, NO_NUMBER, 0, event)
