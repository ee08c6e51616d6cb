"""From the text of a filter to its tree, by recursive descent; what is wrong is said with its place.

The grammar is in `docs/rules.md`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple, NoReturn

from active_customers.catalog.filters import (
    ATTRIBUTE,
    FIELDS,
    NUMBER,
    OPERATORS,
    ORDERS,
    AllOf,
    AnyOf,
    Compare,
    Filter,
    Kind,
    Not,
    Value,
    kind_of,
    plain,
)
from active_customers.catalog.product_schema import TIME_REMEDY, path_of
from active_customers.core.clock import parse_time
from active_customers.core.errors import InvalidValueError, meant, shown
from active_customers.core.identifiers import canonical_id
from active_customers.core.product import AVAILABILITIES

MAX_LENGTH = 10_000
"""Characters of a filter."""
MAX_QUESTIONS = 200
"""Questions in one filter."""
_COSTLY = 5
"""Questions that an order of tags or attributes counts as: all values of the field are compared."""
MAX_VALUES = 1_000
"""Values in one list."""
MAX_DEPTH = 20
"""Parentheses and `not` within each other."""

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<sign><=|>=|!=|==|[=<>(),\[\]])
    |(?P<word>[^\s()\[\],"'=!<>]+)
    |(?P<wrong>\S)
    )""",
    re.VERBOSE,
)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_OPENING = {"(": ")", "[": "]"}
_KEYWORDS = frozenset({"and", "or", "not", "in", "has", "under"})
_SIGNS = frozenset({"=", "!=", "<", "<=", ">", ">=", "has", "in", "under"})


class _Token(NamedTuple):
    """A piece of the text; `sign` is a keyword or punctuation, else empty."""

    text: str
    sign: str
    is_quoted: bool
    at: int


@lru_cache(maxsize=1024)
def parse_filter(text: str, field: str = "filter") -> Filter:
    """Return the filter behind a text; what was parsed lately is kept.

    Raises `InvalidValueError` that names `field`, the place in the text and what to write instead.
    """
    if len(text) > MAX_LENGTH:
        raise InvalidValueError(field, text, f"write at most {MAX_LENGTH:,} characters: list products by `product_ids`")
    return _Parser(text, field).filter()


class _Parser:
    """Reads one text from left to right."""

    def __init__(self, text: str, field: str) -> None:
        self._text = text
        self._field = field
        self._tokens = self._read()
        self._next = 0
        self._depth = 0
        self._questions = 0

    def filter(self) -> Filter:
        """Return the whole text as a filter."""
        found = self._any()
        if self._sign() or self._next < len(self._tokens) - 1:
            self._refuse('end here, or go on with "and" or "or"')
        return found

    def _read(self) -> list[_Token]:
        tokens = []
        for match in _TOKEN.finditer(self._text.rstrip()):
            kind, text, at = match.lastgroup, match[match.lastgroup or 0], match.start(match.lastgroup or 0)
            if kind == "wrong":
                self._refuse_at(at, "close the quotation mark" if text in "\"'" else f"take out {text!r}")
            if kind == "quoted":
                tokens.append(_Token(re.sub(r"\\(.)", r"\1", text[1:-1]), "", True, at))
            else:
                word = text.lower()
                sign = {"==": "="}.get(text, text) if kind == "sign" else word if word in _KEYWORDS else ""
                tokens.append(_Token(text, sign, False, at))
        tokens.append(_Token("", "", False, len(self._text.rstrip())))
        return tokens

    def _any(self) -> Filter:
        return self._joined("or", self._all, AnyOf)

    def _all(self) -> Filter:
        return self._joined("and", self._one, AllOf)

    def _joined(
        self, word: str, part: Callable[[], Filter], whole: Callable[[tuple[Filter, ...]], AllOf | AnyOf]
    ) -> Filter:
        parts = [part()]
        while self._took(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else whole(tuple(parts))

    def _one(self) -> Filter:
        if self._depth > MAX_DEPTH:
            self._refuse(f'nest parentheses and "not" at most {MAX_DEPTH} deep')
        self._depth += 1
        if self._took("not"):
            found: Filter = Not(self._one())
        elif self._took("("):
            found = self._any()
            if not self._took(")"):
                self._refuse('close the parenthesis with ")"')
        else:
            found = self._question()
        self._depth -= 1
        return found

    def _question(self) -> Filter:
        self._count(1)
        place = self._next
        field, kind = self._known_field()
        is_negated = kind != Kind.FLAG and self._took("not")
        sign = self._sign()
        if kind == Kind.FLAG and sign not in _SIGNS:
            return Compare(field, "=", ("true",))
        if sign not in OPERATORS[kind] or (is_negated and sign != "in"):
            self._refuse(f"after {self._tokens[place].text!r} write {_listed(OPERATORS[kind])}")
        if kind == Kind.WORDS and sign in ORDERS:
            self._count(_COSTLY - 1)
        self._next += 1
        values = self._values(kind, field) if sign == "in" else (self._value(kind, field, sign),)
        told = Compare(field, sign if sign in ORDERS or sign == "under" else "=", values)
        return Not(told) if is_negated or sign == "!=" else told

    def _count(self, questions: int) -> None:
        self._questions += questions
        if self._questions > MAX_QUESTIONS:
            self._refuse(
                f"ask at most {MAX_QUESTIONS} questions, of which an order of tags or attributes counts as {_COSTLY}: "
                "join values of one field in a list"
            )

    def _known_field(self) -> tuple[str, Kind]:
        token = self._tokens[self._next]
        if token.sign or token.is_quoted or not token.text:
            self._refuse("write the name of a field, such as price, category or tags")
        name = token.text
        if name.lower() == ATTRIBUTE and self._tokens[self._next + 1].is_quoted:
            self._next += 1
            name += self._tokens[self._next].text
        if name.lower().startswith(ATTRIBUTE) and len(name) > len(ATTRIBUTE):
            name = ATTRIBUTE + name[len(ATTRIBUTE) :]
        else:
            name = name.lower()
        kind = kind_of(name)
        if kind is None or name == ATTRIBUTE:
            self._refuse(f"there is no field {shown(name, 40)}; {meant(name, [*FIELDS, 'attributes.NAME'])}")
        self._next += 1
        return name, kind

    def _values(self, kind: Kind, field: str) -> tuple[Value, ...]:
        opening = self._sign()
        if opening not in _OPENING:
            self._refuse('open the list with "(", as in brand in ("Mare", "Oak")')
        self._next += 1
        values = [self._value(kind, field, "in")]
        while self._took(","):
            values.append(self._value(kind, field, "in"))
        if len(values) > MAX_VALUES:
            self._refuse(f"list at most {MAX_VALUES:,} values: list products by `product_ids`")
        if not self._took(_OPENING[opening]):
            self._refuse(f'go on with "," or close the list with "{_OPENING[opening]}"')
        return tuple(dict.fromkeys(values))

    def _value(self, kind: Kind, field: str, sign: str) -> Value:
        token = self._tokens[self._next]
        if token.sign or token.at >= len(self._text.rstrip()):
            self._refuse("write a value here; a text with spaces or signs in quotation marks")
        try:
            value = _taken(kind, field, sign, token.text)
        except (ValueError, OverflowError) as error:
            self._refuse(f"{shown(token.text, 40)} is no {field}: {error}")
        self._next += 1
        return value

    def _sign(self) -> str:
        return self._tokens[self._next].sign

    def _took(self, sign: str) -> bool:
        """Go on if this comes next."""
        if self._sign() != sign:
            return False
        self._next += 1
        return True

    def _refuse(self, remedy: str) -> NoReturn:
        self._refuse_at(self._tokens[self._next].at, remedy)

    def _refuse_at(self, at: int, remedy: str) -> NoReturn:
        raise InvalidValueError(self._field, self._text[at:] or self._text, f"at character {at + 1}, {remedy}")


def _listed(words: tuple[str, ...]) -> str:
    return " or ".join((", ".join(words[:-1]), words[-1]))


def _taken(kind: Kind, field: str, sign: str, text: str) -> Value:
    """Return a value as it is compared; raises `ValueError` that says what to write."""
    value = _TAKEN[kind](text)
    if sign in ORDERS and not isinstance(value, float):
        raise ValueError("write a number, such as 10 or 9.5")
    if field == "availability" and value not in AVAILABILITIES:
        raise ValueError(meant(text, AVAILABILITIES))
    return value


def _as_number(text: str) -> float:
    if not NUMBER.fullmatch(text) or len(text) > 300:
        raise ValueError("write a number, such as 10 or 9.5")
    return float(text)


def _as_time(text: str) -> float:
    try:
        return float(parse_time(f"{text}T00:00:00Z" if _DAY.fullmatch(text) else text))
    except (ValueError, OverflowError):
        raise ValueError(TIME_REMEDY.replace("send", "write")) from None


def _as_text(text: str) -> str:
    return text.casefold()


def _as_path(text: str) -> str:
    path = path_of(text).casefold()
    if not path:
        raise ValueError('write a path such as "Kitchen > Boards"')
    return path


def _as_flag(text: str) -> str:
    if text.lower() not in ("true", "false"):
        raise ValueError("write true or false")
    return text.lower()


_TAKEN: Mapping[Kind, Callable[[str], Value]] = MappingProxyType(
    {
        Kind.NUMBER: _as_number,
        Kind.TIME: _as_time,
        Kind.TEXT: _as_text,
        Kind.PATH: _as_path,
        Kind.ID: canonical_id,
        Kind.FLAG: _as_flag,
        Kind.WORDS: plain,
    }
)
