"""The rarer fields of events as one JSON object a row, as the archive keeps them."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from active_customers.core.event import MAX_METADATA_DEPTH, is_nested_deeper
from active_customers.importing.values import rewritten, text_of

METADATA_REMEDY = (
    f"give a JSON object of texts, numbers, true, false and null, nested at most {MAX_METADATA_DEPTH} levels deep"
)


def details_of(fields: Mapping[str, pa.StringArray]) -> pa.StringArray:
    """Return JSON objects made of the fields that a row has, in the order given; null for rows that have none.

    `fields` holds each value as JSON text.
    """
    members = [
        pc.fill_null(pc.binary_join_element_wise(orjson.dumps(name).decode() + ":", values, ",", ""), "")
        for name, values in fields.items()
        if values.null_count < len(values)
    ]
    if not members:
        return pa.nulls(len(next(iter(fields.values()))), pa.string())
    joined = pc.ascii_rtrim(pc.binary_join_element_wise(*members, ""), characters=",")
    return pc.if_else(pc.equal(joined, ""), None, pc.binary_join_element_wise("{", joined, "}", ""))


def quoted(text: pa.StringArray) -> pa.StringArray:
    """Return text as JSON strings."""
    return rewritten(text, lambda value: orjson.dumps(value).decode())


def objects_of(array: pa.Array) -> pa.StringArray:
    """Return a column of objects (JSON text, or Arrow structures and maps) as JSON.

    Null where a value is no object, holds what JSON has no word for, or is nested deeper than `MAX_METADATA_DEPTH`.
    """
    if pa.types.is_nested(array.type):
        return pa.array([_object(value) for value in array.to_pylist(maps_as_pydicts="lossy")], pa.string())
    return rewritten(text_of(array), lambda text: _object(_parsed(text)))


def _parsed(text: str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _object(value: object) -> str | None:
    if not isinstance(value, dict) or is_nested_deeper(value, MAX_METADATA_DEPTH):
        return None
    try:
        return orjson.dumps(value, option=orjson.OPT_PASSTHROUGH_DATETIME).decode()
    except TypeError:  # what JSON has no word for: times, exact decimals, bytes
        return None
