"""The archive's parts of a staged import, and the retry keys of its events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from active_customers.core.identifiers import NO_NUMBER
from active_customers.storage.archive import SCHEMA, part_name, write_part
from active_customers.storage.durable import writing


def write_parts(folder: Path, tables: Iterable[pa.Table], placed: NDArray[np.void], span: tuple[int, int]) -> None:
    """Write a part for each table (see `Staging.rows`); `span` is (first log position, time of arrival).

    `placed` (`acts.PLACED`) holds the numbers that the rows are still without, by place.
    """
    first, arrival = span
    for rows in tables:
        places = rows["place"].to_numpy()
        numbers = placed[places[0] : places[-1] + 1]
        columns = {name: rows[name] for name in SCHEMA.names if name in rows.column_names}
        columns |= {
            "position": pa.array((places + first).astype(np.uint64)),
            "arrival": pa.array(np.full(len(rows), arrival)),
            "customer": pa.array(numbers["customer"]),
            "product": pa.array(numbers["product"], mask=numbers["product"] == NO_NUMBER),
            "session": pa.array(numbers["session"]),
            "dedup_key": rows["dedup_key"].cast(pa.binary(16)),
        }
        table = pa.table([columns[name] for name in SCHEMA.names], schema=SCHEMA)
        write_part(table, folder / part_name(int(places[0]) + first, int(places[-1]) + first))


def write_keys(folder: Path, batches: Iterable[pa.RecordBatch]) -> None:
    """Write retry keys (see `Staging.keys`) as `keys.npy`."""
    keys = [np.frombuffer(batch["key"].cast(pa.binary(16)).buffers()[1], np.uint8) for batch in batches if len(batch)]
    with writing(folder):
        np.save(folder / "keys.npy", np.concatenate([np.empty(0, np.uint8), *keys]).reshape(-1, 16))


def grouped(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.Table]:
    """Put batches together into tables of at least `rows` rows (the last one excepted)."""
    group: list[pa.RecordBatch] = []
    for batch in batches:
        group.append(batch)
        if sum(map(len, group)) >= rows:
            yield pa.Table.from_batches(group)
            group = []
    if group:
        yield pa.Table.from_batches(group)
