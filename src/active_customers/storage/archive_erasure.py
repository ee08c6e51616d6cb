"""Erased customers in files of the archive: finding their rows, and overwriting them on disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from active_customers.core.erasure import NAMES_ANOTHER, ErasedCustomers, blank_entry
from active_customers.core.event import EventType
from active_customers.storage.archive import ROWS_PER_GROUP, SCHEMA, opened_part, table_of, write_batches

_BLANK = {name: column[0] for name, column in zip(SCHEMA.names, table_of([blank_entry(0, 0)]).columns, strict=True)}
_KEPT = ("position", "arrival")
_MENTION = f'"{NAMES_ANOTHER}"'


def rows_of(path: Path, customers: NDArray[np.uint32]) -> int:
    """Return how many rows of a file are of these customers."""
    return sum(int(_own(batch, customers).sum()) for batch in _batches(path, ["customer", "event_type"]))


def overwrite(path: Path, erased: ErasedCustomers) -> int:
    """Overwrite the rows of erased customers, and mentions of them, in a file; return how many rows were changed.

    Each keeps its position and arrival (see `blank_entry`), so that the file covers the same positions. The new file
    takes the old one's place at once and durably; where there is nothing to overwrite it stays as it is. Memory holds
    one row group at a time.
    """
    columns = ["position", "customer", "event_type", "details"]
    changed = sum(int(_affected(batch, erased).sum()) for batch in _batches(path, columns))
    if changed:
        write_batches((_cleaned(batch, erased) for batch in _batches(path, SCHEMA.names)), path)
    return changed


def _batches(path: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    with opened_part(path) as file:
        yield from file.iter_batches(ROWS_PER_GROUP, columns=columns, use_threads=False)


def _own(batch: pa.RecordBatch, customers: NDArray[np.uint32]) -> NDArray[np.bool_]:
    rows: NDArray[np.bool_] = np.isin(batch["customer"].to_numpy(), customers)
    rows &= batch["event_type"].to_numpy() != EventType.ERASE
    return rows


def _affected(batch: pa.RecordBatch, erased: ErasedCustomers) -> NDArray[np.bool_]:
    rows = _own(batch, erased.numbers)
    rows[list(_mentions(batch, erased))] = True
    return rows


def _mentions(batch: pa.RecordBatch, erased: ErasedCustomers) -> dict[int, str | None]:
    """Return the details of rows that name an erased customer, without the name, by row."""
    found: dict[int, str | None] = {}
    suspects = pc.match_substring(batch["details"], _MENTION).fill_null(False)
    for row in np.flatnonzero(suspects.to_numpy(zero_copy_only=False)).tolist():
        details = orjson.loads(batch["details"][row].as_py())
        if erased.names(details.pop(NAMES_ANOTHER, None), batch["position"][row].as_py()):
            found[row] = orjson.dumps(details).decode() if details else None
    return found


def _cleaned(batch: pa.RecordBatch, erased: ErasedCustomers) -> pa.RecordBatch:
    unnamed = _mentions(batch, erased)
    columns = {name: batch[name] for name in SCHEMA.names}
    if unnamed:
        texts = columns["details"].to_pylist()
        columns["details"] = pa.array([unnamed.get(row, text) for row, text in enumerate(texts)], pa.string())
    own = pa.array(_own(batch, erased.numbers))
    blank = {**_BLANK, "time": batch["arrival"]}
    for name in columns.keys() - set(_KEPT):
        columns[name] = pc.if_else(own, blank[name], columns[name])
    return pa.record_batch([columns[field.name].cast(field.type) for field in SCHEMA], schema=SCHEMA)
