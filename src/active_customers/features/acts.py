"""The table of acts that every feature is defined over, and what of it was known at a time."""

from __future__ import annotations

from collections.abc import Mapping

import ibis
from ibis import _
from ibis.expr.types import FloatingValue, IntegerColumn, IntegerValue, NumericValue, Table

from active_customers.core.event import TASTE_TYPES, EventType

SCHEMA: Mapping[str, str] = {
    "position": "int64",
    "session": "uint64",
    "product": "uint32",
    "event_type": "uint8",
    "time": "int64",
    "customer": "uint32",
    "quantity": "int32",
    "price": "float64",
}
"""Columns of the acts: `position` tells which of two at the same time was first, `time` is in microseconds."""

PRODUCTS: Mapping[str, str] = {
    "product": "uint32",
    "category": "string",
    "brand": "string",
    "price": "float64",
}
"""Columns of the catalogue; all but the number may be null."""

VIEWS = tuple(int(kind) for kind in TASTE_TYPES if kind not in {EventType.CART_ADD, EventType.PURCHASE})
"""Acts of taste that are no step to buying."""


def acts_table() -> Table:
    """Return the table of acts by name, over which definitions are written and which whoever computes provides."""
    return ibis.table(dict(SCHEMA), name="acts")


def products_table() -> Table:
    """Return the table of the catalogue by name."""
    return ibis.table(dict(PRODUCTS), name="products")


def before(acts: Table, as_of: IntegerValue | int) -> Table:
    """Return the acts strictly before a time (microseconds): all that a definition may know."""
    return acts.filter(acts.time < as_of)


def of_taste(acts: Table) -> Table:
    """Return the acts that say that a customer is interested in a product."""
    return acts.filter(acts.event_type.isin([int(kind) for kind in TASTE_TYPES]))


def number_of(*kinds: EventType | int) -> IntegerColumn:
    """Return the aggregate that counts acts of some types."""
    return _.count(where=_.event_type.isin([int(kind) for kind in kinds]))


def shrunken(part: NumericValue, whole: NumericValue, by: float) -> FloatingValue:
    """Return the share `part / whole` as if `by` more had come with the shop's own share, that of all rows together.

    So little evidence says little, and none says what is usual; 0 where the shop has nothing of the kind.
    """
    usual = (part.sum().over(ibis.window()) / whole.sum().over(ibis.window()).nullif(0)).coalesce(0.0)
    return (part + by * usual) / (whole + by)
