"""Who is whom, what they agreed to, and who is a robot: the rules, over tables that every adapter brings.

An id leads to one number, that of the customer whose acts the next ones are. A number has at most one owner, for life:

* Who was logged in as, whether or not the login named another id, is *known* and owns themselves; known customers are
  never joined to each other.
* A `login` that names another id lets that id lead to the customer from then on. What was done under it before, as
  somebody of its own, becomes the customer's: their number gets an owner. That happens once; who logs in on the same
  device next gets what is done there from then on, and nothing of before.
* Who agreed to less than a profile is joined with nobody; a customer who never said agrees to what the other id did.
* A `login` that names the customer's own id is a logout where the id leads to another: it is somebody new from then on.

A *visit* is what is done under an id that agreed to no more than the session: somebody of their own for as long as it
lasts, whose number the id leads to meanwhile. When it is over nothing leads there any more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from active_customers.core.consent import NONE, PROFILE, SESSION, said_in, without_ids
from active_customers.core.event import CONSENTS, Event, EventType
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.session import SESSION_GAP
from active_customers.storage.customer_tables import Forgotten, Ids, Login, Robot, Tables

_NEWCOMER = "\0"


@dataclass(frozen=True, slots=True)
class _Visit:
    """A visit: who the id leads to afterwards (or `NO_NUMBER`), the latest arrival, the id."""

    before: int
    latest: int
    customer_id: str

    @classmethod
    def of(cls, record: bytes) -> _Visit:
        return cls(_before(record), int.from_bytes(record[4:12], "big"), record[12:].decode())

    def packed(self) -> bytes:
        return _key(self.before) + self.latest.to_bytes(8, "big") + self.customer_id.encode()


class CustomerBook:
    """The rules within one transaction; `default` is the consent of who said nothing."""

    def __init__(self, ids: Ids, tables: Tables, default: str = PROFILE) -> None:
        self._ids = ids
        self._tables = tables
        self._default = default
        self._nobody_objects = default == PROFILE and not len(tables.consents) and not len(tables.visits)
        self._ended: list[int] = []

    def admit(self, event: Event, arrival: int) -> tuple[Event, int] | None:
        """Return what is stored of an event, and under which number; None where nothing may be."""
        if self._nobody_objects and "consent" not in event.details:
            return event, self._ids.number(event.customer_id)
        if event.event_type == EventType.CONSENT:
            return event, self.lasting(event.customer_id)
        consent = said_in(event.details) or self.consent(event.customer_id) or self._default
        if consent == NONE:
            return None
        self._nobody_objects = False  # a visit may begin here
        if consent == SESSION:
            return without_ids(event), self._visit(event.customer_id, arrival)
        self._end_under_way(event.customer_id)
        return event, self._ids.number(event.customer_id)

    def consent(self, customer_id: str) -> str | None:
        """Return what a customer agreed to last, or None when they never said."""
        number = self._find_lasting(customer_id)
        found = None if number == NO_NUMBER else self._tables.consents.get(_key(number))
        return None if found is None else CONSENTS[found[0]]

    def agree(self, who: tuple[str, int], consent: str) -> bool:
        """Note what a customer (id and number) agrees to; return whether that changes if they are passed over.

        Where that is less than a profile the state goes at once; a visit ends unless the session is agreed to.
        """
        customer_id, customer = who
        self._tables.consents.put(_key(customer), bytes([CONSENTS.index(consent)]))
        self._nobody_objects = False
        if consent != SESSION:
            self.end_visit(customer_id)
        was_refused = self._tables.refused.get(_key(customer)) is not None
        if consent == PROFILE:
            self._tables.refused.delete(_key(customer))
            return was_refused
        self._tables.refused.put(_key(customer), b"")
        self._ids.drop_state(customer)
        return not was_refused

    def know(self, customer: int) -> None:
        """Note that somebody logged in as a customer, unless that number is a visit's or another's by now."""
        if self._tables.visits.get(_key(customer)) is None and self.owner(customer) == NO_NUMBER:
            self._own(customer, customer)

    def log_in(self, customer_id: str, other_id: str) -> Login | None:
        """Apply the rules to a login that names another id; None where it changes nothing."""
        for each in (customer_id, other_id):
            self.end_visit(each)
        customer = self._ids.number(customer_id)
        if other_id.partition(_NEWCOMER)[0] == customer_id:
            return self._log_out(customer_id, customer, self._ids.find(other_id))
        self.know(customer)
        before = self._ids.find(other_id)
        is_its_own = before != NO_NUMBER and self._ids.text(before) == other_id
        if before == customer or (is_its_own and self.owner(before) == before):
            return None
        if self._is_refused(customer):
            return None
        if is_its_own and self._is_refused(before):
            return Login(customer, consent=self._unsaid(before, customer))
        number = before if is_its_own else self._ids.add(other_id)
        were_robots = self._is_robot(customer), is_its_own and self._is_robot(number)
        self._own(number, customer)
        self._ids.point(other_id, customer)
        consent, rule = self._passed_on(number, customer)
        moved = number if is_its_own else NO_NUMBER
        passes_over = were_robots != (self._is_robot(customer), self._is_robot(customer))
        return Login(customer, moved, consent, rule, passes_over)

    def _log_out(self, customer_id: str, customer: int, newcomer: int) -> Login | None:
        """Let an id that leads to a customer stand for somebody new, who may have a number already."""
        if self._ids.text(customer) == customer_id:
            return None
        if newcomer in (customer, NO_NUMBER):
            self._ids.add(customer_id)
        else:
            self._ids.rename(newcomer, customer_id)
        return Login(customer)

    def _is_refused(self, number: int) -> bool:
        return self._tables.refused.get(_key(number)) is not None

    def _is_robot(self, number: int) -> bool:
        return (self._tables.robots.get(_key(number)) or b"")[8:] != b""

    def _unsaid(self, number: int, owner: int) -> str | None:
        """Return what was said under a number, where its owner never said; else None."""
        said, consents = self._tables.consents.get(_key(number)), self._tables.consents
        return CONSENTS[said[0]] if said is not None and consents.get(_key(owner)) is None else None

    def _passed_on(self, number: int, owner: int) -> tuple[str | None, str | None]:
        """Return the consent that is to be an owner's, and the rule by which they are a robot now, if any."""
        consent, robots = self._unsaid(number, owner), self._tables.robots
        robot = robots.get(_key(number))
        for table in (self._tables.consents, robots):
            table.delete(_key(number))
        if robot is None or robots.get(_key(owner)) is not None:
            return consent, None
        robots.put(_key(owner), robot)
        return consent, robot[8:].decode() or None

    def owner(self, number: int) -> int:
        """Return the owner of a number, or `NO_NUMBER`; who is known owns themselves."""
        found = self._tables.owners.get(_key(number))
        return NO_NUMBER if found is None else int.from_bytes(found, "big")

    def whose(self, number: int) -> int:
        """Return whose state imported acts of a number change; `NO_NUMBER` for nobody's.

        That is so where the id is forgotten by now, and where the customer wants no profile.
        """
        if self._ids.text(number) is None:
            return NO_NUMBER
        owner = self.owner(number)
        customer = number if owner == NO_NUMBER else owner
        return NO_NUMBER if self._is_refused(customer) else customer

    def numbers(self, customer_id: str) -> list[int]:
        """Return all numbers of the customer that an id leads to, their own first; none when they are unknown."""
        lasting = self._find_lasting(customer_id)
        if lasting == NO_NUMBER:
            visit = self._ids.find(customer_id)
            return [] if visit == NO_NUMBER else [visit]
        visits = (int.from_bytes(key, "big") for key, visit in self._tables.visits.items() if _before(visit) == lasting)
        return [lasting, *self.members(lasting), *visits]

    def known_as(self, customer_id: str) -> str | None:
        """Return the id of the known customer that an id leads to, or None while it leads to nobody else."""
        number = self._find_lasting(customer_id)
        return self._ids.text(number) if number != NO_NUMBER and self.owner(number) == number else None

    def names(self, customer_id: str) -> dict[int, str]:
        """Return the numbers of the customer that an id leads to, with the ids that they were given for."""
        return {number: self._ids.text(number) or "" for number in self.numbers(customer_id)}

    def ids(self, customer_id: str) -> list[str]:
        """Return all ids of the customer that an id leads to, the one that was known first in front."""
        return list(dict.fromkeys(text for _, text in sorted(self.names(customer_id).items())))

    def root(self, customer_id: str) -> str:
        """Return the id that was known first of those that lead to the customer; an unknown id is its own."""
        number = self._find_lasting(customer_id)
        first = NO_NUMBER if number == NO_NUMBER else min(number, *self.members(number), NO_NUMBER)
        return customer_id if first == NO_NUMBER else self._ids.text(first) or customer_id

    def members(self, owner: int) -> list[int]:
        """Return the other numbers that an owner has, ascending."""
        found = [int.from_bytes(key[4:], "big") for key, _ in self._tables.members.items(_key(owner))]
        return [number for number in found if number != owner]

    def flag(self, robot: Robot) -> bool:
        """Note that a customer is a robot; False when that was known."""
        key = _key(robot.customer)
        if self._tables.robots.get(key) is not None:
            return False
        self._tables.robots.put(key, robot.since.to_bytes(8, "big") + robot.rule.encode())
        return True

    def forget_anonymous(self, number: int) -> None:
        """Forget id, state and consent of somebody who never came back; whether they were a robot stays, as acts do."""
        text = self._ids.text(number)
        if text is not None and self._ids.find(text) == number:
            self._ids.point(text, NO_NUMBER)
        self._ids.blank(number)
        self._ids.drop_state(number)
        self._tables.consents.delete(_key(number))

    def unflag(self, customer: int) -> bool:
        """Note that a customer is a person after all, for good; False when nobody took them for a robot."""
        robot = self._tables.robots.get(_key(customer))
        if robot is None or robot[8:] == b"":
            return False
        self._tables.robots.put(_key(customer), bytes(8))
        return True

    def robots(self) -> list[Robot]:
        """Return who is taken for a robot, by number."""
        found = []
        for key, record in self._tables.robots.items():
            number = int.from_bytes(key, "big")
            since, rule = int.from_bytes(record[:8], "big"), record[8:].decode()
            found.append(Robot(number, rule, since, self._ids.text(number) or ""))
        return [robot for robot in found if robot.rule]

    def refused(self) -> NDArray[np.uint32]:
        """Return the numbers, ascending, of who agreed to less than a profile."""
        keys = b"".join(key for key, _ in self._tables.refused.items())
        return np.frombuffer(keys, ">u4").astype(np.uint32)

    def passed_over(self) -> NDArray[np.uint32]:
        """Return the numbers, ascending, of robots and of who agreed to less than a profile."""
        robots = [key for key, record in self._tables.robots.items() if record[8:]]
        owners = np.union1d(np.frombuffer(b"".join(robots), ">u4").astype(np.uint32), self.refused())
        pairs = self._pairs()
        numbers: NDArray[np.uint32] = np.union1d(owners, pairs[np.isin(pairs[:, 1], owners), 0])
        return numbers

    def joined(self) -> NDArray[np.uint32]:
        """Return number and owner of everybody whose history became another's, by number: uint32[n, 2]."""
        pairs = self._pairs()
        others: NDArray[np.uint32] = pairs[pairs[:, 0] != pairs[:, 1]]
        return others

    def _pairs(self) -> NDArray[np.uint32]:
        """Return number and owner of everybody who has one, by number: uint32[n, 2]."""
        records = b"".join(key + owner for key, owner in self._tables.owners.items())
        pairs: NDArray[np.uint32] = np.frombuffer(records, ">u4").astype(np.uint32).reshape(-1, 2)
        return pairs

    def forget(self, customer_id: str) -> Forgotten | None:
        """Forget everything about the customer that an id leads to; None when they are unknown."""
        ids = self.names(customer_id)
        if not ids:
            return None
        owner, had_state = next(iter(ids)), False
        for number, text in ids.items():
            if self._ids.find(text) in ids:
                self._ids.point(text, NO_NUMBER)
            self._ids.blank(number)
            had_state |= self._ids.drop_state(number)
            self._forget_number(number, owner)
        return Forgotten(ids, had_state)

    def _forget_number(self, number: int, owner: int) -> None:
        for table in self._tables:
            table.delete(_key(number))
        self._tables.members.delete(_key(owner) + _key(number))

    def end_visit(self, customer_id: str) -> None:
        """End the visit that is under way under an id, if there is one."""
        self._end_under_way(customer_id)
        self.drop_ended()

    def _end_under_way(self, customer_id: str) -> None:
        """Do as `end_visit` does, but for its state: acts of the visit may have been admitted and not folded."""
        number = self._ids.find(customer_id)
        record = None if number == NO_NUMBER else self._tables.visits.get(_key(number))
        if record is not None:
            self._end(number, _Visit.of(record))

    def end_visits(self, now: int, most: int) -> int:
        """End up to `most` visits whose latest act arrived longer ago than a session lasts; return how many."""
        over = []
        for key, record in self._tables.visits.items():
            visit = _Visit.of(record)
            if now - visit.latest > SESSION_GAP:
                over.append((int.from_bytes(key, "big"), visit))
            if len(over) == most:
                break
        for number, visit in over:
            self._end(number, visit)
        self.drop_ended()
        return len(over)

    def drop_ended(self) -> None:
        """Forget the states of visits that `admit` ended, once what was admitted before is folded."""
        for number in self._ended:
            self._ids.drop_state(number)
        self._ended.clear()

    def _end(self, number: int, visit: _Visit) -> None:
        if self._ids.find(visit.customer_id) == number:
            was_forgotten = visit.before == NO_NUMBER or self._ids.text(visit.before) is None
            self._ids.point(visit.customer_id, NO_NUMBER if was_forgotten else visit.before)
        self._ids.blank(number)
        self._ended.append(number)
        self._tables.visits.delete(_key(number))  # that it was a robot's stays: its acts do

    def _visit(self, customer_id: str, arrival: int) -> int:
        """Return the number of the visit that an act under an id belongs to."""
        number = self._ids.find(customer_id)
        record = None if number == NO_NUMBER else self._tables.visits.get(_key(number))
        if record is not None:
            visit = _Visit.of(record)
            if arrival - visit.latest <= SESSION_GAP:
                self._put(number, visit.before, max(arrival, visit.latest), customer_id)
                return number
            self._end(number, visit)
            number = visit.before
        visit_number = self._ids.add(customer_id)
        self._put(visit_number, number, arrival, customer_id)
        return visit_number

    def _put(self, number: int, before: int, latest: int, customer_id: str) -> None:
        self._tables.visits.put(_key(number), _Visit(before, latest, customer_id).packed())

    def _find_lasting(self, customer_id: str) -> int:
        """Return the number that an id leads to but for visits, or `NO_NUMBER`."""
        number = self._ids.find(customer_id)
        record = None if number == NO_NUMBER else self._tables.visits.get(_key(number))
        return number if record is None else _Visit.of(record).before

    def lasting(self, customer_id: str) -> int:
        """Return the number that an id leads to but for visits, giving a new one where it has none."""
        number = self._ids.find(customer_id)
        record = None if number == NO_NUMBER else self._tables.visits.get(_key(number))
        if record is None:
            return self._ids.number(customer_id)
        visit = _Visit.of(record)
        if visit.before != NO_NUMBER:
            return visit.before
        lasting = self._ids.add(customer_id)
        self._ids.point(customer_id, number)
        self._put(number, lasting, visit.latest, customer_id)
        return lasting

    def _own(self, number: int, owner: int) -> None:
        self._tables.owners.put(_key(number), _key(owner))
        self._tables.members.put(_key(owner) + _key(number), b"")


def newcomer(customer_id: str, place: int) -> str:
    """Return the id under which an import numbers who is new under an id after a logout; no shop's id looks like it."""
    return f"{customer_id}{_NEWCOMER}{place}"


def is_of_a_shop(customer_id: str) -> bool:
    """Tell whether an id may be one of a shop's: neither empty nor a `newcomer`'s."""
    return customer_id != "" and _NEWCOMER not in customer_id


def _before(visit: bytes) -> int:
    return int.from_bytes(visit[:4], "big")


def _key(number: int) -> bytes:
    return number.to_bytes(4, "big")
