"""Acts of many customers with their sessions assigned, written as the arrays of a staged import."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.session import (
    ACT_POSITION,
    ACT_PRODUCT,
    ACT_QUANTITY,
    ACT_SESSION,
    ACT_TIME,
    ACT_TYPE,
    MAX_WORDS,
    State,
    empty_state,
    given_session,
)
from active_customers.kernels.session_state import fold_run
from active_customers.storage.durable import writing

StateOf = Callable[[int], State | None]
"""Gives the state of a customer by number, or None when there is none yet."""

PLACED = np.dtype([("session", np.uint64), ("customer", np.uint32), ("product", np.uint32)])
"""What the archive's rows are still without, by place."""

_CUSTOMERS_PER_FOLD = 1_000
"""Bounds the states worked on at a time to some 24 MB."""


class ActsWriter:
    """Folds the acts of an import, customer by customer, on top of their states so far, and writes what comes out.

    Only the sessions that the fold assigns are kept: the states themselves change when the import is adopted.
    """

    def __init__(self, folder: Path, n_acts: int, first_position: int, state_of: StateOf) -> None:
        self._acts = _mapped(folder / "acts.npy", np.dtype(np.int64), (n_acts, 6))
        self.placed = _mapped(folder / "placed.npy", PLACED, (n_acts,))
        self._folder = folder
        self._first_position = first_position
        self._state_of = state_of
        self._written = 0
        self._customers: list[NDArray[np.uint32]] = []
        self._starts: list[NDArray[np.int64]] = []
        self._last_customer = -1
        self._last_state = self._nothing = empty_state()
        self._out = np.empty(MAX_WORDS * _CUSTOMERS_PER_FOLD, np.int64)

    def add(self, batch: pa.RecordBatch) -> None:
        """Take the next acts (see `Staging.acts`); a customer's may go on in the next batch."""
        customers = np.asarray(batch["customer"]).astype(np.int64)
        places = np.asarray(batch["place"])
        acts = np.empty((len(customers), 6), np.int64)
        acts[:, ACT_TYPE] = np.asarray(batch["event_type"])
        acts[:, ACT_PRODUCT] = np.asarray(pc.fill_null(batch["product"], NO_NUMBER))
        acts[:, ACT_TIME] = np.asarray(batch["time"])
        acts[:, ACT_QUANTITY] = np.asarray(batch["quantity"])
        acts[:, ACT_SESSION] = given_sessions(customers, batch["session_id"])
        acts[:, ACT_POSITION] = places + self._first_position
        starts = np.flatnonzero(np.diff(customers, prepend=-1))
        self._fold(customers[starts], np.append(starts, len(acts)), acts)
        self._note_starts(customers, starts)
        self._acts[self._written : self._written + len(acts)] = acts
        placed = np.empty(len(acts), PLACED)
        placed["session"], placed["customer"], placed["product"] = acts[:, ACT_SESSION], customers, acts[:, ACT_PRODUCT]
        self.placed[places] = placed
        self._written += len(acts)

    def _fold(self, customers: NDArray[np.int64], starts: NDArray[np.int64], acts: NDArray[np.int64]) -> None:
        """Assign the sessions of acts grouped by customer."""
        for first in range(0, len(customers), _CUSTOMERS_PER_FOLD):
            some = customers[first : first + _CUSTOMERS_PER_FOLD].tolist()
            bounds = starts[first : first + len(some) + 1]
            states = [self._state(customer) for customer in some]
            offsets = np.cumsum([0, *map(len, states)])
            run = acts[bounds[0] : bounds[-1]]
            fold_run(bounds - bounds[0], (np.concatenate(states), offsets), run, self._out)
            self._last_customer = some[-1]
            self._last_state = self._out[offsets[-2] : offsets[-1]].copy()

    def _state(self, customer: int) -> State:
        if customer == self._last_customer:
            return self._last_state
        state = self._state_of(customer)
        return self._nothing if state is None else state

    def _note_starts(self, customers: NDArray[np.int64], starts: NDArray[np.int64]) -> None:
        if self._customers and len(starts) and customers[0] == self._customers[-1][-1]:
            starts = starts[1:]
        if len(starts):
            self._customers.append(customers[starts].astype(np.uint32))
            self._starts.append(starts + self._written)

    def close(self) -> None:
        """Write the customers and where their acts start; the arrays are complete afterwards."""
        with writing(self._folder):
            np.save(self._folder / "customers.npy", np.concatenate(self._customers))
            np.save(self._folder / "starts.npy", np.append(np.concatenate(self._starts), self._written))
            self._acts.flush()

    def discard_placed(self) -> None:
        """Remove what only the writing of the archive's parts needed."""
        del self.placed
        (self._folder / "placed.npy").unlink()


def _mapped(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.memmap[Any, Any]:
    """Make an array file, mapped for writing, with all its disk space: a full disk is an error here, no crash later."""
    with writing(path):
        array: np.memmap[Any, Any] = np.lib.format.open_memmap(path, "w+", dtype, shape)
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        return array


def given_sessions(customers: NDArray[np.int64], session_ids: pa.StringArray) -> NDArray[np.int64]:
    """Return the session numbers of ids that the shop gave, 0 where it gave none; runs of one id are computed once."""
    encoded = session_ids.dictionary_encode()
    codes = np.asarray(pc.fill_null(encoded.indices, -1)).astype(np.int64)
    changes = np.diff(codes, prepend=-2) != 0
    changes |= np.diff(customers, prepend=-1) != 0
    starts = np.flatnonzero(changes)
    ids = [*encoded.dictionary.to_pylist(), None]
    numbers = [
        0 if code < 0 else given_session(customer, ids[code])
        for customer, code in zip(customers[starts].tolist(), codes[starts].tolist(), strict=True)
    ]
    return np.repeat(np.array(numbers, np.int64), np.diff(starts, append=len(codes)))
