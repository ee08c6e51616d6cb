"""Parquet: typed columns, of which only the wanted ones are read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from active_customers.core.errors import InvalidValueError
from active_customers.importing.records import PLAIN, RecordRows
from active_customers.importing.source import RawBatch, Reject, Wanted


@dataclass(frozen=True, slots=True)
class ParquetReader:
    """Reads Parquet files page by page, so that even one huge row group costs little memory."""

    batch_rows: int

    def column_names(self, path: Path) -> list[str]:
        """Return the names of the file's columns."""
        with _open(path) as file:
            return list(file.schema_arrow.names)

    def batches(self, path: Path, wanted: Wanted) -> Iterator[RawBatch]:
        """Read the file; where the preset looks inside columns, row by row in Python."""
        size = path.stat().st_size
        with _open(path) as file:
            total = max(file.metadata.num_rows, 1)
            tops = {_top(column) for column in wanted.columns} | {wanted.explode}
            columns = [name for name in file.schema_arrow.names if name in tops]
            first = 1
            for batch in file.iter_batches(self.batch_rows, columns=columns, use_threads=False):
                rows = np.arange(first, first + batch.num_rows)
                first += batch.num_rows
                yield _raw(batch, rows, wanted, size * (first - 1) // total)


def _raw(batch: pa.RecordBatch, rows: NDArray[np.int64], wanted: Wanted, bytes_read: int) -> RawBatch:
    if wanted.nested:
        return _flattened(batch, rows, wanted, bytes_read)
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    rejects: list[Reject] = []
    left_out: list[Reject] = []
    good = np.ones(len(rows), np.bool_)
    for name, column in columns.items():
        if pa.types.is_nested(column.type) and name not in wanted.structured:  # where plain values belong
            given = np.asarray(column.is_valid())
            found = [
                Reject(int(rows[i]), name, column[i].as_py(), PLAIN) for i in np.flatnonzero(given & good).tolist()
            ]
            (left_out if name in wanted.optional else rejects).extend(found)
            good &= ~given | (name in wanted.optional)
            columns[name] = pa.nulls(len(rows), pa.string())
    if not good.all():
        rows, columns = rows[good], {name: column.filter(pa.array(good)) for name, column in columns.items()}
    return RawBatch(rows, columns, rejects, bytes_read, left_out)


def _flattened(batch: pa.RecordBatch, rows: NDArray[np.int64], wanted: Wanted, bytes_read: int) -> RawBatch:
    record_rows = RecordRows(wanted)
    numbers: list[int] = []
    values: list[list[str | None]] = []
    rejects: list[Reject] = []
    left_out: list[Reject] = []
    for number, record in zip(rows.tolist(), batch.to_pylist(), strict=True):
        try:
            found = record_rows.of(record)
        except InvalidValueError as error:
            rejects.append(Reject(number, error.field, error.value, error.remedy))
            continue
        finally:
            left_out += record_rows.left_out(number)
        values += found
        numbers += [number] * len(found)
    return RawBatch(np.array(numbers, np.int64), record_rows.columns(values), rejects, bytes_read, left_out)


def _top(path: str) -> str:
    return path.split("[", 1)[0].split(".", 1)[0]


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, memory_map=True, pre_buffer=False)
    except pa.ArrowInvalid as error:
        raise InvalidValueError(str(path), str(error), "it is no Parquet, or was cut off: write it again") from error
