"""What every model is: something that is fitted to sessions and proposes products."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from active_customers.core.session import SessionQuery
from active_customers.models.product_features import ProductFeatures

Arrays = Mapping[str, NDArray[Any]]

NO_PRODUCTS: NDArray[np.uint32] = np.empty(0, np.uint32)
"""Nothing excluded."""


@dataclass(frozen=True, slots=True)
class SessionLog:
    """The history that models learn from: acts of taste, grouped into sessions.

    Sessions are ordered by the time of their last act, acts within a session by time. Shapes: `offsets` int64[s + 1],
    `products` uint32[n], `event_types` uint8[n], `times` int64[n] (microseconds), `customers` uint32[s]. Session `j` is
    rows `offsets[j]:offsets[j + 1]`. Product numbers lie in 0..n_products-1. `as_of` is the time the log was read at;
    decay counts from min(as_of, newest act), so that an old history is as alive as it was. `features` says what the
    catalogue knows of each of the `n_products`, where there is one. `channels` uint8[n] holds each act's channel + 1, 0
    where none was named; None where channels are not known.
    """

    offsets: NDArray[np.int64]
    products: NDArray[np.uint32]
    event_types: NDArray[np.uint8]
    times: NDArray[np.int64]
    customers: NDArray[np.uint32]
    n_products: int
    as_of: int
    features: ProductFeatures | None = None
    channels: NDArray[np.uint8] | None = None

    @property
    def n_sessions(self) -> int:
        """How many sessions there are."""
        return len(self.offsets) - 1

    @property
    def reference_time(self) -> int:
        """The time that decay counts from: min(as_of, newest act); `as_of` when the log is empty."""
        return min(self.as_of, int(self.times.max())) if len(self.times) else self.as_of

    def first(self, n: int) -> Self:
        """Return the first `n` sessions, as they were known at the end of the last of them."""
        end = self.offsets[n]
        return type(self)(
            offsets=self.offsets[: n + 1],
            products=self.products[:end],
            event_types=self.event_types[:end],
            times=self.times[:end],
            customers=self.customers[:n],
            n_products=self.n_products,
            as_of=int(self.times[:end].max()) if end else self.as_of,
            features=self.features,
            channels=None if self.channels is None else self.channels[:end],
        )

    def where(self, acts: NDArray[np.bool_]) -> Self:
        """Return the log with these acts alone; sessions that have none left are gone."""
        sessions = np.repeat(np.arange(self.n_sessions), np.diff(self.offsets))[acts]
        columns: dict[str, NDArray[Any]] = {
            "session": sessions,
            "product": self.products[acts],
            "event_type": self.event_types[acts],
            "time": self.times[acts],
            "customer": self.customers[sessions],
        }
        if self.channels is not None:
            columns["channel"] = self.channels[acts]
        return replace(type(self).from_rows(columns, self.n_products, self.as_of), features=self.features)

    @classmethod
    def from_rows(
        cls,
        columns: Mapping[str, NDArray[np.generic]],
        n_products: int,
        as_of: int,
    ) -> Self:
        """Group rows into sessions.

        `columns` holds `session` (any integer), `product`, `event_type`, `time`, `customer`, all of one length, in the
        order that breaks ties of time (log position, or file order); and, where they are known, `channel` + 1.
        """
        session = columns["session"]
        time = columns["time"].astype(np.int64)
        _, inverse = np.unique(session, return_inverse=True)
        n_sessions = int(inverse.max()) + 1 if len(inverse) else 0
        ends = np.full(n_sessions, np.iinfo(np.int64).min)
        np.maximum.at(ends, inverse, time)
        last_row = np.zeros(n_sessions, np.int64)
        np.maximum.at(last_row, inverse, np.arange(len(inverse)))
        rank = np.empty(n_sessions, np.int64)
        rank[np.lexsort((last_row, ends))] = np.arange(n_sessions)
        session_rank = rank[inverse]
        order = np.lexsort((np.arange(len(time)), time, session_rank))
        offsets = np.concatenate(([0], np.cumsum(np.bincount(session_rank, minlength=n_sessions)))).astype(np.int64)
        return cls(
            offsets=offsets,
            products=columns["product"][order].astype(np.uint32),
            event_types=columns["event_type"][order].astype(np.uint8),
            times=time[order],
            customers=columns["customer"][order][offsets[:-1]].astype(np.uint32),
            n_products=n_products,
            as_of=as_of,
            channels=columns["channel"][order].astype(np.uint8) if "channel" in columns else None,
        )


class Candidates(NamedTuple):
    """Products that one source proposes, best first.

    Shapes: products uint32[n], scores float32[n], evidence uint32[n] (the product of the query that brought each
    candidate in, or `NO_NUMBER` where none did).
    """

    products: NDArray[np.uint32]
    scores: NDArray[np.float32]
    evidence: NDArray[np.uint32]


class Model(Protocol):
    """A trained model: `fit` once, then read-only. One that was never fitted proposes nothing.

    After `fit` (or `from_arrays`) a model holds arrays only: it can be stored as `.npy` files and mapped by many
    processes. Reading never writes: `candidates`, `score` and `why` change nothing that alters a later result; scratch
    memory belongs to a workspace that each thread makes for itself.
    """

    def fit(self, log: SessionLog) -> None:
        """Learn from the log; an empty log gives a model without candidates."""
        ...

    def candidates(self, session: SessionQuery, n: int, excluded: NDArray[np.uint32] = NO_PRODUCTS) -> Candidates:
        """Return at most `n` products, best first, none of them in `excluded` (in any order).

        Products of the session itself may be among them unless they are excluded.
        """
        ...

    def score(self, session: SessionQuery, products: NDArray[np.uint32]) -> NDArray[np.float32]:
        """Return a score for each given product; 0 where the model has no opinion."""
        ...

    def why(self, session: SessionQuery, product: int) -> int:
        """Return the product of the session that speaks most for this one, or `NO_NUMBER`."""
        ...

    def arrays(self) -> Arrays:
        """Return everything learned, by name."""
        ...

    @classmethod
    def from_arrays(cls, arrays: Arrays, config: Mapping[str, object]) -> Self:
        """Make the model again from what `arrays` returned and its configuration."""
        ...
