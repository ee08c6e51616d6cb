"""The archive: the log's past as Parquet, partitioned by the day of arrival (UTC).

Layout: `archive/day=2025-01-01/part-<first>-<last>.parquet`, where first and last are log positions, 20 digits each.
Every part holds all archived events of its range, so that a crash needs no manifest: a part whose range lies inside
another's is what a compaction left behind, and readers pass over it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from active_customers.core.clock import DAY, HOUR, Clock, SystemClock, day_of
from active_customers.core.errors import StorageError
from active_customers.core.event import LogEntry
from active_customers.core.identifiers import NO_NUMBER
from active_customers.storage.durable import make_folder, written_whole

SCHEMA: pa.Schema = pa.schema(
    [
        pa.field("position", pa.uint64(), nullable=False),
        pa.field("arrival", pa.int64(), nullable=False),  # microseconds
        pa.field("time", pa.int64(), nullable=False),  # the shop's own time, microseconds
        pa.field("event_type", pa.uint8(), nullable=False),  # core.event.EventType
        pa.field("customer", pa.uint32(), nullable=False),  # number
        pa.field("product", pa.uint32()),  # number
        pa.field("session", pa.uint64(), nullable=False),
        pa.field("quantity", pa.int32(), nullable=False),
        pa.field("price", pa.float64()),
        pa.field("context", pa.uint8()),
        pa.field("channel", pa.uint8()),
        pa.field("dedup_key", pa.binary(16), nullable=False),
        pa.field("session_id", pa.string()),
        pa.field("order_id", pa.string()),
        pa.field("currency", pa.string()),
        pa.field("details", pa.string()),  # JSON of the rarer fields, order_id and currency included
    ]
)

LEFTOVERS_KEPT = HOUR
"""For how long after a merge the parts that it replaced are kept."""
ROWS_PER_GROUP = 256_000
"""Rows that are compressed together, and the most that are in memory while a part is written again."""
PARTS_OF_TODAY = 64
"""The day under way is merged when more parts than this can be."""

PART_REMEDY = "restore it from a backup, or move it away and its events are passed over"
"""What to do about a part that cannot be read."""

_PART = re.compile(r"part-(\d{20})-(\d{20})\.parquet")


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """One file of the archive and the log positions it covers, both ends included."""

    first: int
    last: int
    path: Path

    @property
    def day(self) -> str:
        """The day of arrival."""
        return self.path.parent.name.removeprefix("day=")


def part_name(first: int, last: int) -> str:
    """Return the file name of a part."""
    return f"part-{first:020d}-{last:020d}.parquet"


def write_part(table: pa.Table, path: Path) -> None:
    """Write a Parquet file so that it is there whole or not at all, even after a power cut."""
    with _writing(path) as writer:
        writer.write_table(table, ROWS_PER_GROUP)


def write_batches(batches: Iterable[pa.RecordBatch], path: Path) -> None:
    """Write batches of `SCHEMA`, a row group each, as `write_part` does; one at a time is held in memory."""
    with _writing(path) as writer:
        for batch in batches:
            writer.write_batch(batch)


@contextmanager
def _writing(path: Path) -> Iterator[pq.ParquetWriter]:
    make_folder(path.parent)
    with (
        written_whole(path) as temporary,
        pq.ParquetWriter(temporary, SCHEMA, compression="zstd", write_page_checksum=True) as writer,
    ):
        yield writer


@contextmanager
def opened_part(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a part; what is read of it is compared with its checksums.

    Raises `StorageError`, naming the part, for whatever goes wrong with it until the block ends.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        raise StorageError(f"{path} cannot be read ({' '.join(str(error).split())}): {PART_REMEDY}") from error


def check_part(path: Path, columns: Sequence[str]) -> None:
    """Read columns of a part for nothing but their checksums, which DuckDB passes over; raises `StorageError`."""
    with opened_part(path) as file:
        for _ in file.iter_batches(ROWS_PER_GROUP, columns=list(columns), use_threads=False):
            pass


def table_of(entries: Sequence[LogEntry]) -> pa.Table:
    """Return log entries as a table of `SCHEMA`."""
    columns: dict[str, list[object]] = {name: [] for name in SCHEMA.names}
    for entry in entries:
        event, details = entry.event, entry.event.details
        row = (
            entry.position,
            entry.arrival,
            event.time,
            int(event.event_type),
            entry.customer,
            None if entry.product == NO_NUMBER else entry.product,
            entry.session,
            event.quantity,
            event.price,
            None if event.context is None else int(event.context),
            None if event.channel is None else int(event.channel),
            event.dedup_key,
            event.session_id,
            details.get("order_id"),
            details.get("currency"),
            orjson.dumps(details).decode() if details else None,
        )
        for column, value in zip(columns.values(), row, strict=True):
            column.append(value)
    return pa.table(columns, schema=SCHEMA)


class Archive:
    """The parts of one data directory. Opening reads nothing; every listing is fresh.

    How old a file is goes by the machine's clock, as its date does, whatever the service goes by.
    """

    def __init__(self, root: Path, machine: Clock | None = None) -> None:
        self.root = root
        self._machine = machine or SystemClock()

    def parts(self) -> list[Part]:
        """Return the parts that count, by position; what a compaction replaced is left out."""
        found = sorted(self.files(), key=lambda part: (part.first, -part.last))
        kept: list[Part] = []
        for part in found:
            if not kept or part.last > kept[-1].last:
                kept.append(part)
        return kept

    def files(self) -> Iterator[Part]:
        """Yield all parts on disk, those that a compaction replaced among them, in no order."""
        for path in self.root.glob("day=*/part-*.parquet"):
            match = _PART.fullmatch(path.name)
            if match:
                yield Part(int(match[1]), int(match[2]), path)

    def path_for(self, first: int, last: int, arrival: int) -> Path:
        """Return where the part of a range that arrived at a time belongs."""
        return self.root / f"day={day_of(arrival)}" / part_name(first, last)

    def next_uncovered(self, position: int) -> int:
        """Return the first position from `position` on that no part covers."""
        for part in self.parts():
            if part.first <= position <= part.last:
                position = part.last + 1
        return position

    def append(self, entries: Sequence[LogEntry]) -> list[Part]:
        """Write entries (in order of position) as one part per day and unbroken run of positions."""
        return self.append_table(table_of(entries))

    def append_table(self, rows: pa.Table) -> list[Part]:
        """Write rows of `SCHEMA` (in order of position) as `append` does."""
        written = []
        for run in _runs(rows):
            first, last = run["position"][0].as_py(), run["position"][-1].as_py()
            path = self.path_for(first, last, run["arrival"][0].as_py())
            write_part(run, path)
            written.append(Part(first, last, path))
        return written

    def drop_unfinished(self) -> None:
        """Remove what a writer that died left half written; only for the one writer, while it writes nothing."""
        for path in self.root.glob("day=*/.part-*.tmp"):
            path.unlink()

    def drop_days(self, before: str) -> int:
        """Remove the days of arrival before this one; return how many files went. Readers may be in their midst."""
        gone = [part for part in self.files() if part.day < before]
        for part in gone:
            part.path.unlink()
        for day in {part.path.parent for part in gone}:
            if not any(day.iterdir()):
                day.rmdir()
        return len(gone)

    def columns(self, names: Sequence[str], where: str = "true") -> dict[str, NDArray[Any]]:
        """Return columns of the archived events that satisfy an SQL condition, in order of position.

        Nulls must not be among them. Empty arrays when nothing was archived.
        """
        parts = [str(part.path) for part in self.parts()]
        if not parts:
            return {name: np.empty(0, SCHEMA.field(name).type.to_pandas_dtype()) for name in names}
        selection = ", ".join(names)
        with duckdb.connect() as connection:
            found: dict[str, NDArray[Any]] = connection.execute(
                f"SELECT {selection} FROM read_parquet(?, hive_partitioning = false) WHERE {where} ORDER BY position",  # noqa: S608
                [parts],
            ).fetchnumpy()
        return {name: np.asarray(found[name]) for name in names}

    def end(self) -> int:
        """Return the first position above everything archived; 1 for an empty archive."""
        return max((part.last + 1 for part in self.parts()), default=1)

    def compact(self, now: int, most_rows: int = 5_000_000) -> int:
        """Merge parts of one day that follow each other without a gap; return how many parts fewer count now.

        A day that is over is merged as far as `most_rows` allows, which happens once; the day of `now` only when
        more than `PARTS_OF_TODAY` of its parts can be merged, so that its growing file is not written again and again.
        The files that a merge replaces are left for `LEFTOVERS_KEPT`, for those who are reading them; neither that nor
        a crash doubles anything, since readers pass over parts that lie inside others.

        Raises `StorageError` when a part cannot be read, once all that can be merged without it is.
        """
        self._drop_leftovers()
        saved, damage = 0, None
        for group in self._due(now, most_rows):
            try:
                tables = [_read_whole(part.path) for part in group]
            except StorageError as error:
                damage = error
                continue
            write_part(pa.concat_tables(tables), group[0].path.parent / part_name(group[0].first, group[-1].last))
            saved += len(group) - 1
        if damage is not None:
            raise damage
        return saved

    def _due(self, now: int, most_rows: int) -> Iterator[list[Part]]:
        """Yield the groups of parts that are to be merged now."""
        for day, parts in groupby(self.parts(), key=lambda part: part.day):
            groups = list(_mergeable(list(parts), most_rows))
            if day < day_of(now) or sum(map(len, groups)) > PARTS_OF_TODAY:
                yield from groups

    def _drop_leftovers(self) -> None:
        now, kept = self._machine.now(), self.parts()
        for part in set(self.files()) - set(kept):
            merged = next(other for other in kept if other.first <= part.first and part.last <= other.last)
            if now - merged.path.stat().st_mtime_ns // 1000 > LEFTOVERS_KEPT:
                part.path.unlink()


def _read_whole(path: Path) -> pa.Table:
    with opened_part(path) as file:
        return file.read()


def _runs(rows: pa.Table) -> Iterable[pa.Table]:
    """Yield the unbroken runs of positions that arrived on one day."""
    positions, days = rows["position"].to_numpy(), rows["arrival"].to_numpy() // DAY
    breaks = np.flatnonzero((np.diff(positions) != 1) | (np.diff(days) != 0)) + 1
    bounds = [0, *breaks.tolist(), len(rows)]
    return [rows.slice(start, end - start) for start, end in pairwise(bounds) if end > start]


def _mergeable(parts: Sequence[Part], most_rows: int) -> Iterable[list[Part]]:
    """Yield groups of two or more adjacent parts of one day, each group at most `most_rows` long."""
    group: list[Part] = []
    for part in parts:
        fits = group and part.first == group[-1].last + 1 and part.day == group[-1].day
        if fits and part.last - group[0].first < most_rows:
            group.append(part)
            continue
        if len(group) > 1:
            yield group
        group = [part]
    if len(group) > 1:
        yield group
