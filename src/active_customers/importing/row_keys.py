"""The 16-byte keys by which an import knows a row again."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from active_customers.core.event import key_of_event_id
from active_customers.importing.values import buffers_of, present
from active_customers.kernels.row_key import finish_keys, start_keys, take_text, take_words

_TEXTS = ("customer_id", "product_id", "session_id", "details")
_SMALL = ("event_type", "context", "channel")
_NONE = np.uint64(0xFFFFFFFFFFFFFFFF)


def content_keys(preset: str, events: pa.RecordBatch) -> pa.FixedSizeBinaryArray:
    """Return keys of what the events say (`event_rows.SCHEMA`, the row number left out) and how they were read.

    Two events have one key when all of it is equal; these values are stored and never change.
    """
    lanes = np.empty((len(events), 2), np.uint64)
    start_keys(lanes)
    take_text(lanes, buffers_of(pa.repeat(preset, len(events))))
    for name in _TEXTS:
        take_text(lanes, buffers_of(events[name]))
    for name in _SMALL:
        take_words(lanes, _words(pc.fill_null(events[name], 255)))
    take_words(lanes, _words(events["time"]))
    take_words(lanes, _words(events["quantity"]))
    prices = pc.fill_null(events["price"], 0.0).to_numpy() + 0.0  # a price of -0.0 is 0.0
    take_words(lanes, np.where(present(events["price"]), prices.view(np.uint64), _NONE))
    finish_keys(lanes)
    buffer = pa.py_buffer(lanes.astype("<u8", copy=False))
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(events), [None, buffer])


def event_keys(preset: str, events: pa.RecordBatch) -> pa.FixedSizeBinaryArray:
    """Return the key of the `event_id` where a row has one (as the API makes it), else of its content."""
    keys = content_keys(preset, events)
    named = np.flatnonzero(present(events["event_id"]))
    if not len(named):
        return keys
    rows = np.frombuffer(keys.buffers()[1], "V16").copy()
    ids = events["event_id"].take(pa.array(named)).to_pylist()
    rows[named] = np.frombuffer(b"".join(map(key_of_event_id, ids)), "V16")
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(events), [None, pa.py_buffer(rows)])


def _words(array: pa.Array) -> NDArray[np.uint64]:
    words: NDArray[np.int64] = array.to_numpy(zero_copy_only=False).astype(np.int64)
    return words.view(np.uint64)
