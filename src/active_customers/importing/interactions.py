"""Files as evaluation reads them: sequence files, or events by any preset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from active_customers.core.clock import format_time
from active_customers.core.errors import InvalidValueError, NoDataError
from active_customers.core.event import EventType
from active_customers.core.session import SESSION_GAP
from active_customers.evaluation.interactions import Interactions, Source
from active_customers.evaluation.sequences import (
    SequenceColumns,
    Sequences,
    epoch_microseconds,
    held_out_columns,
    interactions_of,
    sequence_columns,
)
from active_customers.importing.event_files import read_events
from active_customers.importing.preset import DEFAULT, known_presets, preset_named
from active_customers.importing.readers import read_batches, reader_for
from active_customers.importing.source import Wanted
from active_customers.importing.values import numbers_of, text_of, times_of

_EITHER = (
    "give sequences (a session_id, user_id or customer_id, an item_id or product_id, and a time or pos), events "
    "(customer_id, event_type, product_id, timestamp), or name the --preset that fits"
)


def read_interactions(path: Path, preset: str | None = None) -> Interactions:
    """Read one file: a sequence file when no preset is named and the columns are those of one, else events.

    Sequence files are of any format that imports read; times are timestamps, or numbers since 1970 in seconds,
    milliseconds or microseconds, told apart by their size. Ids are integers where the file says so (Parquet), else
    text, in which `007` and `7` are two products. A gap in an id, a position or a time is an `InvalidValueError`.

    Events keep the sessions they came with; where they have none, a pause of 30 minutes of a customer ends one. Such
    sessions are called `customer/session_id` and `customer/visit/start`, alike in all files: a given session may go on
    in the next file, while a visit ends with its file.
    """
    names = reader_for(path).column_names(path)
    columns = sequence_columns(names) if preset is None else None
    if columns is not None:
        return _sequences(path, columns)
    known = preset_named(preset or DEFAULT)
    if (
        preset is None
        and known.missing("events", names)
        and not any(preset_named(other).fits("events", names) for other in known_presets())
    ):
        raise InvalidValueError(f"columns of {path.name}", ", ".join(names), _EITHER)
    return _events(path, preset)


def read_held_out(path: Path) -> Interactions:
    """Read a file that names for each customer what was held out: two columns of ids, in any order of rows.

    The columns are those of a sequence file (`user_id`, `item_id`); every row counts as a purchase. Raises
    `InvalidValueError` where a column is missing or a cell is empty.
    """
    columns = held_out_columns(reader_for(path).column_names(path))
    table = _table(path, columns)
    customers = _ids(table, columns.session)
    kinds = np.full(len(customers), EventType.PURCHASE, np.uint8)
    return Interactions(customers, _ids(table, columns.product), kinds, None, Source.of(path), customers)


def _sequences(path: Path, names: SequenceColumns) -> Interactions:
    table = _table(path, names)
    sequences = Sequences(
        sessions=_ids(table, names.session),
        products=_ids(table, names.product),
        times=None if names.time is None else _times(table, names.time),
        positions=None if names.position is None else _numbers(table, names.position),
    )
    return interactions_of(sequences, Source.of(path))


def _table(path: Path, names: SequenceColumns) -> pa.Table:
    """Read the named columns; all rows must be readable, since a missing act would make another sequence of it."""
    wanted = [name for name in names if name is not None]
    parts = []
    for batch in read_batches(path, Wanted(tuple(wanted))):
        if batch.rejects:
            reject = batch.rejects[0]
            raise InvalidValueError(f"{path.name} row {reject.row}, {reject.field}", reject.value, reject.remedy)
        parts.append(pa.table({name: batch.columns[name] for name in wanted}))
    if not parts:
        raise NoDataError(f"{path} holds no rows")
    return pa.concat_tables(parts)


def _ids(table: pa.Table, name: str) -> NDArray[Any]:
    column = table[name].combine_chunks()
    if not pa.types.is_integer(column.type):
        column = text_of(column)
    if column.null_count:
        raise InvalidValueError(name, None, "fill the empty cells of ids")
    if pa.types.is_integer(column.type):
        return np.asarray(column)
    return np.array(column.to_pylist(), np.str_)


def _numbers(table: pa.Table, name: str) -> NDArray[np.float64]:
    numbers = numbers_of(table[name].combine_chunks())
    if not (numbers.present & ~numbers.bad).all():
        raise InvalidValueError(name, None, "each row needs one: a number, or a timestamp for times")
    return numbers.values


def _times(table: pa.Table, name: str) -> NDArray[np.int64]:
    column = table[name].combine_chunks()
    times, bad = times_of(column)
    if (times >= 0).all() and not bad.any():
        return times
    return epoch_microseconds(_numbers(table, name))


def _events(path: Path, preset: str | None) -> Interactions:
    table = pa.Table.from_batches(read_events([path], preset)).filter(pc.field("product_id").is_valid())
    if not table.num_rows:
        raise NoDataError(f"{path} holds no events on products that preset {preset or 'native'} can read")
    times = table["time"].to_numpy()
    return Interactions(
        sessions=_session_ids(table, times),
        products=table["product_id"].to_numpy(),
        event_types=table["event_type"].to_numpy(),
        times=times,
        source=Source.of(path),
        customers=table["customer_id"].to_numpy(),
        orders=pc.fill_null(table["order_id"], "").to_numpy(),
    )


def _session_ids(table: pa.Table, times: NDArray[np.int64]) -> NDArray[Any]:
    """Return what each row's session is called; rows of one session share one text."""
    customers, given = _codes(table["customer_id"]), _codes(table["session_id"])
    starts = _visit_starts(customers, times)
    keys = np.stack((customers, given, np.where(given < 0, starts, 0)))
    order = np.lexsort(keys)
    is_first = np.ones(len(order), bool)
    is_first[1:] = (keys[:, order[1:]] != keys[:, order[:-1]]).any(axis=0)
    firsts = order[is_first]
    named = table.select(["customer_id", "session_id"]).take(pa.array(firsts)).to_pylist()
    names = np.array(
        [_name(row["customer_id"], row["session_id"], start) for row, start in zip(named, starts[firsts], strict=True)],
        object,
    )
    sessions = np.empty(len(order), object)
    sessions[order] = names[np.cumsum(is_first) - 1]
    return sessions


def _name(customer_id: str, session_id: str | None, start: int) -> str:
    """Return a name that no other session has: slashes within the ids are escaped."""
    if session_id is None:
        return f"{_escaped(customer_id)}/visit/{format_time(int(start))}"
    return f"{_escaped(customer_id)}/{_escaped(session_id)}"


def _escaped(name: str) -> str:
    return name.replace("%", "%25").replace("/", "%2F")


def _visit_starts(customers: NDArray[np.int64], times: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return, for each row, when the customer's unbroken visit began."""
    order = np.lexsort((times, customers))
    ordered_customers, ordered_times = customers[order], times[order]
    begins = np.ones(len(order), bool)
    begins[1:] = (np.diff(ordered_customers) != 0) | (np.diff(ordered_times) > SESSION_GAP)
    starts = np.empty(len(order), np.int64)
    starts[order] = ordered_times[begins][np.cumsum(begins) - 1]
    return starts


def _codes(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return a number for each distinct value, -1 for null."""
    indices = column.combine_chunks().dictionary_encode().indices
    codes: NDArray[np.int64] = indices.fill_null(-1).to_numpy().astype(np.int64)
    return codes
