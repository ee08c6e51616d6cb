"""The skew check: what serving reads of products, beside what their definitions give for the same moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from active_customers.batch.feature_engineering import PRODUCTS
from active_customers.models.artifacts import ArtifactStore
from active_customers.models.base import SessionLog
from active_customers.models.product_facts import FACTS

SAMPLED_SESSIONS = 1_000
"""Sessions of the log whose products are compared, at most: those that requests ask about, as often as they do."""

TOLERANCE = 1e-5
"""Differences up to this share of a value, or up to this where it is below 1, are rounding."""


@dataclass(frozen=True, slots=True)
class Skew:
    """What came of comparing `values`: the share that differs, and the largest difference by the fact it is in."""

    values: int
    share: float
    largest: dict[str, float]
    """Only facts that differ."""

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)

    def line(self) -> str:
        """Return it for people."""
        if not self.largest:
            return f"{self.values:,} values are what their definitions give"
        worst = ", ".join(f"{name} by up to {size:.3g}" for name, size in self.largest.items())
        return f"{self.share:.2%} of {self.values:,} values differ from what their definitions give: {worst}"


def skew_of_version(artifacts: ArtifactStore, version: str, log: SessionLog) -> Skew:
    """Compare what serving maps of a version with its table of products, for sampled sessions of the log.

    The one was computed over the log in memory, the other over the archive. Raises as `ArtifactStore.load` does.
    """
    _, arrays = artifacts.load(version)
    table = pq.read_table(artifacts.table(version, PRODUCTS), columns=list(FACTS))
    return compare(arrays["hybrid"]["facts"], {name: table[name].to_numpy() for name in FACTS}, sampled_products(log))


def sampled_products(log: SessionLog) -> NDArray[np.uint32]:
    """Return the products of sessions from all over the log, as often as they occur."""
    sessions = np.unique(np.linspace(0, log.n_sessions - 1, SAMPLED_SESSIONS).astype(np.int64))
    chosen = np.zeros(log.n_sessions, np.bool_)
    chosen[sessions] = True
    return log.products[np.repeat(chosen, np.diff(log.offsets))]


def compare(mapped: NDArray[np.float32], defined: Mapping[str, NDArray[Any]], products: NDArray[np.uint32]) -> Skew:
    """Compare the rows of some products.

    `mapped` float32[n, len(FACTS)] is what serving reads; `defined` are columns by name, a row for each product number.
    """
    differs, largest = 0, {}
    for place, name in enumerate(FACTS):
        read, given = mapped[products, place], defined[name][products].astype(np.float32)
        off = np.abs(read - given)
        wrong = ~(off <= TOLERANCE * np.maximum(np.abs(given), 1))  # so that NaN is wrong, too
        if wrong.any():
            differs += int(wrong.sum())
            largest[name] = float(off[wrong].max())
    values = len(products) * len(FACTS)
    return Skew(values, differs / max(values, 1), largest)
