"""Published models as answers may use them: without the sessions of customers who are not to be learned from by now."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from active_customers.models.artifacts import ArtifactStore, Manifest
from active_customers.models.base import Arrays
from active_customers.models.hybrid_model import CUSTOMERS, passing_over
from active_customers.storage.base import Unlearned

SESSIONS = "hybrid"
"""The model that holds what single customers did; the others hold sums that name nobody."""

FEATURES = "customers"
"""The table that has a row for every customer."""


class TrainedModels:
    """The versions of an `ArtifactStore`, filtered when loaded. The version loaded last stays mapped."""

    def __init__(self, artifacts: ArtifactStore, unlearned: Unlearned) -> None:
        self._artifacts = artifacts
        self._unlearned = unlearned
        self._loaded: tuple[Manifest, dict[str, dict[str, np.ndarray[Any, Any]]]] | None = None

    def current(self) -> str | None:
        """Return the version that is in force, or None when nothing was published."""
        return self._artifacts.current()

    def versions(self) -> list[str]:
        """Return the published versions, oldest first."""
        return self._artifacts.versions()

    def n_erased(self) -> int:
        """Return a number that changes when a version loaded before is to be loaded again."""
        return self._unlearned.count()

    def load(self, version: str) -> tuple[Manifest, dict[str, Arrays]]:
        """Map a version's arrays, read-only; raises as `ArtifactStore.load` does, `KeyError` without `SESSIONS`."""
        if self._loaded is None or self._loaded[0].version != version:
            self._loaded = self._artifacts.load(version)
        return without_erased(self._loaded, self._unlearned.customers())


def without_erased(
    loaded: tuple[Manifest, Mapping[str, Arrays]], erased: NDArray[np.uint32]
) -> tuple[Manifest, dict[str, Arrays]]:
    """Return a loaded version in which erased customers have no vote; raises `KeyError` without `SESSIONS`."""
    manifest, models = loaded
    return manifest, {**models, SESSIONS: passing_over(models[SESSIONS], erased)}


def versions_holding(models: Path, customers: Sequence[int]) -> list[str]:
    """Return the published versions that hold sessions or features of a customer (all their numbers), oldest first."""
    arrays, tables = models.glob(f"v*/{SESSIONS}.{CUSTOMERS}.npy"), models.glob(f"v*/{FEATURES}.parquet")
    asked = [("customer", "in", list(customers))]

    def in_array(path: Path) -> bool:
        return bool(np.isin(np.load(path, mmap_mode="r", allow_pickle=False), customers).any())

    def in_table(path: Path) -> bool:
        return len(pq.read_table(path, columns=["customer"], filters=asked)) > 0

    looks = [(path, in_array) for path in arrays] + [(path, in_table) for path in tables]
    return sorted({path.parent.name for path, holds in looks if _while_there(path, holds)})


def _while_there(path: Path, holds: Callable[[Path], bool]) -> bool:
    """Tell what a look at a file says; a version that a refresh prunes meanwhile holds nothing."""
    try:
        return holds(path)
    except FileNotFoundError:
        return False
