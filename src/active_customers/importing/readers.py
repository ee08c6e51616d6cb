"""The reader of a file, by its name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from active_customers.core.errors import InvalidValueError
from active_customers.importing.delimited import DelimitedReader
from active_customers.importing.feed_items import FeedReader
from active_customers.importing.json_lines import JsonLinesReader
from active_customers.importing.parquet import ParquetReader
from active_customers.importing.source import RawBatch, Reader, Wanted
from active_customers.importing.stream import COMPRESSIONS

BATCH_ROWS = 131_072
"""Rows that are worked on at a time: large enough that the work per batch does not show, some 50 MB at most."""


def reader_for(path: Path, batch_rows: int = BATCH_ROWS) -> Reader:
    """Return the reader for a file; raises `InvalidValueError` when there is no such file or no such format."""
    if not path.is_file():
        raise InvalidValueError(str(path), None, "there is no such file: check the path")
    plain = path.with_suffix("") if path.suffix.lower() in COMPRESSIONS else path
    readers: dict[str, Reader] = {
        ".csv": DelimitedReader(",", batch_rows),
        ".tsv": DelimitedReader("\t", batch_rows),
        ".jsonl": JsonLinesReader(batch_rows),
        ".ndjson": JsonLinesReader(batch_rows),
        ".xml": FeedReader(batch_rows),
        ".rss": FeedReader(batch_rows),
        ".atom": FeedReader(batch_rows),
    }
    if plain == path:
        readers[".parquet"] = ParquetReader(batch_rows)
    reader = readers.get(plain.suffix.lower())
    if reader is None:
        remedy = "name it .csv, .tsv, .jsonl, .ndjson, .xml (each also .gz or .zst) or .parquet, by what it holds"
        raise InvalidValueError("FILE", path.name, remedy)
    return reader


def read_batches(path: Path, wanted: Wanted, batch_rows: int = BATCH_ROWS) -> Iterator[RawBatch]:
    """Read a file in batches; what breaks off the whole file is an `InvalidValueError` that says after which row."""
    row = 0
    try:
        for batch in reader_for(path, batch_rows).batches(path, wanted):
            row = max(row, int(batch.rows[-1]) if len(batch) else row)
            yield batch
    except (pa.ArrowException, OSError) as error:
        remedy = f"it cannot be read on after row {row} and nothing of it was imported: is it whole?"
        raise InvalidValueError(str(path), str(error), remedy) from error
