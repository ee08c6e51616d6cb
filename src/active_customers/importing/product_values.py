"""What product feeds write in ways of their own: prices with currencies, spans of time, tags, attributes, HTML."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from active_customers.core.product import MAX_ATTRIBUTES, MAX_TAGS, MAX_WORD_LENGTH
from active_customers.importing.raw_fields import RawFields, RowCheck
from active_customers.importing.values import rewritten, text_of

_MONEY = r"^\s*(?P<before>[A-Za-z]{3})?\s*(?P<number>[^A-Za-z\s]+)\s*(?P<after>[A-Za-z]{3})?\s*$"
_SPAN = r"^\s*(?P<start>[^/\s]*)\s*/\s*(?P<end>[^/\s]*)\s*$"
# What is never closed reaches to the end, as browsers have it: else each opening would be looked for to the end anew.
_TAG = re.compile(r"<!--.*?(?:-->|\Z)|<(script|style)\b.*?(?:</\1\s*>|\Z)|<[^<>]*>", re.IGNORECASE | re.DOTALL)
_SPACE = re.compile(r"\s+")
_ATTRIBUTES_REMEDY = (
    f"give a JSON object of at most {MAX_ATTRIBUTES} names of 1 to {MAX_WORD_LENGTH} characters, each with a text, "
    f"a number, true, false or a list of at most {MAX_TAGS} texts"
)
_TAGS_REMEDY = f"give at most {MAX_TAGS} words of at most {MAX_WORD_LENGTH} characters"


def money_of(array: pa.Array) -> tuple[pa.StringArray, pa.StringArray]:
    """Return numbers as text, and their currencies: "EUR 1,299.00" is "1299.00" and "EUR"; other text stays."""
    text = text_of(array)
    parts = pc.extract_regex(text, _MONEY)
    number, before, after = (_part(parts, name) for name in ("number", "before", "after"))
    number = pc.if_else(pc.match_substring_regex(number, r"^\d{1,3}(,\d{3})+(\.\d*)?$"), _no_commas(number), number)
    number = pc.replace_substring_regex(number, r"^(\d+),(\d{1,2})$", r"\1.\2")
    return pc.coalesce(number, text), pc.utf8_upper(pc.coalesce(after, before))


def _no_commas(text: pa.StringArray) -> pa.StringArray:
    return pc.replace_substring(text, ",", "")


def _part(parts: pa.StructArray, name: str) -> pa.StringArray:
    text = pc.struct_field(parts, name)
    return pc.if_else(pc.equal(text, ""), None, text)


def starts_and_ends(array: pa.Array) -> tuple[pa.StringArray, pa.StringArray]:
    """Return both times of spans such as "2016-02-24T11:07+0100/2016-02-29"; text that is none is its own start."""
    text = text_of(array)
    parts = pc.extract_regex(text, _SPAN)
    start = pc.if_else(parts.is_valid(), _part(parts, "start"), text)
    return _full_time(start), _full_time(_part(parts, "end"))


def _full_time(text: pa.StringArray) -> pa.StringArray:
    """Return times with the seconds and the colon of the zone that feeds leave out."""
    zoned = pc.replace_substring_regex(text, r"([+-]\d\d)(\d\d)$", r"\1:\2")
    return pc.replace_substring_regex(zoned, r"T(\d\d:\d\d)([Z+-].*)?$", r"T\1:00\2")


def worded(text: pa.StringArray, words: Mapping[str, str]) -> pa.StringArray:
    """Return text with the words of a file replaced by what they mean; what means nothing is no value."""
    return rewritten(text, lambda word: words.get(word.strip().lower(), word) or None) if words else text


def plain_text(text: str) -> str | None:
    """Return HTML as the text that is read of it.

    >>> plain_text("<p>Oak &amp; steel</p><script>x()</script> <b>boards</b>")
    'Oak & steel boards'
    """
    bare = _TAG.sub(" ", text)
    with suppress(ValueError):  # a reference to a character whose number has thousands of digits
        bare = html.unescape(bare)
    return _SPACE.sub(" ", bare).strip() or None


def tags_of(fields: RawFields, check: RowCheck) -> pa.ListArray:
    """Return what all columns of the field say; null where none says anything."""
    divider = fields.map("tags").levels
    columns = [array.to_pylist() for array in fields.arrays("tags")]
    if not columns:
        return pa.nulls(len(fields), pa.list_(pa.string()))
    rows = [
        list(dict.fromkeys(tag for value in row for tag in _tags(value, divider))) for row in zip(*columns, strict=True)
    ]
    for place, tags in enumerate(rows):
        if len(tags) > MAX_TAGS or any(len(tag) > MAX_WORD_LENGTH for tag in tags):
            check.spare_one(place, fields.label("tags"), tags, _TAGS_REMEDY)
            rows[place] = []
    return pa.array([row or None for row in rows], pa.list_(pa.string()))


def _tags(value: object, divider: str | None) -> list[str]:
    if isinstance(value, str) and value.startswith("["):
        with suppress(orjson.JSONDecodeError):
            value = orjson.loads(value)
    if isinstance(value, list):
        parts = [str(tag) for tag in value if tag is not None]
    else:
        parts = [] if value is None else str(value).split(divider) if divider else [str(value)]
    return [part.strip() for part in parts if part.strip()]


def attributes_of(fields: RawFields, check: RowCheck, named: Mapping[str, str]) -> pa.StringArray:
    """Return attributes as JSON objects, of a column that holds them whole and of columns that are one each."""
    if not fields.arrays("attributes") and not any(fields.has(column) for column in named.values()):
        return pa.nulls(len(fields), pa.string())
    whole = fields.array("attributes")
    names = [(_names(fields, name), text_of(fields.column(column)).to_pylist()) for name, column in named.items()]
    objects: list[str | None] = []
    for row, value in enumerate(whole.to_pylist()):
        found = _object(value)
        if found is not None:
            found |= {name: values[row] for each, values in names if (name := each[row]) and values[row]}
        if found is None or len(found) > MAX_ATTRIBUTES or not all(1 <= len(name) <= MAX_WORD_LENGTH for name in found):
            check.spare_one(row, fields.label("attributes"), value, _ATTRIBUTES_REMEDY)
            found = {}
        objects.append(orjson.dumps(found).decode() if found else None)
    return pa.array(objects, pa.string())


def _names(fields: RawFields, name: str) -> list[str | None]:
    """Return an attribute's name in each row: as it is, or the value of the column that it names."""
    column = re.fullmatch(r"\{(.+)\}", name)
    names: list[str | None] = text_of(fields.column(column[1])).to_pylist() if column else [name] * len(fields)
    return names


def _object(value: object) -> dict[str, Any] | None:
    """Return an object of attributes, empty where there is none; None for what is no such object."""
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return None
    if value is None:
        return {}
    if isinstance(value, list) and all(isinstance(pair, tuple) for pair in value):  # a map of Parquet
        value = dict(value)
    if not isinstance(value, dict):
        return None
    given = {str(name): each for name, each in value.items() if each is not None}
    return given if all(_is_attribute(each) for each in given.values()) else None


def _is_attribute(value: object) -> bool:
    if isinstance(value, list):
        return len(value) <= MAX_TAGS and all(isinstance(each, str) for each in value)
    return isinstance(value, str | int | float)
