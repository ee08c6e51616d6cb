"""Filters over products: what may be asked of which field, and whether it holds for one product.

A filter is a tree of frozen values. It is data, not code: nothing in it is ever executed. `filter_masks` asks the same
of many products at once.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from math import isfinite
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from active_customers.core.clock import DAY
from active_customers.core.product import BELOW, IN_STOCK, Product

Value = str | float
"""What is compared: a number, or a text without capitals."""

ATTRIBUTE = "attributes."
"""What the name of an attribute's field begins with."""

NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
"""A number as it is written."""

ORDERS: Mapping[str, Callable[[Any, Any], Any]] = MappingProxyType(
    {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
)


class Kind(Enum):
    """What a field holds, and so what may be asked of it."""

    NUMBER = auto()
    TIME = auto()
    TEXT = auto()
    PATH = auto()
    ID = auto()
    FLAG = auto()
    WORDS = auto()


OPERATORS: Mapping[Kind, tuple[str, ...]] = MappingProxyType(
    {
        Kind.NUMBER: ("=", "!=", "<", "<=", ">", ">=", "in"),
        Kind.TIME: ("=", "!=", "<", "<=", ">", ">="),
        Kind.TEXT: ("=", "!=", "in"),
        Kind.PATH: ("=", "!=", "in", "under"),
        Kind.ID: ("=", "!=", "in"),
        Kind.FLAG: ("=", "!="),
        Kind.WORDS: ("=", "!=", "<", "<=", ">", ">=", "in", "has"),
    }
)

FIELDS: Mapping[str, Kind] = MappingProxyType(
    {
        "product_id": Kind.ID,
        "category": Kind.PATH,
        "brand": Kind.TEXT,
        "price": Kind.NUMBER,
        "currency": Kind.TEXT,
        "stock": Kind.NUMBER,
        "availability": Kind.TEXT,
        "variant_group": Kind.ID,
        "tags": Kind.WORDS,
        "released": Kind.TIME,
        "age": Kind.NUMBER,
        "on_sale": Kind.FLAG,
        "replenishable": Kind.FLAG,
    }
)
"""Fields and what they hold; beside these there are `attributes.NAME`. `age` is days since the release."""


def kind_of(field: str) -> Kind | None:
    """Return what a field holds, or None where there is no such field."""
    return Kind.WORDS if field.startswith(ATTRIBUTE) else FIELDS.get(field)


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Compare:
    """One question about one field: `=` (any of the values), `<`, `<=`, `>`, `>=` or `under` (the only value).

    A field without a value answers no. Of several values, as tags have, one is enough.
    """

    field: str
    operator: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """What holds where the part does not."""

    part: Filter


@dataclass(frozen=True, slots=True)
class AllOf:
    """What holds where all parts do."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """What holds where one part does."""

    parts: tuple[Filter, ...]


Filter = Compare | Not | AllOf | AnyOf


@lru_cache(maxsize=1 << 16, typed=True)
def plain(value: object) -> Value:
    """Return the value that tags and attributes are compared by: a number where it reads as one, else small letters.

    >>> plain("1.50"), plain(1.5), plain(True), plain("Red")
    (1.5, 1.5, 'true', 'red')
    """
    text = str(value).casefold()
    if isinstance(value, bool) or not (isinstance(value, int | float) or NUMBER.fullmatch(text)):
        return text
    try:
        number = float(text)
    except OverflowError:  # pragma: no cover - an integer of more than 300 digits
        return text
    return number if isfinite(number) else text


def values_of(field: str, product: Product, now: int) -> tuple[Value, ...]:
    """Return what a product has in a field at a time (microseconds); nothing where it has none."""
    if field.startswith(ATTRIBUTE):
        found = product.attributes.get(field.removeprefix(ATTRIBUTE))
        several = found if isinstance(found, list) else [] if found is None else [found]
        return tuple(map(plain, several))
    if field == "tags":
        return tuple(map(plain, product.tags))
    value = READERS[field](product, now)
    return () if value is None else (value,)


def _folded(text: str | None) -> str | None:
    return None if text is None else text.casefold()


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)


def is_on_sale(product: Product, now: int) -> bool:
    """Tell whether a product costs less than its price at the moment."""
    price = product.price_at(now)
    return price is not None and product.price is not None and price < product.price


def _flag(value: bool) -> str:
    return "true" if value else "false"


Released = TypeVar("Released", float, NDArray[np.float64])


def age_in_days(released: Released, now: int) -> Released:
    """Return the days since a release, or since each of several; below 0 before it."""
    return (float(now) - released) / DAY


READERS: Mapping[str, Callable[[Product, int], Value | None]] = MappingProxyType(
    {
        "product_id": lambda product, _: product.product_id,
        "category": lambda product, _: _folded(product.category),
        "brand": lambda product, _: _folded(product.brand),
        "price": lambda product, now: _number(product.price_at(now)),
        "currency": lambda product, _: _folded(product.currency),
        "stock": lambda product, _: _number(product.stock),
        "availability": lambda product, _: product.told_availability or IN_STOCK,
        "variant_group": lambda product, _: product.variant_group,
        "released": lambda product, _: _number(product.released),
        "age": lambda product, now: None if product.released is None else age_in_days(product.released, now),
        "on_sale": lambda product, now: _flag(is_on_sale(product, now)),
        "replenishable": lambda product, _: _flag(product.replenishable),
    }
)
"""What a product has in each field of one value, at a time in microseconds."""


def answers(question: Compare, value: Value) -> bool:
    """Tell whether one value of a field answers a question."""
    if question.operator == "=":
        return value in question.values
    [wanted] = question.values
    if question.operator == "under":
        return isinstance(value, str) and (value == wanted or value.startswith(f"{wanted}{BELOW}"))
    return isinstance(value, float) and bool(ORDERS[question.operator](value, wanted))


def holds(asked: Filter, product: Product, now: int) -> bool:
    """Tell whether a filter holds for a product at a time (microseconds)."""
    match asked:
        case Not(part):
            return not holds(part, product, now)
        case AllOf(parts):
            return all(holds(part, product, now) for part in parts)
        case AnyOf(parts):
            return any(holds(part, product, now) for part in parts)
        case Compare(field, _, _):
            return any(answers(asked, value) for value in values_of(field, product, now))


def is_timely(asked: Filter) -> bool:
    """Tell whether a filter may hold for other products merely because time passes: whether it asks for an age."""
    match asked:
        case Not(part):
            return is_timely(part)
        case AllOf(parts) | AnyOf(parts):
            return any(map(is_timely, parts))
        case Compare(field, _, _):
            return field == "age"
