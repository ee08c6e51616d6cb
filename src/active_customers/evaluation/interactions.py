"""What an evaluation reads: who acted on what, in the ids of the file it came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import file_digest
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from active_customers.core.clock import MINUTE
from active_customers.core.errors import InvalidValueError
from active_customers.core.event import TASTE_TYPES

ACT_SPACING = 1_000
"""Microseconds between the acts of a session in data without times."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file that figures rest on."""

    name: str
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Self:
        """Read a file's name and hash."""
        with path.open("rb") as file:
            return cls(path.name, file_digest(file, "sha256").hexdigest())


@dataclass(frozen=True, slots=True)
class Interactions:
    """Rows of one file. Shapes: all [n]; ids are integers or strings, `times` int64 microseconds.

    Sessions of one id in several files are one session, so an id must mean the same everywhere (but see `joined`).

    Where `times` is None the order of the rows is the order of time: of the acts in a session, and of the sessions by
    their first row. `customers` and `orders` (strings, empty where there is no order) stand where the file names them.
    """

    sessions: NDArray[Any]
    products: NDArray[Any]
    event_types: NDArray[np.uint8]
    times: NDArray[np.int64] | None
    source: Source | None = None
    customers: NDArray[Any] | None = None
    orders: NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self.products)

    def of_taste(self) -> Interactions:
        """Return the rows that say "this customer is interested in this product": what sessions are made of."""
        return self.where(np.isin(self.event_types, TASTE_TYPES))

    def where(self, kept: NDArray[np.bool_]) -> Interactions:
        """Return the rows that `kept` [n] marks."""
        columns = (self.times, self.customers, self.orders)
        times, customers, orders = (None if column is None else column[kept] for column in columns)
        return Interactions(
            self.sessions[kept], self.products[kept], self.event_types[kept], times, self.source, customers, orders
        )


@dataclass(frozen=True, slots=True)
class SessionRows:
    """Rows of several files put together: `codes` number the sessions, whose ids are `session_ids[code]`.

    `customers` and `orders` are ids, where all files name them.
    """

    codes: NDArray[np.int64]
    session_ids: NDArray[Any]
    products: NDArray[Any]
    event_types: NDArray[np.uint8]
    times: NDArray[np.int64]
    customers: NDArray[Any] | None = None
    orders: NDArray[Any] | None = None

    def where(self, kept: NDArray[np.bool_] | NDArray[np.int64]) -> SessionRows:
        """Return the rows that `kept` marks [n], or names in their order, with the same codes."""
        customers, orders = (None if column is None else column[kept] for column in (self.customers, self.orders))
        return SessionRows(
            self.codes[kept],
            self.session_ids,
            self.products[kept],
            self.event_types[kept],
            self.times[kept],
            customers,
            orders,
        )

    def as_sessions(self, ids: NDArray[Any]) -> SessionRows:
        """Return the same rows in other sessions, named by `ids` [n]."""
        codes, session_ids = encoded([ids])
        return replace(self, codes=codes, session_ids=session_ids)

    def customer_of_sessions(self) -> NDArray[np.int64]:
        """Return a number for the customer of each session code, the session itself where no customers are known."""
        clusters = np.arange(len(self.session_ids))
        if self.customers is not None:
            clusters[self.codes] = encoded([self.customers])[0]
        return clusters


def joined(parts: Sequence[Interactions]) -> SessionRows:
    """Put files together, acts of taste only.

    With times, rows with one session id are one session wherever they stand. Without, each file has sessions of its own
    (such files often count them from 0), one after the other, and a session is taken to start every minute.
    """
    acts = [part.of_taste() for part in parts]
    timed = {part.times is not None for part in acts}
    if len(timed) > 1:
        raise InvalidValueError("train", [part.source for part in acts], "give files that all have times or none")
    columns = encoded([part.sessions for part in acts]) if timed == {True} else _without_times(acts)
    return SessionRows(
        *columns,
        products=same_kind([part.products for part in acts]),
        event_types=np.concatenate([part.event_types for part in acts]),
        times=_times(acts, columns[0]),
        customers=_where_all_have([part.customers for part in acts]),
        orders=_where_all_have([part.orders for part in acts]),
    )


def same_kind(ids: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Join arrays of ids: integers if all are, else strings."""
    if all(np.issubdtype(part.dtype, np.integer) for part in ids):
        return np.concatenate(ids)
    return np.concatenate([part.astype(np.str_) for part in ids])


def encoded(ids: Sequence[NDArray[Any]]) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return a code for each id of several arrays put together, and the id of each code."""
    if all(np.issubdtype(part.dtype, np.integer) for part in ids):
        session_ids, codes = np.unique(np.concatenate(ids), return_inverse=True)
        return codes, session_ids
    texts = [pa.array(part.astype(np.str_) if part.dtype.kind in "iu" else part, pa.string()) for part in ids]
    encoded = pa.concat_arrays(texts).dictionary_encode()  # ids by the million: much faster than sorting them
    return np.asarray(encoded.indices, np.int64), np.array(encoded.dictionary.to_pylist(), np.str_)


def _where_all_have(columns: Sequence[NDArray[Any] | None]) -> NDArray[Any] | None:
    given = [column for column in columns if column is not None]
    return same_kind(given) if len(given) == len(columns) else None


def _without_times(parts: Sequence[Interactions]) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return codes and ids of the sessions, in the order of the files and of their first rows."""
    codes, ids, count = [], [], 0
    for part in parts:
        session_ids, first_rows, inverse = np.unique(part.sessions, return_index=True, return_inverse=True)
        by_first_row = np.argsort(first_rows)
        rank = np.empty(len(by_first_row), np.int64)
        rank[by_first_row] = np.arange(len(by_first_row))
        codes.append(count + rank[inverse])
        ids.append(session_ids[by_first_row])
        count += len(session_ids)
    return np.concatenate(codes), same_kind(ids)


def _times(parts: Sequence[Interactions], codes: NDArray[np.int64]) -> NDArray[np.int64]:
    given = [part.times for part in parts if part.times is not None]
    if given:
        return np.concatenate(given)
    order = np.argsort(codes, kind="stable")
    places = np.empty(len(codes), np.int64)
    starts = np.concatenate(([0], np.cumsum(np.bincount(codes))))
    places[order] = np.arange(len(codes)) - starts[codes[order]]
    return codes * MINUTE + places * ACT_SPACING
