"""Rows of a file brought into shape before they are read: what only the first of several rows says is filled down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from active_customers.importing.preset import FieldMaps, FillDown
from active_customers.importing.source import RawBatch
from active_customers.importing.values import mask_of, present, text_of


class RowShape:
    """Shapes the batches of one file, in order: rows that stand together may be in two batches."""

    def __init__(self, maps: FieldMaps) -> None:
        self._maps = maps
        self._first: dict[str, Any] = {}

    def of(self, raw: RawBatch) -> RawBatch:
        """Return the batch with values filled down, without rows and texts that say nothing."""
        if len(raw) == 0:
            return raw
        columns = dict(raw.columns)
        if self._maps.no_value:
            nothing = pa.array(self._maps.no_value, pa.string())
            columns = {name: _without(column, nothing) for name, column in columns.items()}
        if self._maps.fill_down is not None:
            columns = self._filled(columns, self._maps.fill_down)
        shaped = replace(raw, columns=columns)
        key = self._maps.only_with
        return shaped if key is None or key not in columns else _with(shaped, text_of(columns[key]).is_valid())

    def _filled(self, columns: Mapping[str, pa.Array], fill: FillDown) -> dict[str, pa.Array]:
        """Give each row what the first row with the same value of `fill.by` says; such rows stand together."""
        if fill.by not in columns:
            return dict(columns)
        keys = text_of(columns[fill.by])
        texts = np.array(keys.to_pylist(), object)
        begins = np.ones(len(texts), np.bool_)
        begins[1:] = (texts[1:] != texts[:-1]) | ~present(keys)[1:]  # no value joins no rows
        firsts = np.maximum.accumulate(np.where(begins, np.arange(len(texts)), 0))
        goes_on = texts[0] is not None and self._first.get(fill.by) == texts[0]
        filled = dict(columns)
        for name in fill.columns:
            if name in columns:
                own = text_of(columns[name])
                common = own.take(pa.array(firsts))
                if goes_on:
                    common = pc.if_else(pa.array(firsts == 0), self._first[name], common)
                filled[name] = pc.coalesce(own, common)
        last = int(firsts[-1])
        if not (goes_on and last == 0):
            self._first = {name: filled[name][last] for name in fill.columns if name in filled}
            self._first[fill.by] = texts[-1]
        return filled


def _without(column: pa.Array, nothing: pa.Array) -> pa.Array:
    if not pa.types.is_string(column.type):
        return column
    return pc.if_else(pc.is_in(column, nothing), None, column)


def _with(raw: RawBatch, kept: pa.BooleanArray) -> RawBatch:
    columns = {name: column.filter(kept) for name, column in raw.columns.items()}
    return replace(raw, rows=raw.rows[mask_of(kept)], columns=columns)
