"""CSV and TSV: every value is text until the preset says what it is."""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv

from active_customers.core.errors import InvalidValueError
from active_customers.importing.quotes import MARK, QuoteMender
from active_customers.importing.source import BLOCK, RawBatch, Reject, Wanted
from active_customers.importing.stream import TextStream, open_text

_OTHERS = (",", ";", "\t", "|")
"""Delimiters that files have under names which promise another."""
_LONGEST_HEAD = 1 << 16
_FEW_ODD = 4
"""Characters that are no UTF-8 which do not make a file one of another encoding."""
_QUOTED = re.compile(r'"[^"]*"')


def _is_utf8(start: bytes) -> bool:
    """Tell whether a file whose first bytes these are is UTF-8; a few odd characters in it are odd rows, no more.

    >>> _is_utf8("ä;ö;ü;ß;Ä;Ö".encode()), _is_utf8("ä;ö;ü;ß;Ä;Ö".encode("latin-1")), _is_utf8("a".encode("utf-16"))
    (True, False, False)
    """
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return False
    text = start.decode(errors="replace")
    odd = text.count("\N{REPLACEMENT CHARACTER}")
    letters = sum(character > "\x7f" for character in text) - odd
    return odd <= letters + _FEW_ODD


@dataclass(frozen=True, slots=True)
class DelimitedReader:
    """Reads text with a header and one delimiter; quotes may enclose delimiters and line ends, empty means no value.

    A header without the delimiter is divided by that of `_OTHERS` which it has most of.
    """

    delimiter: str
    batch_rows: int
    block_bytes: int = BLOCK

    def column_names(self, path: Path) -> list[str]:
        """Return the header."""
        with open_text(path) as stream:
            try:
                rows = self.fitted(path)._open(stream, (), _OddRows())
            except pa.ArrowInvalid as error:
                raise InvalidValueError(str(path), str(error), "the first line names the columns") from error
            return list(rows.schema.names)

    def batches(self, path: Path, wanted: Wanted) -> Iterator[RawBatch]:
        """Read the file; rows with too many or too few values, or that are no UTF-8, are rejected."""
        fitted, names = self.fitted(path), self.column_names(path)
        columns = tuple(name for name in wanted.columns if name in names)
        odd = _OddRows()
        row = 1
        with open_text(path) as stream:
            for batch in fitted._open(stream, columns, odd):
                numbers = odd.numbers(row, batch.num_rows)
                row = int(numbers[-1]) + 1 if len(numbers) else row
                for start in range(0, batch.num_rows, self.batch_rows):
                    some = slice(start, start + self.batch_rows)
                    raw = RawBatch(
                        numbers[some], _columns(batch.slice(start, self.batch_rows)), odd.taken(), stream.bytes_read()
                    )
                    yield _decoded(raw, wanted.optional)
            if left := odd.taken():
                yield RawBatch(np.empty(0, np.int64), {}, left, stream.bytes_read())

    def fitted(self, path: Path) -> DelimitedReader:
        """Return the reader with what divides a file's header: programs write semicolons or tabs into CSV."""
        with open_text(path) as stream:
            start = stream.content.read(_LONGEST_HEAD)
        if not _is_utf8(start):
            remedy = "it is no UTF-8 text: save it as UTF-8 (of a spreadsheet: `CSV UTF-8`)"
            raise InvalidValueError(str(path), None, remedy)
        head = start.removeprefix(codecs.BOM_UTF8).decode(errors="replace")
        header = _QUOTED.sub("", head).lstrip().partition("\n")[0]
        if self.delimiter in header:
            return self
        found = max(_OTHERS, key=header.count)
        return replace(self, delimiter=found) if found in header else self

    def _open(self, stream: TextStream, columns: tuple[str, ...], odd: _OddRows) -> csv.CSVStreamingReader:
        return csv.open_csv(
            pa.PythonFile(QuoteMender(stream.content, self.delimiter), mode="r"),
            # One thread: only then do rows come with their numbers, and no block is parsed long before it is asked for.
            read_options=csv.ReadOptions(use_threads=False, block_size=self.block_bytes),
            parse_options=csv.ParseOptions(
                delimiter=self.delimiter, newlines_in_values=True, invalid_row_handler=odd.take
            ),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.binary()),
                include_columns=list(columns),
                null_values=[""],
                strings_can_be_null=True,
            ),
        )


@dataclass(slots=True)
class _OddRows:
    """Rows whose number of values is wrong: what the parser leaves out."""

    _new: list[Reject] = field(default_factory=list)
    _rows: list[int] = field(default_factory=list)

    def take(self, odd: csv.InvalidRow) -> str:
        """Note a row; the answer tells the parser to go on without it."""
        row = odd.number - 1  # the parser counts the header
        remedy = f"a row has {odd.expected_columns} values like the header, not {odd.actual_columns}"
        if odd.text.startswith(MARK.decode()):
            remedy = "a quote that opens a value is closed in the end"
        self._new.append(Reject(row, "row", odd.text, remedy))
        self._rows.append(row)
        return "skip"

    def taken(self) -> list[Reject]:
        """Return what came in since the last call."""
        new, self._new = self._new, []
        return new

    def numbers(self, first: int, count: int) -> NDArray[np.int64]:
        """Return the row numbers of the next `count` good rows, the first of which may be number `first`."""
        numbers = np.arange(first, first + count + len(self._rows))
        numbers = numbers[~np.isin(numbers, self._rows)][:count]
        if len(numbers):
            self._rows = [row for row in self._rows if row > numbers[-1]]
        return numbers


def _columns(batch: pa.RecordBatch) -> dict[str, pa.Array]:
    return dict(zip(batch.schema.names, batch.columns, strict=True))


def _decoded(raw: RawBatch, optional: Collection[str]) -> RawBatch:
    """Return a batch of bytes as text, without the rows that hold bytes which are none in a column that is needed."""
    columns: dict[str, pa.Array] = {}
    rejects, left_out = list(raw.rejects), list(raw.left_out)
    good = np.ones(len(raw), np.bool_)
    for name, column in raw.columns.items():
        try:
            columns[name] = column.cast(pa.string())
        except pa.ArrowInvalid:
            columns[name], broken = _readable(column)
            found = [Reject(int(raw.rows[i]), name, column[i].as_py(), "text is UTF-8") for i in broken if good[i]]
            if name in optional:
                left_out += found
                continue
            rejects += found
            good[broken] = False
    if not good.all():
        columns = {name: pc.filter(column, pa.array(good)) for name, column in columns.items()}
    return replace(raw, rows=raw.rows[good], columns=columns, rejects=rejects, left_out=left_out)


def _readable(column: pa.BinaryArray) -> tuple[pa.StringArray, list[int]]:
    """Return the column as text with nulls where the bytes are no UTF-8, and where those are."""
    values: list[str | None] = []
    broken = []
    for i, value in enumerate(column.to_pylist()):
        try:
            values.append(None if value is None else value.decode())
        except UnicodeDecodeError:
            values.append(None)
            broken.append(i)
    return pa.array(values, pa.string()), broken
