"""The files of the live index: one per shared array, in one folder; see `kernels.live_index.LiveArrays`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from active_customers.core.errors import StorageError
from active_customers.kernels.live_index import (
    ACTS_KEPT,
    GENERATION,
    HEADER,
    MAGIC,
    RECORD,
    RING_LENGTH,
    LiveArrays,
    LiveCounts,
)
from active_customers.storage.mapped_arrays import Column

_MAGIC = int.from_bytes(b"live-ix1", "little")
_HEADER = Column("header", np.int64, HEADER)
_TOTALS = Column("totals", np.float64, 2)
_COUNTS = tuple(Column(name, np.float64) for name in ("popular", "recent", "longer"))

Shared = tuple[LiveArrays, LiveCounts]


def session_columns(acts_kept: int) -> Mapping[str, Column]:
    """Return the columns with one row per session."""
    columns = (Column("records", np.int64, RECORD), Column("products", np.uint32, acts_kept))
    return {column.name: column for column in columns}


def product_columns(ring_length: int) -> Mapping[str, Column]:
    """Return the columns with one row per product."""
    columns = (Column("rings", np.uint32, ring_length), Column("ends", np.uint32), Column("stored", np.uint32))
    return {column.name: column for column in (*columns, *_COUNTS)}


class LiveFiles:
    """The writer's side: makes the files, and makes them longer. One process at a time; readers need not be told."""

    def __init__(self, folder: Path, acts_kept: int, ring_length: int) -> None:
        self._folder = folder
        self._layout = (acts_kept, ring_length)
        self._sessions = session_columns(acts_kept)
        self._products = product_columns(ring_length)

    def open(self) -> Shared:
        """Map the files, with whatever is in them; those that are missing are made, those of another layout removed."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._remove_others()
        except OSError as error:
            raise StorageError(f"{self._folder} cannot be written ({error}): see who owns it") from error
        return self.grow(0, 0)

    def grow(self, sessions: int, products: int) -> Shared:
        """Make room for at least so many sessions and products; return the arrays, mapped anew.

        The layout and a new generation are published when all files are as long as they get.
        """
        folder = self._folder
        header = _HEADER.grow(folder, 1)
        arrays = {
            _HEADER.name: header,
            _TOTALS.name: _TOTALS.grow(folder, 1),
            **_grown(folder, self._sessions, sessions),
            **_grown(folder, self._products, products),
        }
        generation = int(header[GENERATION]) + 1
        header[[MAGIC, ACTS_KEPT, RING_LENGTH]] = _MAGIC, *self._layout
        header[GENERATION] = generation
        return _shared(arrays, (*self._layout, generation))

    def _remove_others(self) -> None:
        columns = (_HEADER, _TOTALS, *self._sessions.values(), *self._products.values())
        own = {column.path(self._folder) for column in columns}
        for path in self._folder.glob("*.array"):
            if path not in own:
                path.unlink()


def read_live_files(folder: Path) -> Shared | None:
    """Map the files read-only as they are now; None when there is no index, or it is just being made.

    What keeps them from being read is no error here: their writer meets it too, and says so.
    """
    try:
        header = _HEADER.read(folder)
        if len(header) < HEADER or header[MAGIC] != _MAGIC:
            return None
        acts_kept, ring_length, generation = header[[ACTS_KEPT, RING_LENGTH, GENERATION]].tolist()
        products = product_columns(ring_length).values()
        arrays = {column.name: column.read(folder) for column in (_TOTALS, *session_columns(acts_kept).values())}
        arrays |= _evened(products, {column.name: column.read(folder) for column in products})
    except OSError:
        return None
    return _shared({_HEADER.name: header, **arrays}, (acts_kept, ring_length, generation))


def _shared(arrays: Mapping[str, NDArray[Any]], layout: tuple[int, int, int]) -> Shared:
    acts_kept, ring_length, generation = layout
    names = ("header", *session_columns(acts_kept), "rings", "ends", "stored")
    live = LiveArrays(
        **{name: arrays[name] for name in names},
        acts_kept=acts_kept,
        ring_length=ring_length,
        generation=generation,
    )
    return live, LiveCounts(**{name: arrays[name] for name in LiveCounts._fields})


def _grown(folder: Path, columns: Mapping[str, Column], rows: int) -> dict[str, NDArray[Any]]:
    """Make files of one row each per thing equally long."""
    present = [_rows_of(column, folder) for column in columns.values()]
    return {name: column.grow(folder, max(rows, *present)) for name, column in columns.items()}


def _rows_of(column: Column, folder: Path) -> int:
    path = column.path(folder)
    return path.stat().st_size // column.row_bytes if path.exists() else 0


def _evened(columns: Iterable[Column], arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Cut arrays to as many rows as the shortest has: the files may be growing while they are mapped."""
    rows = min(len(arrays[column.name]) // column.width for column in columns)
    return {column.name: arrays[column.name][: rows * column.width] for column in columns}
