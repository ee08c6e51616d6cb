"""Files as evaluation reads them: sequence files, or events by any preset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from active_customers.core.errors import NoDataError
from active_customers.core.session import SESSION_GAP
from active_customers.evaluation.interactions import Interactions, Source
from active_customers.evaluation.sequences import is_sequence_table, read_sequences
from active_customers.importing.event_files import read_events
from active_customers.importing.readers import reader_for


def read_interactions(path: Path, preset: str | None = None) -> Interactions:
    """Read one file: a sequence file when no preset is named and the columns are those of one, else events.

    Events keep the sessions they came with; where they have none, a pause of 30 minutes of a customer ends one.
    """
    if preset is None and is_sequence_table(reader_for(path).column_names(path)):
        return read_sequences(path)
    table = pa.Table.from_batches(read_events([path], preset)).filter(pc.field("product_id").is_valid())
    if not table.num_rows:
        raise NoDataError(f"{path} holds no events on products that preset {preset or 'native'} can read")
    times = table["time"].to_numpy()
    return Interactions(
        sessions=_sessions(table, times),
        products=table["product_id"].to_numpy(),
        event_types=table["event_type"].to_numpy(),
        times=times,
        source=Source.of(path),
    )


def _sessions(table: pa.Table, times: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return a session number for each row: one per customer and given id, or per customer and unbroken visit."""
    customers = _codes(table["customer_id"])
    order = np.lexsort((times, customers))
    ordered_customers, ordered_times = customers[order], times[order]
    begins = np.ones(len(order), bool)
    begins[1:] = (np.diff(ordered_customers) != 0) | (np.diff(ordered_times) > SESSION_GAP)
    visits = np.empty(len(order), np.int64)
    visits[order] = np.cumsum(begins)
    given = _codes(table["session_id"])
    has_id = given >= 0
    named = customers * (int(given.max(initial=0)) + 1) + given
    return np.where(has_id, -1 - named, visits)


def _codes(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return a number for each distinct value, -1 for null."""
    indices = column.combine_chunks().dictionary_encode().indices
    codes: NDArray[np.int64] = indices.fill_null(-1).to_numpy().astype(np.int64)
    return codes
