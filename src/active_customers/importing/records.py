"""Nested records (JSON objects) as flat rows.

A column of a preset reads a record by a path: `name`; `outer.name`; `params[name]`, the value under that key in a list
of `{"key": ..., "value": {"string_value": ...}}` as Google Analytics writes it; and, where the preset unfolds a list,
`items[].name`, a value of the list's element that the row stands for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import orjson
import pyarrow as pa

from active_customers.core.errors import InvalidValueError
from active_customers.importing.details import METADATA_REMEDY
from active_customers.importing.source import Reject, Wanted

Record = Mapping[str, Any]

PLAIN = "give a text or a number"
"""What to do about a list or an object where neither belongs."""


class RecordRows:
    """Turns records into rows of text, one value per wanted column."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._left_out: list[InvalidValueError] = []
        self._outer: list[tuple[int, Callable[[Record], Any]]] = []
        self._inner: list[tuple[int, Callable[[Record], Any]]] = []
        prefix = f"{wanted.explode}[]."
        for i, column in enumerate(wanted.columns):
            if wanted.explode and column.startswith(prefix):
                self._inner.append((i, _reader(column.removeprefix(prefix))))
            else:
                self._outer.append((i, _reader(column)))

    def of(self, record: Record) -> list[list[str | None]]:
        """Return the record's rows; a record whose list is empty is one row.

        Raises `InvalidValueError` naming the column when a structure stands where a plain value belongs, unless the
        column is optional: `left_out` tells of that.
        """
        if not self._wanted.nested:
            return [self._flat(record)]
        row: list[str | None] = [None] * len(self._wanted.columns)
        for i, read in self._outer:
            row[i] = self._cell(i, read(record))
        rows = []
        for element in self._elements(record):
            rows.append(list(row))
            for i, read in self._inner:
                rows[-1][i] = self._cell(i, read(element))
        return rows or [row]

    def _flat(self, record: Record) -> list[str | None]:
        """Return the row of a record whose wanted values all lie on top: most are text or missing, so look at few."""
        row = [record.get(column) for column in self._wanted.columns]
        for i, value in enumerate(row):
            if value is not None and value.__class__ is not str:
                row[i] = self._cell(i, value)
        return row

    def _elements(self, record: Record) -> list[Record]:
        name = self._wanted.explode
        elements = (record.get(name) if name else None) or []
        if not isinstance(elements, list) or not all(isinstance(element, Mapping) for element in elements):
            raise InvalidValueError(str(name), elements, "give a list of objects")
        return elements

    def left_out(self, number: int) -> list[Reject]:
        """Return what was left out since the last call, as of the row of this number."""
        found = [Reject(number, error.field, error.value, error.remedy) for error in self._left_out]
        self._left_out.clear()
        return found

    def columns(self, rows: Sequence[Sequence[str | None]]) -> dict[str, pa.Array]:
        """Return rows as columns of text."""
        values: Iterable[Sequence[str | None]] = zip(*rows, strict=True) if rows else [[]] * len(self._wanted.columns)
        return {name: pa.array(column, pa.string()) for name, column in zip(self._wanted.columns, values, strict=True)}

    def _cell(self, i: int, value: Any) -> str | None:
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, float):
            return str(int(value)) if value.is_integer() else repr(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        column = self._wanted.columns[i]
        if column not in self._wanted.structured:
            error = InvalidValueError(column, value, PLAIN)
            if column not in self._wanted.optional:
                raise error
            self._left_out.append(error)
            return None
        try:
            return orjson.dumps(value, option=orjson.OPT_PASSTHROUGH_DATETIME).decode()
        except TypeError as error:
            raise InvalidValueError(column, value, METADATA_REMEDY) from error


def _reader(path: str) -> Callable[[Record], Any]:
    """Return what reads the value at a path; a missing step gives None."""
    if path.endswith("]"):
        name, key = path[:-1].split("[", 1)
        return lambda record: _keyed(record.get(name), key)
    if "." not in path:
        return lambda record: record.get(path)
    steps = path.split(".")

    def walk(record: Record) -> Any:
        value: Any = record
        for step in steps:
            value = value.get(step) if isinstance(value, Mapping) else None
        return value

    return walk


def _keyed(parameters: object, key: str) -> Any:
    if not isinstance(parameters, list):
        return None
    for parameter in parameters:
        if isinstance(parameter, Mapping) and parameter.get("key") == key:
            value = parameter.get("value")
            kinds = value.values() if isinstance(value, Mapping) else [value]
            return next((kind for kind in kinds if kind is not None), None)
    return None
