"""From a request's body to events: parse, check, name what is wrong, recognise retries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import islice
from typing import Any, TypeGuard

import orjson
from pydantic import ValidationError

from active_customers.core.clock import MINUTE, format_time
from active_customers.core.erasure import NAMES_ANOTHER
from active_customers.core.errors import BatchRejectedError, InvalidValueError
from active_customers.core.event import DETAIL_FIELDS, MAX_AHEAD, Event, EventType, Receipt, key_of_event_id
from active_customers.core.identifiers import json_id
from active_customers.realtime.schemas import MAX_BATCH, MAX_STORED, EventIn, first_error

BODY_RETRY_WINDOW = 10 * MINUTE
"""For so long a byte-identical body without event ids counts as a retry."""


Outcome = Event | Sequence[Event] | InvalidValueError
"""What became of one event of a request: the event, those that it stands for, or what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Posted:
    """What one request brought."""

    outcomes: Sequence[Outcome]
    event_ids: Sequence[str | None]
    is_batch: bool

    def events(self) -> list[Event]:
        """Return the events that can be stored."""
        events: list[Event] = []
        for outcome in self.outcomes:
            if isinstance(outcome, Event):
                events.append(outcome)
            elif not isinstance(outcome, InvalidValueError):
                events.extend(outcome)
        return events

    def n_rejected(self) -> int:
        """Return how many of the events cannot be stored."""
        return sum(isinstance(outcome, InvalidValueError) for outcome in self.outcomes)

    def answer(self, receipts: Sequence[Receipt]) -> dict[str, object]:
        """Return the body of the answer, given the receipts of `events()`.

        Raises the error of a single event that was rejected, `BatchRejectedError` when all of a batch were.
        """
        remaining = iter(receipts)
        results: list[dict[str, object]] = []
        for outcome, event_id in zip(self.outcomes, self.event_ids, strict=True):
            shown_id = None if event_id is None else json_id(event_id)
            if isinstance(outcome, InvalidValueError):
                if not self.is_batch:
                    raise outcome
                results.append({"event_id": shown_id, "status": "rejected", "error": str(outcome)})
            else:
                n = 1 if isinstance(outcome, Event) else len(outcome)
                are_known = [receipt.is_duplicate for receipt in islice(remaining, n)]
                status = "duplicate" if all(are_known) else "accepted"
                results.append({"event_id": shown_id, "status": status})
        if not self.is_batch:
            return results[0]
        if not receipts:
            raise BatchRejectedError(results)
        return {"results": results}


def parse_body(body: bytes, now: int) -> Posted:
    """Return what a body holds; raises `InvalidValueError` when it is no event and no batch at all."""
    document = _json(body)
    if "events" not in document:
        outcome = _checked(document, "", now, body)
        return Posted([outcome], [_event_id(document)], is_batch=False)
    items = document["events"]
    unknown = next((name for name in document if name != "events"), None)
    if unknown is not None:
        raise InvalidValueError(
            unknown, document[unknown], "a batch has one field, events: put the rest into the events"
        )
    if not isinstance(items, list) or not 1 <= len(items) <= MAX_BATCH:
        size = len(items) if isinstance(items, list) else items
        raise InvalidValueError("events", size, f"send a list of 1 to {MAX_BATCH} events, and more in further requests")
    outcomes = [_checked(item, f"events[{i}].", now, body, i) for i, item in enumerate(items)]
    n_stored = sum(len(outcome) if isinstance(outcome, list) else 1 for outcome in outcomes)
    if n_stored > MAX_STORED:
        remedy = f"these show more than {MAX_STORED} products: send the rest in further requests"
        raise InvalidValueError("events", f"{len(items)} events", remedy)
    return Posted(outcomes, [_event_id(item) for item in items], is_batch=True)


def without_joins(posted: Posted) -> Posted:
    """Return what a request brought that may join nobody: logins that name another id than their own are refused."""
    if not any(map(_joins, posted.outcomes)):
        return posted
    outcomes = [
        _refused(outcome, f"events[{place}]." if posted.is_batch else "") if _joins(outcome) else outcome
        for place, outcome in enumerate(posted.outcomes)
    ]
    return replace(posted, outcomes=outcomes)


def _joins(outcome: Outcome) -> TypeGuard[Event]:
    if not isinstance(outcome, Event) or outcome.event_type != EventType.LOGIN:
        return False
    return outcome.details.get(NAMES_ANOTHER) not in (None, outcome.customer_id)


def _refused(login: Event, at: str) -> InvalidValueError:
    remedy = "a public key joins nobody: have the shop's server post this login, with a key of the server scope"
    return InvalidValueError(f"{at}{NAMES_ANOTHER}", login.details[NAMES_ANOTHER], remedy)


def _json(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidValueError("body", body[:60], f"send JSON in UTF-8 ({error})") from error
    if not isinstance(document, dict):
        raise InvalidValueError("body", document, 'send one event as a JSON object, or {"events": [...]}')
    return document


def _field(item: object, name: str) -> object:
    return item.get(name) if isinstance(item, dict) else None


def _event_id(item: object) -> str | None:
    event_id = _field(item, "event_id")
    return str(event_id)[:128] if isinstance(event_id, str | int) and not isinstance(event_id, bool) else None


def _checked(item: object, at: str, now: int, body: bytes, index: int = 0) -> Event | list[Event] | InvalidValueError:
    try:
        fields = EventIn.model_validate(item)
    except ValidationError as error:
        return first_error(error, EventIn, at)
    time = now if fields.timestamp is None else fields.timestamp
    if time > now + MAX_AHEAD:
        ahead = f"it is over 5 minutes ahead of {format_time(now)}: check the clock"
        return InvalidValueError(f"{at}timestamp", _field(item, "timestamp"), ahead)
    event = _event(fields, time, body, index)
    return event if fields.product_ids is None else _each_shown(event, fields.product_ids)


def _each_shown(event: Event, product_ids: Sequence[str]) -> list[Event]:
    """Return an impression of each product, once; a retry of the list is one of each."""

    def key(product_id: str) -> bytes:
        return blake2b(product_id.encode(), digest_size=16, key=event.dedup_key).digest()

    return [replace(event, product_id=each, dedup_key=key(each)) for each in dict.fromkeys(product_ids)]


def _event(fields: EventIn, time: int, body: bytes, index: int) -> Event:
    said = fields.model_fields_set
    details = {name: value for name in DETAIL_FIELDS if name in said and (value := getattr(fields, name)) is not None}
    if fields.metadata:
        details["metadata"] = fields.metadata
    if fields.event_id is not None:
        key, window = key_of_event_id(fields.event_id), None
    else:
        key, window = blake2b(body, digest_size=16, salt=index.to_bytes(2, "big")).digest(), BODY_RETRY_WINDOW
    return Event(  # by position: by name it takes three times as long
        fields.customer_id,
        fields.event_type,
        time,
        fields.product_id,
        fields.quantity,
        fields.price,
        fields.context,
        fields.channel,
        fields.session_id,
        details,
        key,
        window,
    )
