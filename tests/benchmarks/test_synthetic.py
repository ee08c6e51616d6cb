"""Synthetic histories are what results call them."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
from benchmarks.synthetic import SyntheticHistory


def test_a_history_holds_what_it_says(tmp_path):
    """So many events, every product at least once, in order of time, sessions of the given length, all in the past."""
    history = SyntheticHistory(products=300, events=5_000)
    history.write(tmp_path / "history.parquet")
    table = pq.read_table(tmp_path / "history.parquet")
    times = table["timestamp"].to_numpy().astype(np.int64)
    assert table.num_rows == 5_000
    assert set(table["product_id"].to_pylist()) == set(range(300))
    assert (np.diff(times) >= 0).all()
    assert len(np.unique(table["customer_id"])) == 500
    assert table["timestamp"].to_pylist()[-1].timestamp() < (tmp_path / "history.parquet").stat().st_mtime


def test_popularity_falls_with_the_rank(tmp_path):
    """A tenth of the products has most of the events, as in shops."""
    SyntheticHistory(products=1_000, events=50_000).write(tmp_path / "history.parquet")
    counts = np.bincount(pq.read_table(tmp_path / "history.parquet")["product_id"].to_numpy())
    assert np.sort(counts)[-100:].sum() > 25_000
    assert counts[0] == counts.max()


def test_the_same_sizes_make_the_same_history(tmp_path):
    """Figures of two runs are of the same shop."""
    for name in ("a", "b"):
        SyntheticHistory(products=50, events=500).write(tmp_path / name)
    assert pq.read_table(tmp_path / "a").equals(pq.read_table(tmp_path / "b"))
