"""What rules come to for every product: arrays by product number, of which only rows that changed are made anew."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from active_customers.catalog.columns import ProductColumns, Rows
from active_customers.catalog.filter_masks import Mask, Masks
from active_customers.catalog.filters import Filter, is_timely
from active_customers.catalog.rules import PageWish, Rule, RuleKind
from active_customers.core.clock import MINUTE
from active_customers.core.product import Standing
from active_customers.kernels.catalog_table import TableColumns

RULED_OUT = 6
"""The standing of a product that a rule or a request keeps out: a number beyond those of `Standing`."""
AGES_LOOKED_AT = MINUTE
"""How often filters that ask for ages are asked anew."""

_NO_WISH = PageWish()
_FEWEST_ROWS = 4_096
_FURTHEST = log(1e12)
_CLOSING = (RuleKind.INCLUDE, RuleKind.EXCLUDE)
_WEIGHING = (RuleKind.BOOST, RuleKind.BURY)
_ASKING = _CLOSING + _WEIGHING


class PerProduct:
    """Numbers by product, `filler` where none was put; `view` is what kernels read, replaced when it grows."""

    def __init__(self, dtype: type[np.generic], filler: float) -> None:
        self._filler = filler
        self._array = np.empty(0, dtype)
        self._show()

    def put(self, rows: Rows, values: NDArray[Any]) -> None:
        """Put numbers to rows, which ascend."""
        needed = int(rows[-1]) + 1 if len(rows) else 0
        if needed > len(self._array):
            longer = np.full(max(needed, 2 * len(self._array), _FEWEST_ROWS), self._filler, self._array.dtype)
            longer[: len(self._array)] = self._array
            self._array = longer
            self._show()
        self._array[rows] = values

    def _show(self) -> None:
        self.view = self._array.view()
        self.view.flags.writeable = False


NO_FACTORS: NDArray[np.float32] = PerProduct(np.float32, 1.0).view
"""Each product counts once."""


class Ruling:
    """The rules of one kind of page, over all products; `catch_up` keeps it up, in one thread, and any may read."""

    def __init__(self, rules: Sequence[Rule], wish: PageWish = _NO_WISH) -> None:
        self.rules = tuple(rules)
        self.wish = wish
        """What a strategy wants of the page, before rules have a say."""
        self.known_only = any(rule.kind == RuleKind.INCLUDE for rule in rules)
        """Whether a product that nobody has looked at yet is kept out."""
        self.closes = any(rule.kind in _CLOSING for rule in rules)
        """Whether `standing` counts, and not the table's own."""
        self.weighs = any(rule.kind in _WEIGHING for rule in rules)
        """Whether there are `weights`."""
        self._asking = {id(rule) for rule in rules if rule.kind in _ASKING}
        self._is_timely = any(is_timely(rule.products) for rule in rules if rule.kind in _ASKING)
        self._standing = PerProduct(np.uint8, RULED_OUT if self.known_only else Standing.UNKNOWN)
        self._weights = PerProduct(np.float32, 1.0)
        self.state = -1
        """Of the columns, when it last caught up."""
        self.round = 0
        """How often all products were asked because time had passed."""
        self._looked_at = 0

    @property
    def standing(self) -> NDArray[np.uint8]:
        """The standing of each product with the rules in it, as `Wanted` takes it."""
        return self._standing.view

    @property
    def weights(self) -> NDArray[np.float32]:
        """What the score of each product is multiplied by; empty where no rule says."""
        return self._weights.view

    def is_asking(self, rule: Rule) -> bool:
        """Tell whether it is about the products of a rule."""
        return id(rule) in self._asking

    def is_about_products(self) -> bool:
        """Tell whether a rule is about products, and not only about how a page is made up."""
        return any(rule.kind != RuleKind.PAGE for rule in self.rules)

    def behind(self, state: int, now: int) -> int | None:
        """Return the state since which products have to be asked, -1 for all of them, or None for none of them."""
        if self.state < 0 or self._is_due(now):
            return -1
        return self.state if self.state < state else None

    def take(self, verdict: _Verdict, table: TableColumns, state: int, now: int) -> None:
        """Take over what the rules say of some products."""
        if self.closes:
            self._standing.put(verdict.rows, _with(verdict.out, _taken(table.standing, verdict.rows)))
        if self.weighs:
            self._weights.put(verdict.rows, verdict.factors)
        if self._is_due(now):
            self._looked_at, self.round = now, self.round + 1
        self.state = state

    def _is_due(self, now: int) -> bool:
        return self._is_timely and now - self._looked_at >= AGES_LOOKED_AT

    def rules_on(self, product: int, kept: ProductColumns, now: int) -> list[str]:
        """Return the names of the rules that bear on a product: that keep it out, weigh it or pin it."""
        if product >= kept.columns.n:
            return []
        masks = Masks(kept, np.array([product], np.int64), now)
        return [rule.name for rule in self.rules if _bears_on(rule, masks.of(rule.products))]


class _Verdict:
    """What the rules of a ruling say of some products: which are out, and the factor of each."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.out = np.zeros(len(rows), np.bool_)
        self._powers = np.zeros(len(rows))

    @property
    def factors(self) -> NDArray[np.float32]:
        """The factor of each product, finite and above 0 however many rules multiply."""
        return np.exp(np.clip(self._powers, -_FURTHEST, _FURTHEST)).astype(np.float32)

    def add(self, rule: Rule, found: Mask) -> None:
        """Add what one rule says; `found` are its products."""
        if rule.kind == RuleKind.INCLUDE:
            self.out |= ~found
        elif rule.kind == RuleKind.EXCLUDE:
            self.out |= found
        else:
            self._powers[found] += log(rule.factor)


def catch_up(rulings: Iterable[Ruling], kept: ProductColumns, table: TableColumns, now: int) -> None:
    """Ask the rules of the products that changed since each ruling last caught up; of all, where ages may have.

    A rule that stands in several rulings is asked once.
    """
    state = kept.state
    groups: dict[int, list[Ruling]] = {}
    for ruling in rulings:
        since = ruling.behind(state, now)
        if since is not None:
            groups.setdefault(since, []).append(ruling)
    for since, group in groups.items():
        rows = kept.since(since)
        masks, verdicts = Masks(kept, rows, now), [(ruling, _Verdict(rows)) for ruling in group]
        for rule in {id(rule): rule for ruling in group for rule in ruling.rules if ruling.is_asking(rule)}.values():
            found = masks.of(rule.products)
            for ruling, verdict in verdicts:
                if ruling.is_asking(rule):
                    verdict.add(rule, found)
        for ruling, verdict in verdicts:
            ruling.take(verdict, table, state, now)


class Filtered:
    """One request's filter over a ruling; for one thread at a time."""

    def __init__(self, asked: Filter, ruling: Ruling) -> None:
        self._asked = asked
        self._is_timely = is_timely(asked)
        self.ruling = ruling
        self._standing = PerProduct(np.uint8, RULED_OUT)
        self._seen = (-1, -1)
        self._looked_at = 0

    @property
    def standing(self) -> NDArray[np.uint8]:
        """The standing of each product with rules and filter in it."""
        return self._standing.view

    def catch_up(self, kept: ProductColumns, table: TableColumns, now: int) -> None:
        """Ask the filter of the products that changed since the last time; of all, when ages may have."""
        ruling = self.ruling
        now_seen = (ruling.state if ruling.closes else kept.state, ruling.round)
        is_due = self._is_timely and now - self._looked_at >= AGES_LOOKED_AT
        if now_seen == self._seen and not is_due:
            return
        is_whole = is_due or self._seen[1] != ruling.round
        rows = kept.since(-1 if is_whole else self._seen[0])
        below = _taken(ruling.standing if ruling.closes else table.standing, rows)
        self._standing.put(rows, _with(~Masks(kept, rows, now).of(self._asked), below))
        if is_due:
            self._looked_at = now
        self._seen = now_seen


def _bears_on(rule: Rule, found: Mask) -> bool:
    return bool(found[0]) != (rule.kind == RuleKind.INCLUDE)


def _with(out: Mask, standing: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return standings with what is out ruled out, unless it is closed for another reason."""
    return np.where(out & (standing <= Standing.OPEN), np.uint8(RULED_OUT), standing)


def _taken(column: NDArray[np.uint8], rows: Rows) -> NDArray[np.uint8]:
    """Return the values of rows, 0 beyond the end."""
    taken = np.zeros(len(rows), np.uint8)
    within = rows < len(column)
    taken[within] = column[rows[within]]
    return taken
