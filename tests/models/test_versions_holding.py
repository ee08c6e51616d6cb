"""Which published versions hold a customer, while a refresh may prune them."""

from __future__ import annotations

import shutil

import numpy as np

from active_customers.models.hybrid_model import CUSTOMERS
from active_customers.models.trained import SESSIONS, versions_holding


class PruningOnce(list[int]):
    """Customers who are looked for while the versions in some folders are pruned."""

    def __init__(self, customers, *folders):
        super().__init__(customers)
        self.folders = folders

    def __array__(self, dtype=None, copy=None):
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)
        return np.array(list(self), dtype)


def publish(folder, customers):
    folder.mkdir()
    np.save(folder / f"{SESSIONS}.{CUSTOMERS}.npy", np.array(customers, np.uint32))


def test_versions_are_told_that_hold_any_of_the_numbers(tmp_path):
    publish(tmp_path / "v1", [1, 2])
    publish(tmp_path / "v2", [3])
    assert versions_holding(tmp_path, [2, 5]) == ["v1"]
    assert versions_holding(tmp_path, [5]) == []


def test_a_version_that_is_pruned_meanwhile_is_passed_over(tmp_path):
    for name in ("v1", "v2", "v3"):
        publish(tmp_path / name, [7])
    pruned = PruningOnce([7], tmp_path / "v1", tmp_path / "v2", tmp_path / "v3")
    assert len(versions_holding(tmp_path, pruned)) == 1
