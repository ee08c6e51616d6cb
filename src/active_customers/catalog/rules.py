"""Rules of a shop: what each wants, of which products, where and when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from active_customers.catalog.filters import AnyOf, Compare, Filter
from active_customers.core.event import Channel, Context


class RuleKind(StrEnum):
    """What a rule does with its products."""

    INCLUDE = "include"
    """Only these are shown."""
    EXCLUDE = "exclude"
    """These are not shown."""
    BOOST = "boost"
    """These count more."""
    BURY = "bury"
    """These count less."""
    PIN = "pin"
    """These stand at certain places."""
    PAGE = "page"
    """No products of its own: how a page is made up."""


@dataclass(frozen=True, slots=True)
class PageWish:
    """How a page is made up; None leaves it to other rules. See `kernels.arrange.Page` for the numbers."""

    max_per_brand: float | None = None
    max_per_category: float | None = None
    one_per_variant_group: bool | None = None
    diversity: float | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. Its products are those that `filter` holds for and those of `product_ids`.

    Without contexts or channels it counts in all. Times are microseconds; it counts from `valid_from` until before
    `valid_until`. `position` is the first place, from 1, of the pinned products.
    """

    name: str
    kind: RuleKind
    filter: Filter | None = None
    product_ids: tuple[str, ...] = ()
    contexts: frozenset[Context] = frozenset()
    channels: frozenset[Channel] = frozenset()
    valid_from: int | None = None
    valid_until: int | None = None
    enabled: bool = True
    factor: float = 1.0
    position: int = 1
    page: PageWish = PageWish()
    products: Filter = field(init=False, compare=False, repr=False)
    """What tells its products from others, the same object each time; nothing passes that of a page rule."""

    def __post_init__(self) -> None:
        products: Filter = Compare("product_id", "=", self.product_ids)
        if self.filter is not None:
            products = AnyOf((self.filter, products)) if self.product_ids else self.filter
        object.__setattr__(self, "products", products)

    def is_valid_at(self, now: int) -> bool:
        """Tell whether it counts at a time."""
        begun = self.valid_from is None or self.valid_from <= now
        return self.enabled and begun and (self.valid_until is None or now < self.valid_until)

    def is_for(self, context: Context, channel: Channel) -> bool:
        """Tell whether it counts on a page."""
        return (not self.contexts or context in self.contexts) and (not self.channels or channel in self.channels)


def changes_after(rules: Iterable[Rule], now: int) -> int | None:
    """Return the next time at which one of the rules begins or ends, or None."""
    moments = (moment for rule in rules for moment in (rule.valid_from, rule.valid_until))
    return min((moment for moment in moments if moment is not None and moment > now), default=None)


RuleRecord = Mapping[str, Any]
"""A rule as it is stored, sent and written in YAML: the fields of `rule_schema.RuleIn` that are set."""
