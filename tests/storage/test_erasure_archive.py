"""Erased customers on disk: whose rows are overwritten, and what stays as it was."""

from __future__ import annotations

import os

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.conftest import NOW

from active_customers.core.clock import DAY, ManualClock
from active_customers.core.erasure import ErasedCustomers, Erasure, blank_entry
from active_customers.core.errors import StorageError
from active_customers.core.event import EventType
from active_customers.storage.archive import Archive, part_name, table_of, write_part
from active_customers.storage.archive_erasure import overwrite, rows_of
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.embedded import EmbeddedStore
from active_customers.storage.staged import seal
from active_customers.storage.writer import DirectWriter


@pytest.fixture
def directory(tmp_path) -> DataDirectory:
    directory = DataDirectory(tmp_path / "data")
    directory.prepare()
    return directory


@pytest.fixture
def store(directory):
    store = EmbeddedStore(directory.store, writer=True).open()
    yield store
    store.close()


@pytest.fixture
def writer(directory, store) -> DirectWriter:
    return DirectWriter(directory, store, ManualClock(NOW))


def customers_on_disk(directory: DataDirectory) -> list[int]:
    """Return the customers of all rows in all files, replaced ones among them."""
    files = [pq.read_table(part.path, partitioning=None) for part in Archive(directory.archive).files()]
    return sorted(number for file in files for number in file["customer"].to_pylist())


NOBODY = 0xFFFFFFFF


def test_rows_and_mentions_are_overwritten_and_nothing_else(tmp_path, store, make_event):
    """The file covers the same positions, and other rows are what they were."""
    mention = {"other_customer_id": "a", "order_id": "o"}
    store.events.append([make_event("a", EventType.VIEW, "p"), make_event("b", EventType.VIEW, "q")], NOW)
    store.events.append([make_event("b", EventType.SEARCH, details=mention), make_event("b", EventType.SEARCH)], NOW)
    entries = store.events.read(1, 10)
    path = tmp_path / "part.parquet"
    write_part(table_of(entries), path)
    erased = ErasedCustomers.of([Erasure(5, NOW, 0, "digest of a", had_state=True)], "digest of {}".format)
    assert rows_of(path, erased.numbers) == 1
    assert overwrite(path, erased) == 2
    found = pq.read_table(path)
    assert found.slice(0, 1).equals(table_of([blank_entry(1, NOW)]))
    assert found.slice(1, 1).equals(table_of(entries[1:2]))
    assert found["details"].to_pylist() == [None, None, '{"order_id":"o"}', None]
    assert found.drop(["details"]).slice(2).equals(table_of(entries[2:]).drop(["details"]))
    assert rows_of(path, erased.numbers) == 0


def test_a_file_without_the_customer_is_not_written_again(tmp_path, store, make_event):
    """Compare the file itself: an erasure costs what it has to."""
    store.events.append([make_event("a", EventType.VIEW, "p")], NOW)
    path = tmp_path / "part.parquet"
    write_part(table_of(store.events.read(1, 10)), path)
    before = path.stat().st_ino
    assert overwrite(path, ErasedCustomers(np.array([5], np.uint32))) == 0
    assert path.stat().st_ino == before


def test_what_a_merge_replaced_is_overwritten_too(directory, store, writer, make_event):
    """Files that are kept for their readers hold nothing of the customer either."""
    for _ in range(2):
        store.events.append([make_event("a", EventType.VIEW, "p"), make_event("b", EventType.VIEW, "p")], NOW)
        writer.archive_log()
    Archive(directory.archive).compact(NOW + 2 * DAY)
    erasure = writer.erase("a")
    assert (erasure.log_entries, erasure.archive_rows, erasure.archive_done) == (0, 2, None)
    assert customers_on_disk(directory) == [0, 0, 0, 0, 1, 1, 1, 1]
    writer.finish_erasures()
    assert customers_on_disk(directory) == [1, 1, 1, 1, NOBODY, NOBODY, NOBODY, NOBODY]
    assert store.erasures.of("a").archive_done == NOW


def test_a_file_that_was_never_finished_goes(directory, store, writer, make_event):
    """A process that was killed while it wrote leaves rows of the customer in a temporary file."""
    store.events.append([make_event("a", EventType.VIEW, "p")], NOW)
    writer.archive_log()
    part = Archive(directory.archive).parts()[0].path
    left = part.with_name(f".{part.name}.99999.tmp")
    os.link(part, left)
    writer.erase("a")
    writer.finish_erasures()
    assert not left.exists()


@pytest.mark.parametrize("finished", [False, True])
def test_an_import_that_numbered_an_erased_customer_does_not_bring_them_back(
    directory, store, writer, make_event, finished
):
    """Neither state nor rows, whether the archive was overwritten before the import came or not."""
    erased, other = writer.number_customers(["a", "b"])
    events = [make_event(customer, EventType.VIEW, "p", NOW - DAY) for customer in "ab"]
    product = writer.number_products(["p"])[0]
    first = writer.reserve(2)
    entries = [
        type(blank_entry(1, 1))(first + i, NOW, (erased, other)[i], product, first + i, events[i]) for i in range(2)
    ]
    folder = directory.imports / "2025-01-15T120000Z-abcd"
    folder.mkdir(parents=True)
    write_part(table_of(entries), folder / part_name(first, first + 1))
    np.save(folder / "customers.npy", np.array([erased, other], np.uint32))
    np.save(folder / "starts.npy", np.arange(3))
    np.save(folder / "acts.npy", np.array([[1, product, NOW - DAY, 1, first + i, first + i] for i in range(2)]))
    np.save(folder / "keys.npy", np.empty((0, 16), np.uint8))
    seal(folder, NOW)
    writer.erase("a")
    if finished:
        writer.finish_erasures()
    writer.adopt(folder)
    assert store.sessions.state_of_number(erased) is None
    assert store.sessions.state("b") is not None
    assert customers_on_disk(directory) == [other, NOBODY]


def test_days_are_dropped_and_the_log_goes_on(directory, store, writer, make_event):
    """What is still in the log is moved first, so that nothing of a dropped day is archived once more."""
    for day in range(3):
        store.events.append([make_event("a", EventType.VIEW, "p")], NOW + day * DAY)
    assert writer.drop_days("2025-01-17") == 2
    assert sorted(path.name for path in directory.archive.iterdir()) == ["day=2025-01-17"]
    writer.archive_log()
    assert [part.first for part in Archive(directory.archive).parts()] == [3]
    assert writer.drop_days("2025-01-17") == 0


def test_a_damaged_file_keeps_only_those_erasures_open_that_it_may_hold_rows_of(directory, store, writer, make_event):
    """Whoever was erased before its first position is done; the others' rows go everywhere else, and then there."""
    for early, late in (("a", "b"), ("c", "d")):
        for customer in (early, late):
            store.events.append([make_event(customer, EventType.VIEW, "p")], NOW)
        writer.archive_log()
        assert writer.erase(early) is not None
    assert writer.erase("b") is not None
    _, damaged, *_ = (part.path for part in Archive(directory.archive).parts())
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StorageError, match=rf"{damaged}.*restore it from a backup"):
        writer.finish_erasures()
    done = {customer: store.erasures.of(customer).archive_done for customer in "abc"}
    assert done == {"a": NOW, "b": None, "c": None}
    damaged.write_bytes(whole)
    assert customers_on_disk(directory).count(NOBODY) == 2
    writer.finish_erasures()
    assert store.erasures.n_pending() == 0
    assert customers_on_disk(directory).count(NOBODY) == 3
