"""Histories made of nothing: as many products and events as a measurement needs, within seconds."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

_DAY = 86_400_000_000
_KINDS = np.array(["view", "click", "cart_add", "purchase"])
_SHARES = [0.8, 0.1, 0.07, 0.03]


@dataclass(frozen=True, slots=True)
class SyntheticHistory:
    """Sessions over aisles of products; a session keeps to its aisle, mostly, so that co-visits have a shape.

    Popularity falls with the rank (Zipf), of aisles and of products within them; every product is there at least once.
    It ends yesterday, so that the shop is alive, and is otherwise the same for the same sizes.
    """

    products: int
    events: int
    session_acts: int = 5
    aisle: int = 50
    """Products in an aisle."""
    strays: float = 0.1
    """Share of the acts that are in another aisle than their session."""
    days: int = 30

    @property
    def name(self) -> str:
        """Return what results call it."""
        return f"synthetic, {self.products:,} products, {self.events:,} events"

    def write(self, path: Path) -> None:
        """Write it as Parquet in native columns, ordered by time; product ids are 0 to products - 1."""
        rng = np.random.default_rng(1)
        sessions = np.arange(self.events) // self.session_acts
        products = self._products(rng, sessions)
        times = self._times(rng, sessions)
        order = np.argsort(times, kind="stable")
        kinds = pa.DictionaryArray.from_arrays(
            rng.choice(len(_KINDS), self.events, p=_SHARES).astype(np.int8), pa.array(_KINDS)
        )
        columns = {
            "customer_id": sessions[order] // 2,
            "event_type": kinds,
            "product_id": products[order],
            "timestamp": pa.array(times[order], pa.timestamp("us", tz="UTC")),
        }
        pq.write_table(pa.table(columns), path)

    def _products(self, rng: np.random.Generator, sessions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return a product for each act."""
        n_aisles = max(self.products // self.aisle, 1)
        of_session = _ranks(rng, n_aisles, int(sessions[-1]) + 1)
        strays = rng.random(self.events) < self.strays
        aisles = np.where(strays, _ranks(rng, n_aisles, self.events), of_session[sessions])
        products = (aisles * self.aisle + _ranks(rng, self.aisle, self.events)) % self.products
        products[rng.choice(self.events, self.products, replace=False)] = rng.permutation(self.products)
        return products

    def _times(self, rng: np.random.Generator, sessions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return a time for each act, in microseconds: a minute between the acts of a session."""
        end = int(time.time()) // 86_400 * _DAY - _DAY
        starts = end - rng.integers(0, self.days * _DAY, int(sessions[-1]) + 1)
        within: NDArray[np.int64] = np.arange(self.events) % self.session_acts * 60_000_000
        return starts[sessions] + within


def _ranks(rng: np.random.Generator, n: int, size: int) -> NDArray[np.int64]:
    """Return ranks in 0..n-1, rank r about as often as 1 / (r + 1)."""
    ranks: NDArray[np.int64] = np.exp(rng.random(size) * np.log(n + 1)).astype(np.int64) - 1
    return ranks
