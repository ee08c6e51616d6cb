"""Sequence files: rows of who and what, in an order given by a position or a time."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from active_customers.core.errors import InvalidValueError
from active_customers.core.event import EventType
from active_customers.evaluation.interactions import Interactions, Source

SESSION_COLUMNS = ("sessionid", "session", "userid", "customerid")
PRODUCT_COLUMNS = ("itemid", "productid", "item", "product")
TIME_COLUMNS = ("time", "timestamp", "ts", "eventtime")
POSITION_COLUMNS = ("pos", "position")
EVENT_COLUMNS = ("event", "eventtype", "type")


def is_sequence_table(names: Iterable[str]) -> bool:
    """Whether columns with these names are a sequence file: session, product and an order, but no kinds of events.

    >>> is_sequence_table(["session_id", "pos", "item_id"]), is_sequence_table(["SessionId", "ItemId", "Time"])
    (True, True)
    >>> is_sequence_table(["user_id", "item_id", "event", "ts"])
    False
    """
    columns = list(names)
    return (
        all(_found(columns, group) for group in (SESSION_COLUMNS, PRODUCT_COLUMNS, POSITION_COLUMNS + TIME_COLUMNS))
        and _found(columns, EVENT_COLUMNS) is None
    )


def read_sequences(path: Path) -> Interactions:
    """Read a sequence file, Parquet or CSV; every row counts as a view.

    Without a time column, the sessions are in the order of their first rows and `pos` orders each session's acts. Times
    are timestamps, or numbers since 1970 in seconds, milliseconds or microseconds, told apart by their size. Acts with
    equal times stay in the order of `pos`, else of the file.
    """
    table = pyarrow.csv.read_csv(path) if path.suffix.lower() == ".csv" else pq.read_table(path)
    names = table.column_names
    if not is_sequence_table(names):
        raise InvalidValueError(str(path), names, "a sequence file has session_id or user_id, item_id, and pos or time")
    time, position = _found(names, TIME_COLUMNS), _found(names, POSITION_COLUMNS)
    order = np.argsort(_plain(table[position]), kind="stable") if position else np.arange(table.num_rows)
    sessions = _plain(table[_found(names, SESSION_COLUMNS)])
    if time is None:
        order = order[np.argsort(_first_rows(sessions)[order], kind="stable")]
    return Interactions(
        sessions=sessions[order],
        products=_plain(table[_found(names, PRODUCT_COLUMNS)])[order],
        event_types=np.full(table.num_rows, EventType.VIEW, np.uint8),
        times=None if time is None else _microseconds(table[time])[order],
        source=Source.of(path),
    )


def _found(names: Iterable[str], wanted: Iterable[str]) -> str | None:
    """Return the first wanted column that is there, whatever its case and punctuation."""
    plain = {re.sub(r"[^a-z0-9]", "", name.lower()): name for name in names}
    return next((plain[name] for name in wanted if name in plain), None)


def _plain(column: Any) -> NDArray[Any]:
    """Return a column as integers or strings; there must be no gaps in it."""
    if column.null_count:
        raise InvalidValueError("column", str(column.type), "fill the empty cells of ids and positions")
    if pa.types.is_integer(column.type):
        values: NDArray[Any] = column.to_numpy()
        return values
    return np.array(pc.cast(column, pa.string()).to_pylist(), np.str_)


def _first_rows(sessions: NDArray[Any]) -> NDArray[np.int64]:
    """Return, for each row, the first row of its session."""
    _, first_rows, inverse = np.unique(sessions, return_index=True, return_inverse=True)
    return first_rows[inverse]


def _microseconds(column: Any) -> NDArray[np.int64]:
    if pa.types.is_timestamp(column.type):
        return np.asarray(pc.cast(column, pa.timestamp("us", tz=column.type.tz)).cast(pa.int64()).to_numpy())
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise InvalidValueError("column", str(column.type), "times are timestamps or numbers since 1970")
    values = column.to_numpy()
    largest = float(values.max()) if len(values) else 0.0
    scale = 1_000_000 if largest < 1e11 else 1_000 if largest < 1e14 else 1
    return np.asarray((values * scale).astype(np.int64))
