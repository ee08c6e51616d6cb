"""JSON Lines: one object a line."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from active_customers.core.errors import InvalidValueError
from active_customers.importing.records import RecordRows
from active_customers.importing.source import BLOCK, RawBatch, Reject, Wanted
from active_customers.importing.stream import open_text

_LONGEST_LINE = 1 << 20
_LINES_LOOKED_AT = 100
_REMEDY = "a line is one JSON object"


@dataclass(slots=True)
class _Rows:
    """Rows on their way into a batch."""

    numbers: list[int] = field(default_factory=list)
    values: list[list[str | None]] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    left_out: list[Reject] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class JsonLinesReader:
    """Reads JSON Lines; a line that is no object or longer than 1 MiB is rejected, an empty one passed over."""

    batch_rows: int
    block_bytes: int = BLOCK

    def column_names(self, path: Path) -> list[str]:
        """Return the keys of the first hundred objects."""
        names: dict[str, None] = {}
        with open_text(path) as stream:
            for line in islice(_lines(stream.content, self.block_bytes), _LINES_LOOKED_AT):
                try:
                    names.update(dict.fromkeys(_record(line)))
                except InvalidValueError:
                    continue
        return list(names)

    def batches(self, path: Path, wanted: Wanted) -> Iterator[RawBatch]:
        """Read the file."""
        record_rows = RecordRows(wanted)
        rows = _Rows()
        with open_text(path) as stream:
            for number, line in enumerate(_lines(stream.content, self.block_bytes), 1):
                if line.isspace():
                    continue
                _add(rows, record_rows, number, line)
                if len(rows.numbers) + len(rows.rejects) >= self.batch_rows:
                    yield _batch(rows, record_rows, stream.bytes_read())
                    rows = _Rows()
            yield _batch(rows, record_rows, stream.bytes_read())


def _lines(content: Any, block_bytes: int) -> Iterator[bytes]:
    """Yield lines, each cut off a little above the longest one that is allowed."""
    buffered = io.BufferedReader(content, block_bytes)
    while line := buffered.readline(_LONGEST_LINE + 2):
        rest = line
        while not rest.endswith(b"\n") and len(rest) > _LONGEST_LINE:
            rest = buffered.readline(_LONGEST_LINE + 2)
        yield line
    buffered.detach()  # else it would close the stream of its caller


def _record(line: bytes) -> dict[str, Any]:
    if len(line) > _LONGEST_LINE + 1:
        raise InvalidValueError("line", line[:40], "a line has at most 1 MiB")
    try:
        record = orjson.loads(line.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        raise InvalidValueError("line", line[:200], f"{_REMEDY} ({error})") from error
    if not isinstance(record, dict):
        raise InvalidValueError("line", record, _REMEDY)
    return record


def _add(rows: _Rows, record_rows: RecordRows, number: int, line: bytes) -> None:
    try:
        values = record_rows.of(_record(line))
    except InvalidValueError as error:
        rows.rejects.append(Reject(number, error.field, error.value, error.remedy))
        return
    finally:
        rows.left_out += record_rows.left_out(number)
    rows.values += values
    rows.numbers += [number] * len(values)


def _batch(rows: _Rows, record_rows: RecordRows, bytes_read: int) -> RawBatch:
    numbers = np.array(rows.numbers, np.int64)
    return RawBatch(numbers, record_rows.columns(rows.values), rows.rejects, bytes_read, rows.left_out)
