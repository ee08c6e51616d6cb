"""What a file gives: batches of raw rows, and the rows that could not be read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from active_customers.core.errors import InvalidValueError

BLOCK = 8 << 20
"""Bytes of text that are parsed at a time."""


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that cannot be imported, or not all of it; `row` counts the file's records from 1, without a header."""

    row: int
    field: str
    value: object
    remedy: str
    line: int | None = None
    """Of the file, where a row may have many of them."""

    @property
    def kind(self) -> str:
        """The reason without the value: what reports count by."""
        return f"{self.field}: {self.remedy}"

    @property
    def reason(self) -> str:
        """The reason in one sentence."""
        said = str(InvalidValueError(self.field, self.value, self.remedy))
        return said if self.line is None else f"line {self.line:,}: {said}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a preset needs of a file: columns, those that may hold more than text and numbers, the list to unfold."""

    columns: tuple[str, ...]
    structured: frozenset[str] = frozenset()
    explode: str | None = None
    optional: frozenset[str] = frozenset()
    """Columns whose values are left out where they cannot be read; those of others cost their row."""

    @property
    def nested(self) -> bool:
        """Whether values lie deeper than the columns of the file."""
        return self.explode is not None or any(sign in column for column in self.columns for sign in ".[")


@dataclass(frozen=True, slots=True)
class RawBatch:
    """Some rows of a file: those wanted columns that it has, all of one length.

    `rows` int64[n] are row numbers, ascending (several rows share one where a list was unfolded). Columns have any
    Arrow type. `left_out` are values of optional columns that could not be read. `bytes_read` is how far into the file
    this is.
    """

    rows: NDArray[np.int64]
    columns: Mapping[str, pa.Array]
    rejects: Sequence[Reject] = field(default_factory=list)
    bytes_read: int = 0
    left_out: Sequence[Reject] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.rows)


class Reader(Protocol):
    """Reads files of one format; memory does not grow with the size of the file."""

    def column_names(self, path: Path) -> list[str]:
        """Return the names of the top-level columns, as far as the beginning of the file tells."""
        ...

    def batches(self, path: Path, wanted: Wanted) -> Iterator[RawBatch]:
        """Read the file from its beginning to its end."""
        ...
