"""What a live index must be equal to: one that is made in one go of all that archive and log hold."""

from __future__ import annotations

from itertools import pairwise, zip_longest

import numpy as np
import pyarrow.parquet as pq

from active_customers.core.identifiers import NO_NUMBER
from active_customers.kernels.live_contents import Contents
from active_customers.realtime.live_index import LiveIndex
from active_customers.storage.archive import Archive
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.embedded import EmbeddedStore

COLUMNS = ("position", "session", "customer", "product", "event_type", "time")


def rebuilt(directory: DataDirectory, store: EmbeddedStore, index: LiveIndex) -> LiveIndex:
    """Open an index in an empty folder and teach it everything, in order of position."""
    parts = Archive(directory.archive).parts()
    tables = [*(pq.read_table(part.path, partitioning=None) for part in parts), store.events.read_table(1, 10**6)]
    rows = {row["position"]: row for table in tables for row in table.to_pylist()}
    ordered = [[rows[position][name] for name in COLUMNS] for position in sorted(rows)]
    cells = np.array([[NO_NUMBER if cell is None else cell for cell in row] for row in ordered], np.int64)
    index.open()
    index.learn(dict(zip(COLUMNS, cells.reshape(-1, len(COLUMNS)).T, strict=True)))
    return index


def assert_same_sessions(index: LiveIndex, other: LiveIndex) -> None:
    """Check that both hold the same sessions and the same lists of them for each product, the files' size aside."""
    ours, theirs = (index.contents(), other.contents())
    for name in ("sessions", "customers", "positions", "offsets", "products", "times", "postings"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    np.testing.assert_array_equal(*(_of_products(each.posting_offsets) for each in (ours, theirs)))


def assert_newest_sessions(index: LiveIndex, other: LiveIndex) -> None:
    """Check that one holds the newest of the other's sessions, and in each of them nothing that the other has not."""
    ours, theirs = (index.contents(), other.contents())
    n_missed = len(theirs.sessions) - len(ours.sessions)
    assert n_missed >= 0
    for name in ("sessions", "customers", "positions"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name)[n_missed:])
    known = _products_of_sessions(theirs)
    for session, products in _products_of_sessions(ours).items():
        assert products <= known[session]
    for product, sessions in enumerate(_lists(ours)):
        assert all(product in known[session] for session in sessions)


def assert_newest_of_lists(index: LiveIndex, other: LiveIndex) -> None:
    """Check that both hold the same sessions, and that one finds the newest of those that the other finds."""
    ours, theirs = (index.contents(), other.contents())
    for name in ("sessions", "customers", "positions", "offsets", "products", "times"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    for ours_found, theirs_found in zip_longest(_lists(ours), _lists(theirs), fillvalue=[]):
        assert ours_found == theirs_found[max(len(theirs_found) - len(ours_found), 0) :]


def assert_same_counts(index: LiveIndex, other: LiveIndex) -> None:
    """Check that both counted the same, to the last bit."""
    for name in ("totals", "popular", "recent", "longer"):
        ours, theirs = (getattr(each._writer.counts, name) for each in (index, other))
        np.testing.assert_array_equal(np.trim_zeros(ours, "b"), np.trim_zeros(theirs, "b"))


def _products_of_sessions(contents: Contents) -> dict[int, set[int]]:
    """Return session -> the products in it."""
    pieces = (contents.products[start:end] for start, end in pairwise(contents.offsets.tolist()))
    return {
        session: set(piece.tolist()) - {NO_NUMBER}
        for session, piece in zip(contents.sessions.tolist(), pieces, strict=True)
    }


def _lists(contents: Contents) -> list[list[int]]:
    """Return for each product the sessions that are found by it, those that took it up first at the front."""
    bounds = pairwise(contents.posting_offsets.tolist())
    return [contents.sessions[contents.postings[start:end]].tolist() for start, end in bounds]


def _of_products(offsets: np.ndarray) -> np.ndarray:
    """Return the lengths of the lists, without those of products that the files have room for."""
    return np.trim_zeros(np.diff(offsets), "b")
