"""Logins, consents and robots in an import: whose its rows are, and what the store is to note when it adopts them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from active_customers.core.consent import PROFILE, said_in
from active_customers.core.erasure import NAMES_ANOTHER
from active_customers.core.event import EventType
from active_customers.storage.customer_book import newcomer

Consent = Callable[[str], str | None]
"""Gives what the store knows that an id's customer agreed to last, or None."""

KnownAs = Callable[[str], str | None]
"""Gives the id of the known customer that an id leads to, or None while it leads to nobody else."""

TURNS = f"""
SELECT rowid AS place, customer_id, event_type, details FROM fresh
WHERE event_type = {int(EventType.LOGIN)} OR event_type = {int(EventType.CONSENT)} AND details IS NOT NULL
ORDER BY rowid
"""  # noqa: S608 - constants


@dataclass(slots=True)
class Turns:
    """What rows in the order of time say of who is whom, by the rules of `storage.customer_book`.

    `spells` are (id, first place, the id whose its rows are from there on); `said` are the rows that the store is to
    apply as well: (place, customer's id, event type, the other id or the consent).
    """

    known_as: KnownAs
    consent: Consent
    spells: list[tuple[str, int, str]] = field(default_factory=list)
    said: list[tuple[int, str, EventType, str]] = field(default_factory=list)
    _agreed: dict[str, str] = field(default_factory=dict)
    """What was said so far, by who ids stand for."""
    _known: set[str] = field(default_factory=set)
    _leads: dict[str, str | None] = field(default_factory=dict)
    """Whom ids lead to by the logins so far; None for nobody, after a logout."""
    _new: dict[str, str] = field(default_factory=dict)
    """Who ids stand for themselves, after a logout."""

    def read(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take rows of `TURNS`, in order."""
        for row in rows:
            details = orjson.loads(row["details"] or b"{}")
            place, customer_id, kind = row["place"], row["customer_id"], EventType(row["event_type"])
            if kind == EventType.LOGIN and NAMES_ANOTHER in details:
                other_id = self._log_in(place, customer_id, details[NAMES_ANOTHER])
                self.said.append((place, customer_id, kind, other_id))
            elif kind == EventType.LOGIN:
                self._know(place, customer_id)
            elif kind == EventType.CONSENT and said_in(details) is not None:
                self._agreed[self._led_to(customer_id) or self._itself(customer_id)] = details["consent"]
                self.said.append((place, customer_id, kind, details["consent"]))

    def _know(self, place: int, customer_id: str) -> None:
        """Take note of a login that names no other id: once a customer, for the store too."""
        if self._led_to(customer_id) is None:
            self._known.add(self._itself(customer_id))
            self.said.append((place, customer_id, EventType.LOGIN, ""))

    def _log_in(self, place: int, customer_id: str, other_id: str) -> str:
        """Apply the rules; return whom the store is to be told of as the other id."""
        leads_to = self._led_to(other_id)
        if customer_id == other_id:
            if leads_to not in (None, self._itself(other_id)):
                self._new[other_id] = newcomer(other_id, place)
                self.spells.append((other_id, place + 1, self._new[other_id]))
                self._leads[other_id] = None
            return newcomer(other_id, place)
        customer = self._led_to(customer_id) or self._itself(customer_id)
        self._known.add(customer)
        if leads_to in (self._itself(other_id), customer):
            return other_id
        if not self._may_join(customer, self._itself(other_id) if leads_to is None else None):
            return other_id
        # What nobody had before is the customer's from the beginning, so that a visit does not end where they log in.
        first = 0 if leads_to is None and other_id not in self._leads else place + 1
        self.spells.append((other_id, first, customer))
        self._leads[other_id] = customer
        return other_id

    def _may_join(self, customer: str, other: str | None) -> bool:
        """Tell whether both agree to a profile; who never said agrees to what the other did (None: nobody)."""
        mine, theirs = (
            None if each is None else self._agreed.get(each) or self.consent(each) for each in (customer, other)
        )
        if mine is None and theirs is not None:
            self._agreed[customer] = theirs
        return mine in (None, PROFILE) and theirs in (None, PROFILE)

    def _itself(self, customer_id: str) -> str:
        """Return who an id stands for where it leads to nobody else."""
        return self._new.get(customer_id, customer_id)

    def _led_to(self, customer_id: str) -> str | None:
        """Return who the known customer is that an id leads to here, or None."""
        leads_to = self._leads.get(customer_id)
        if leads_to is None and self._itself(customer_id) in self._known:
            return self._itself(customer_id)
        return leads_to if customer_id in self._leads else self.known_as(customer_id)
