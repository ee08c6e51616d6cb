"""What there is to search: the parameters of a configuration, between bounds that their fields give."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from active_customers.core.config import Config
from active_customers.core.errors import InvalidValueError

REACH = 8.0
"""A search goes to an eighth of the default and to eight times, no further than the field's bounds; where a field's
least value is 0 it goes down to that."""
DECADE = 10.0
"""Ranges whose ends are so many times apart are searched by their logarithm."""
DIGITS = 4
"""Digits of a number that is tried, so that what is printed is what was tried."""

_NOT_SEARCHED = frozenset({"seed", "threads", "setting"})
"""Chance, speed and how much work an answer may take: another choice than which is best."""


class Range(NamedTuple):
    """Numbers from `low` to `high`, both included."""

    low: float
    high: float
    is_whole: bool

    @property
    def is_log(self) -> bool:
        """Whether it spans decades."""
        return self.low > 0 and self.high / self.low >= DECADE

    def holds(self, value: float) -> bool:
        """Return whether a value lies in it."""
        return self.low <= value <= self.high

    def tidy(self, value: float) -> float:
        """Return a value of the range with few digits."""
        return int(value) if self.is_whole else min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high)


class Choice(NamedTuple):
    """One of a few values."""

    options: tuple[Any, ...]

    def holds(self, value: object) -> bool:
        """Return whether a value is one of them."""
        return value in self.options

    def tidy(self, value: Any) -> Any:
        """Return the value."""
        return value


Space = Mapping[str, Range | Choice]
"""Ranges and choices by dotted name of a parameter."""


def space_of(config: type[Config], above: str = "") -> dict[str, Range | Choice]:
    """Return what can be searched of a configuration, those of its parts by dotted names.

    A number is searched within the bounds of its field, and no further than `REACH` times around its default: most
    trials beyond would be lost. A least value of 0 is tried all the same, as it switches something off. Left out are
    seeds and the like, and what has no bound at all or is not a number, a choice or a flag.
    """
    space: dict[str, Range | Choice] = {}
    for name, field in config.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Config):
            space |= space_of(kind, f"{above}{name}.")
        elif name not in _NOT_SEARCHED and (found := _of_field(field)):
            space[f"{above}{name}"] = found
    return space


def narrowed(space: Space, only: Sequence[str]) -> dict[str, Range | Choice]:
    """Return the parameters, and those of the sections, that are named; all where none is.

    Raises `InvalidValueError` for a name that nothing goes by.
    """
    for wanted in only:
        if not any(_is_within(name, wanted) for name in space):
            raise InvalidValueError(
                "only", wanted, f"there is no such parameter to search: name some of {_names(space)}"
            )
    return {name: found for name, found in space.items() if not only or any(_is_within(name, one) for one in only)}


def restricted(space: Space, name: str, text: str) -> Range:
    """Return the range `LOW..HIGH` of a parameter that is searched.

    Raises `InvalidValueError` where it is no range or the parameter is not searched.
    """
    known = space.get(name)
    if not isinstance(known, Range):
        numbers = {name: found for name, found in space.items() if isinstance(found, Range)}
        raise InvalidValueError("set", name, f"no numbers are searched for it: name one of {_names(numbers)}")
    low, high = (_number(end) for end in text.split("..", 1))
    is_fit = not known.is_whole or (low % 1 == 0 == high % 1)
    if not (-math.inf < low < high < math.inf and is_fit):
        kind = "whole numbers" if known.is_whole else "numbers"
        raise InvalidValueError("set", f"{name}={text}", f"write LOW..HIGH, two {kind}, the lower one first")
    return Range(int(low), int(high), is_whole=True) if known.is_whole else Range(low, high, is_whole=False)


def _number(text: str) -> float:
    """Return the number that a text is, or one that is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def defaults_of(config: type[Config], names: Sequence[str]) -> dict[str, Any]:
    """Return the published values of parameters by dotted name."""
    return values_of(config().model_dump(), names)


def values_of(tree: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return the values in a tree of settings of parameters by dotted name."""
    return {name: value for name, value in _flat(tree) if name in names}


def merged(tree: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tree of settings with parameters, by dotted name, put in.

    >>> merged({"a": {"b": 1, "c": 2}}, {"a.b": 3, "d": 4})
    {'a': {'b': 3, 'c': 2}, 'd': 4}
    """
    whole = {name: dict(value) if isinstance(value, Mapping) else value for name, value in tree.items()}
    for name, value in parameters.items():
        section, dot, below = name.partition(".")
        whole[section] = merged(whole.get(section) or {}, {below: value}) if dot else value
    return whole


def _flat(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _of_field(field: FieldInfo) -> Range | Choice | None:
    kind = field.annotation
    if get_origin(kind) is Literal:
        return Choice(get_args(kind))
    if kind is bool:
        return Choice((False, True))
    if kind not in (int, float) or not field.metadata:
        return None
    found = Range(*_ends(field.metadata, float(field.default)), is_whole=kind is int)
    if kind is int:
        found = Range(math.ceil(found.low), math.floor(found.high), is_whole=True)
    return found if found.low < found.high else None


def _ends(bounds: Sequence[object], default: float) -> tuple[float, float]:
    """Return the least and the most that is tried of a number."""
    low, high = -math.inf, math.inf
    for bound in bounds:
        match bound:
            case Ge(end):
                low = float(str(end))
            case Gt(end):
                low = float(str(end)) + (default - float(str(end))) / REACH
            case Le(end):
                high = float(str(end))
            case Lt(end):
                high = float(str(end)) - (float(str(end)) - default) / REACH
    if default > 0:
        low = max(low, default / REACH) if low > 0 or math.isinf(low) else low
        high = min(high, default * REACH)
    return (low, high) if math.isfinite(low) and math.isfinite(high) else (default, default)


def _is_within(name: str, section: str) -> bool:
    return f"{name}.".startswith(f"{section}.")


def _names(space: Mapping[str, object]) -> str:
    return ", ".join(space) or "none"
