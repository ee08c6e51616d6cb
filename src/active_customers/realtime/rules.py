"""The rules in force: taken up when they change, applied to all products beforehand, looked up by each request."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from active_customers.catalog.columns import ProductColumns
from active_customers.catalog.filter_masks import Masks
from active_customers.catalog.filter_parser import parse_filter
from active_customers.catalog.rule_schema import RuleIn
from active_customers.catalog.rules import PageWish, Rule, RuleKind, changes_after
from active_customers.catalog.table import NO_TABLE, TableReader
from active_customers.core.clock import Clock
from active_customers.core.config import Config
from active_customers.core.errors import InvalidValueError
from active_customers.core.event import Channel, Context
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.product import Standing
from active_customers.experiments.strategies import RulesWish
from active_customers.kernels.arrange import FURTHER_BEYOND, MAX_PINNED, POOL_BEYOND, Page, Ruled
from active_customers.kernels.catalog_table import TableColumns
from active_customers.kernels.handover import hand_over
from active_customers.kernels.top_n import ALL_OPEN
from active_customers.realtime.ruling import Filtered, Ruling, catch_up
from active_customers.storage.base import CatalogStore, Store

_log = logging.getLogger(__name__)

NO_WISH = RulesWish()


class RulesConfig(Config):
    """Rules of the shop, and filters of requests."""

    poll_seconds: Annotated[float, Field(gt=0, le=60)] = 0.5
    """Pause between looks for changed rules, and for changed products that rules and filters are asked of."""
    filters_kept: Annotated[int, Field(ge=1)] = 64
    """Filters of requests whose products are remembered, each a byte a product in every worker."""


class Applied(NamedTuple):
    """What is in force on one kind of page. `standing` is None where it is the table's own, `handed` is a `Ruled`.

    Once products are ranked a page is chosen from `beyond` more than it has; 0 where there is nothing to choose. `pins`
    says whether products are pinned. `missing` says what could not be used of it.
    """

    ruling: Ruling
    standing: NDArray[np.uint8] | None
    handed: Any
    beyond: int
    pins: bool
    missing: Sequence[str] = ()


@dataclass(slots=True)
class _Request:
    """A filter of requests over what is in force on a page, and what came of both."""

    filtered: Filtered
    below: Applied | None = None
    applied: Applied | None = None


_RulingKey = tuple[tuple[str, ...], PageWish]
_NO_RULES: _RulingKey = (), PageWish()


class _InForce(NamedTuple):
    """What was taken up of one version of the rules; it counts whole or not at all.

    `read` has each rule and its record by name, `rulings` has what is asked of products by the names of its rules and
    what a strategy wants of the page. `wishes` are those of strategies that were taken up.
    """

    version: int
    next_change: int | None
    read: Mapping[str, tuple[Mapping[str, Any], Rule]]
    rulings: Mapping[_RulingKey, Ruling]
    by_page: Mapping[tuple[RulesWish, Context, Channel], Ruling]
    wishes: frozenset[RulesWish] = frozenset()


class _Handed(NamedTuple):
    """What requests look up, replaced whole, and what it was made of: the table and the columns' state."""

    in_force: _InForce
    table: TableColumns
    state: int
    """Of the columns, when `follow` handed over: others move it in between."""
    has_groups: bool
    applied: Mapping[Ruling, Applied]


class Rulebook:
    """Keeps what is in force. One thread calls `follow` every `RulesConfig.poll_seconds`; all may ask.

    Rules count before the first answer. What filters of requests ask about is read after it where there are no rules;
    until then they let nothing through, and the answer says why.
    """

    def __init__(self, store: Store, table: TableReader, clock: Clock, config: RulesConfig | None = None) -> None:
        self._store = store
        self._table = table
        self._clock = clock
        self._config = config or RulesConfig()
        self._columns = ProductColumns(store.catalog, table, clock)
        self._following = threading.Lock()
        self._handing = threading.Lock()  # held for moments only: requests wait for it
        self._filtering = threading.Lock()
        self._has_begun = False
        self._requests: OrderedDict[tuple[str, Ruling], _Request] = OrderedDict()
        self.wishes: frozenset[RulesWish] = frozenset()
        """What strategies want otherwise; `follow` takes it up."""
        nothing = _InForce(0, None, {}, {_NO_RULES: Ruling(())}, {})
        self._handed = _Handed(nothing, NO_TABLE, 0, has_groups=False, applied={})

    def follow(self) -> None:
        """Take up changed rules and what has changed of products: then every answer knows them.

        What counted before is kept up first, and goes on counting where taking up the change fails.
        """
        with self._following:
            now, version, known = self._clock.now(), self._store.rules.version(), self._handed.in_force
            self._keep_up(known, now)
            is_due = known.next_change is not None and now >= known.next_change
            if is_due or (version, self.wishes) != (known.version, known.wishes):
                self._keep_up(self._taken_up(version, now), now)
            self._has_begun = True

    def _keep_up(self, in_force: _InForce, now: int) -> None:
        """Ask rules of what has changed of products, and hand over what came of it."""
        if self._has_begun or any(map(Ruling.is_about_products, in_force.rulings.values())):
            self._columns.follow(at_once=not self._has_begun)
        state, table, handed = self._columns.state, self._table.columns(), self._handed
        if self._columns.is_read:
            catch_up(in_force.rulings.values(), self._columns, table, now)
        has_groups = handed.has_groups or bool(np.any(table.groups[table.standing > 0] != NO_NUMBER))
        is_known = in_force is handed.in_force and table is handed.table
        if not is_known or (state, has_groups) != (handed.state, handed.has_groups):
            self._hand(_Handed(in_force, table, state, has_groups, {}))

    def _taken_up(self, version: int, now: int) -> _InForce:
        """Return the rules that count at the moment, by page; those of a page that has the same as before stay."""
        before, wishes = self._handed.in_force, self.wishes
        read = dict(_readable(self._store.rules.all(), before.read))
        valid = [rule for _, rule in read.values() if rule.is_valid_at(now)]
        by_page: dict[tuple[RulesWish, Context, Channel], Ruling] = {}
        rulings: dict[_RulingKey, Ruling] = {_NO_RULES: before.rulings[_NO_RULES]}
        for wish, context, channel in product((NO_WISH, *wishes), Context, Channel):
            rules = tuple(
                rule for rule in valid if rule.is_for(context, channel) and rule.name not in wish.without_rules
            )
            key = tuple(rule.name for rule in rules), wish.page
            known = rulings.get(key) or before.rulings.get(key)
            if known is None or known.rules != rules:
                known = Ruling(rules, wish.page)
            rulings[key] = by_page[wish, context, channel] = known
        next_change = changes_after((rule for _, rule in read.values()), now)
        return _InForce(version, next_change, read, rulings, by_page, wishes)

    def _hand(self, what: _Handed | None = None) -> _Handed:
        """Hand over what requests need, from the arrays as they are now; of what is in force already by default.

        One thread at a time, so that what is newer is never replaced by what is older.
        """
        with self._handing:
            what = (what or self._handed)._replace(table=self._table.columns())
            applied = {ruling: self._applied_of(ruling, what) for ruling in what.in_force.rulings.values()}
            self._handed = what._replace(applied=applied)
            return self._handed

    def _applied_of(self, ruling: Ruling, what: _Handed, filtered: Filtered | None = None) -> Applied:
        closes = filtered is not None or ruling.closes
        standing = ruling.standing if filtered is None else filtered.standing
        page = self._page_of(ruling, known_only=filtered is not None or ruling.known_only)
        handed = hand_over(Ruled(what.table, standing if closes else ALL_OPEN, page))
        has_pins = len(page.pinned) > 0
        has_limits = page.per_brand > 0 or page.per_category > 0 or (page.one_per_group and what.has_groups)
        arranges = closes or has_pins or has_limits or page.diversity > 0
        beyond = FURTHER_BEYOND if ruling.weighs else POOL_BEYOND if arranges else 0
        return Applied(ruling, standing if closes else None, handed, beyond, has_pins)

    def _page_of(self, ruling: Ruling, *, known_only: bool) -> Page:
        wish, pins = _wish_of(ruling), self._pins_of(ruling.rules)
        return Page(
            weights=ruling.weights,
            pinned=np.array(list(pins.values()), np.int64),
            places=np.array(list(pins), np.int64),
            per_brand=float(wish.max_per_brand or 0.0),
            per_category=float(wish.max_per_category or 0.0),
            one_per_group=wish.one_per_variant_group is not False,
            diversity=float(wish.diversity or 0.0),
            known_only=known_only,
        )

    def _pins_of(self, rules: Iterable[Rule]) -> dict[int, int]:
        """Return pinned product numbers by place, from 0; where two want one, the later takes the next that is free."""
        pins: dict[int, int] = {}
        for rule in rules:
            if rule.kind == RuleKind.PIN:
                for place, product_id in enumerate(rule.product_ids, rule.position - 1):
                    self._pin(pins, place, product_id)
        return dict(sorted(pins.items()))

    def _pin(self, pins: dict[int, int], place: int, product_id: str) -> None:
        number = self._store.catalog.product_number(product_id)
        free = next((free for free in range(place, MAX_PINNED) if free not in pins), None)
        if number != NO_NUMBER and free is not None and number not in pins.values():
            pins[free] = number

    def applied(self, context: Context, channel: Channel, asked: str = "", wish: RulesWish = NO_WISH) -> Applied:
        """Return what is in force on a page, with a request's filter where it has one.

        `wish` is what a strategy wants otherwise, one of `wishes`; until that was taken up, rules count as they are.
        Raises `InvalidValueError` naming `filter` and what is wrong with it.
        """
        handed = self._handed
        has_grown = self._table.columns() is not handed.table
        if has_grown or not handed.applied:  # or this is the first question
            handed = self._hand()
        in_force = handed.in_force
        found = in_force.by_page.get((wish, context, channel)) or in_force.by_page.get((NO_WISH, context, channel))
        below = handed.applied[found or in_force.rulings[_NO_RULES]]
        return self._filtered(asked, below, handed) if asked else below

    def _filtered(self, text: str, below: Applied, handed: _Handed) -> Applied:
        asked, key = parse_filter(text), (text, below.ruling)
        if not self._columns.is_read:
            nothing = self._applied_of(below.ruling, handed, Filtered(asked, below.ruling))
            return nothing._replace(missing=("catalogue_index",))
        with self._filtering:
            request = self._requests.get(key)
            if request is None:
                request = self._requests[key] = _Request(Filtered(asked, below.ruling))
            self._requests.move_to_end(key)
            while len(self._requests) > self._config.filters_kept:
                self._requests.popitem(last=False)
            request.filtered.catch_up(self._columns, self._table.columns(), self._clock.now())
            applied = request.applied
            if applied is None or request.below is not below or applied.standing is not request.filtered.standing:
                applied = self._applied_of(below.ruling, handed, request.filtered)
                request.below, request.applied = below, applied
            return applied

    def nothing(self) -> Applied:
        """Return what is in force where there are no rules."""
        return self._applied_of(Ruling(()), self._handed._replace(table=self._table.columns()))

    def in_force(self, name: str) -> Rule | None:
        """Return a rule that was taken up, whether it counts at the moment or not."""
        found = self._handed.in_force.read.get(name)
        return None if found is None else found[1]

    def rules_on(self, applied: Applied, number: int) -> list[str]:
        """Return the names of the rules in force on a page that bear on a product (by number), as `follow` knows it."""
        return applied.ruling.rules_on(number, self._columns, self._clock.now())

    @property
    def catalog(self) -> CatalogStore:
        """The catalogue whose products rules are about."""
        return self._store.catalog

    def count(self, rule: Rule) -> int:
        """Return how many products of the catalogue a rule is about at the moment."""
        with self._following:
            self._columns.follow()
            standing = self._table.columns().standing[: self._columns.columns.n]
            rows = np.flatnonzero((standing > 0) & (standing != Standing.DELETED))
            return int(np.count_nonzero(Masks(self._columns, rows, self._clock.now()).of(rule.products)))


def _readable(
    records: Mapping[str, Mapping[str, Any]], known: Mapping[str, tuple[Mapping[str, Any], Rule]]
) -> Iterator[tuple[str, tuple[Mapping[str, Any], Rule]]]:
    """Yield names, records and the rules behind them, by name; what has not changed is not read again.

    A record that is no rule to this version of the program is told of and left out.
    """
    for name, record in records.items():
        if name in known and known[name][0] == record:
            yield name, known[name]
            continue
        try:
            yield name, (record, RuleIn.read(record).rule())
        except InvalidValueError as error:
            _log.error("rule %s does not count: %s", name, error)


def _wish_of(ruling: Ruling) -> PageWish:
    """Return how a page is made up: as a strategy wants it; of several rules that say, by the first by name."""
    wishes = [ruling.wish, *(rule.page for rule in ruling.rules if rule.kind == RuleKind.PAGE)]

    def first(field: str) -> Any:
        return next((value for wish in wishes if (value := getattr(wish, field)) is not None), None)

    return PageWish(*map(first, ("max_per_brand", "max_per_category", "one_per_variant_group", "diversity")))
