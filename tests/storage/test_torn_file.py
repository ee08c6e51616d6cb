"""A store's file that lacks its end is refused before anything is read of it."""

from __future__ import annotations

import os

import pytest

from active_customers.core.errors import StorageError
from active_customers.core.event import EventType
from active_customers.storage.embedded import EmbeddedStore
from active_customers.storage.embedded.torn_file import FILE, refuse_short


@pytest.fixture
def path(tmp_path, make_event):
    """The file of a closed store that holds events."""
    store = EmbeddedStore(tmp_path / "store", writer=True).open()
    store.events.append([make_event(f"c{i}", EventType.VIEW, f"p{i}") for i in range(200)], 0)
    store.close()
    return tmp_path / "store" / FILE


@pytest.mark.parametrize("writer", [True, False])
@pytest.mark.parametrize("size", [0, 9_000, 40_000, -1])
def test_a_file_cut_anywhere_is_refused_with_the_remedy_by_readers_and_writers(path, size, writer):
    """Reading beyond its end would end the process without a word; an empty one would be taken for a new one."""
    os.truncate(path, size if size >= 0 else path.stat().st_size - 4096)
    with pytest.raises(StorageError, match=rf"{path} .*: restore the data directory from a backup"):
        EmbeddedStore(path.parent, writer=writer).open()


def test_a_file_that_only_lacks_pages_which_are_free_is_taken(path):
    """LMDB may have counted pages that it never had to write."""
    refuse_short(path.parent, path.stat().st_size + 4096)
