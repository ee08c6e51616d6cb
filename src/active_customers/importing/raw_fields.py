"""The fields of a batch of raw rows, found by a preset's map, and the check that lets rows through or refuses them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from active_customers.importing.preset import FieldMap
from active_customers.importing.source import RawBatch, Reject
from active_customers.importing.values import Mask, ids_of, text_of


class RawFields:
    """The columns of a batch by the name of the field they feed."""

    def __init__(self, raw: RawBatch, fields: Mapping[str, FieldMap]) -> None:
        self._raw = raw
        self._fields = fields

    def __len__(self) -> int:
        return len(self._raw)

    def map(self, name: str) -> FieldMap:
        """Return the field's map; an empty one when the preset does not know the field."""
        return self._fields.get(name, FieldMap())

    def label(self, name: str) -> str:
        """Return what to call the field in a message: its name, and its column where that is called otherwise."""
        present = {
            column: self._raw.columns[column] for column in self.map(name).columns if column in self._raw.columns
        }
        columns = [column for column, values in present.items() if values.null_count < len(values)] or [*present]
        return name if not columns or name in columns else f"{name} (column {' or '.join(columns)})"

    def array(self, name: str) -> pa.Array:
        """Return the field's values as the file has them; all null where it has none."""
        field = self.map(name)
        if field.constant is not None:
            return pa.repeat(field.constant, len(self._raw))
        found = self.arrays(name)
        if field.otherwise is not None:
            found = [*map(text_of, found), self._filled(field.otherwise)]
        if not found:
            return pa.nulls(len(self._raw), pa.string())
        values = found[0] if len(found) == 1 else pc.coalesce(*_alike(found))
        if field.given is None:
            return values
        return pc.if_else(text_of(self.column(field.given)).is_valid(), values, pa.scalar(None, values.type))

    def arrays(self, name: str) -> list[pa.Array]:
        """Return those of the field's columns that the file has."""
        return [self._raw.columns[column] for column in self.map(name).columns if column in self._raw.columns]

    def has(self, name: str) -> bool:
        """Whether the file has a column."""
        return name in self._raw.columns

    def column(self, name: str) -> pa.Array:
        """Return a column of the file; all null where it has none."""
        return self._raw.columns.get(name, pa.nulls(len(self._raw), pa.string()))

    def _filled(self, template: str) -> pa.StringArray:
        """Return the template with each row's values; null in rows where one of them is missing."""
        pieces = re.split(r"\{([^{}]+)\}", template)
        none = pa.nulls(len(self._raw), pa.string())
        parts = [
            ids_of(self._raw.columns.get(piece, none))[0] if i % 2 else pa.scalar(piece)
            for i, piece in enumerate(pieces)
        ]
        return pc.binary_join_element_wise(*parts, "")


def _alike(arrays: Sequence[pa.Array]) -> list[pa.Array]:
    if all(array.type == arrays[0].type for array in arrays):
        if pa.types.is_string(arrays[0].type):
            return [text_of(array) for array in arrays]
        return list(arrays)
    return [text_of(array) for array in arrays]


class RowCheck:
    """Which rows of a batch are good so far, and why the others are not; the first reason counts."""

    def __init__(self, raw: RawBatch) -> None:
        self._raw = raw
        self.good: Mask = np.ones(len(raw), np.bool_)
        self._rejects: list[Reject] = list(raw.rejects)
        self._left_out: list[Reject] = list(raw.left_out)

    def refuse(self, bad: Mask, label: str, values: pa.Array, remedy: str) -> None:
        """Reject the rows marked in `bad` that are still good."""
        rows = np.flatnonzero(bad & self.good)
        self._rejects += [Reject(int(self._raw.rows[i]), label, values[i].as_py(), remedy) for i in rows.tolist()]
        self.good[rows] = False

    def spare(self, bad: Mask, label: str, values: pa.Array, remedy: str) -> None:
        """Note the values marked in `bad`, which are left out of their rows."""
        for place in np.flatnonzero(bad).tolist():
            self.spare_one(place, label, values[place].as_py(), remedy)

    def spare_one(self, place: int, label: str, value: object, remedy: str) -> None:
        """Note a value that is left out of one row, by its place in the batch."""
        self._left_out.append(Reject(int(self._raw.rows[place]), label, value, remedy))

    @property
    def rejects(self) -> list[Reject]:
        """The rows rejected so far, in the order of the file."""
        return sorted(self._rejects, key=lambda reject: reject.row)

    @property
    def left_out(self) -> list[Reject]:
        """The values left out of rows that are good so far, in the order of the file."""
        good = set(self._raw.rows[self.good].tolist()) if self._left_out else set()
        return sorted((each for each in self._left_out if each.row in good), key=lambda each: each.row)

    def drop(self, rows: Mask) -> None:
        """Leave rows out without a word."""
        self.good &= ~rows
