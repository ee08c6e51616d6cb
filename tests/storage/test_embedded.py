"""What only the embedded adapter promises: durability, forgetting keys, telling a full disk from the rest."""

from __future__ import annotations

import subprocess
import sys
import threading

import lmdb
import pytest
from tests.conftest import NOW

from active_customers.core.clock import DAY
from active_customers.core.errors import DiskFullError, StorageError
from active_customers.core.event import EventType
from active_customers.core.product import Product
from active_customers.storage.embedded import EmbeddedStore, StorageConfig
from active_customers.storage.embedded.environment import Environment


@pytest.fixture
def embedded(tmp_path):
    store = EmbeddedStore(tmp_path / "store", writer=True).open()
    yield store
    store.close()


def seen_days(store):
    return sorted(name for name in store._env.database_names() if name.startswith(b"seen-"))


def test_retry_keys_are_remembered_for_seven_days_and_then_dropped_whole(embedded, make_event):
    event = make_event("a", EventType.VIEW, "p")
    duplicates = [embedded.events.append([event], NOW + day * DAY)[0].is_duplicate for day in range(9)]
    assert duplicates == [False, *[True] * 7, False]
    assert seen_days(embedded) == [f"seen-2025-01-{day}".encode() for day in range(16, 24)]


def test_a_year_of_days_fits_into_one_store(embedded, make_event):
    for day in range(365):
        embedded.events.append([make_event("a", EventType.VIEW, "p")], NOW + day * DAY)
    assert len(seen_days(embedded)) == 8
    assert embedded.events.next_position() == 366


def test_a_retry_across_midnight_and_a_restart_is_still_a_duplicate(tmp_path, make_event):
    event = make_event("a", EventType.VIEW, "p")
    for day in range(3):
        store = EmbeddedStore(tmp_path / "store", writer=True).open()
        assert store.events.append([event], NOW + day * DAY)[0].is_duplicate == (day > 0)
        store.close()


def test_everything_is_there_after_a_restart(tmp_path, make_event):
    store = EmbeddedStore(tmp_path / "store", writer=True).open()
    store.events.append([make_event("a", EventType.CART_ADD, "p", details={"metadata": {"x": 1}})], NOW)
    store.catalog.put_products([Product("p", name="Pan", price=0.0)])
    before = store.events.read(1, 10), store.sessions.state("a").tolist(), store.catalog.product(0)
    store.close()
    again = EmbeddedStore(tmp_path / "store", writer=True).open()
    assert (again.events.read(1, 10), again.sessions.state("a").tolist(), again.catalog.product(0)) == before
    assert again.catalog.product(0).price == 0.0
    again.close()


def test_a_reader_sees_what_was_committed_and_makes_nothing(tmp_path, embedded, make_event):
    embedded.events.append([make_event("a", EventType.VIEW, "p")], NOW)
    code = (
        "import sys, pathlib; from active_customers.storage.embedded import EmbeddedStore\n"
        "store = EmbeddedStore(pathlib.Path(sys.argv[1])).open()\n"
        "print([entry.position for entry in store.events.read(1, 10)], store.sessions.state('b'))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "store")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[1] None\n"


def test_a_reader_of_nothing_is_told_so(tmp_path):
    with pytest.raises(StorageError, match="is --data-dir the right one"):
        EmbeddedStore(tmp_path / "nothing").open()
    assert list(tmp_path.iterdir()) == []


def test_a_reader_beside_the_living_writer_follows_it_and_cannot_write(tmp_path, embedded, make_event):
    reading = (
        "import sys, pathlib; from active_customers.storage.embedded import EmbeddedStore\n"
        "store = EmbeddedStore(pathlib.Path(sys.argv[1])).open()\n"
        "for _ in sys.stdin: print(store.events.next_position(), flush=True)\n"
        "try: store.catalog.number_products(['p'])\n"
        "except Exception as error: print(type(error).__name__)"
    )
    command = [sys.executable, "-c", reading, str(tmp_path / "store")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        for position in (2, 3):
            embedded.events.append([make_event("a", EventType.VIEW, "p")], NOW)
            reader.stdin.write("\n")
            reader.stdin.flush()
            assert reader.stdout.readline() == f"{position}\n"
        assert reader.communicate()[0] == "StorageError\n"
    assert embedded.catalog.n_products() == 1


def test_a_store_that_nobody_ever_wrote_to_is_told_apart(tmp_path):
    with lmdb.open(str(tmp_path / "store")):
        pass
    with pytest.raises(StorageError, match="has anything been stored"):
        EmbeddedStore(tmp_path / "store").open()


def fill(store, make):
    """Append events until a store of a megabyte takes no more; return how many it took."""
    store._env._env.set_mapsize(1 << 20)
    for accepted in range(100_000):
        try:
            store.events.append([make()], NOW)
        except DiskFullError:
            return accepted
    raise AssertionError("it is never full")


def test_a_full_store_says_so_keeps_what_it_has_and_goes_on_when_there_is_room(embedded, make_event):
    accepted = fill(embedded, lambda: make_event("a", EventType.VIEW, "p", details={"query": "x" * 2000}))
    with pytest.raises(DiskFullError, match=r"raise storage\.map_size_gb; nothing was stored"):
        embedded.events.append([make_event("a", EventType.VIEW, "p", details={"query": "x" * 8000})], NOW)
    assert [entry.position for entry in embedded.events.read(1, 10_000)] == list(range(1, accepted + 1))
    assert embedded.sessions.state("a") is not None
    embedded._env._env.set_mapsize(1 << 24)
    assert embedded.events.append([make_event("a", EventType.VIEW, "p")], NOW)[0].position == accepted + 1


def test_a_failed_batch_leaves_nothing_behind(embedded, make_event):
    good, bad = make_event("a", EventType.VIEW, "p"), make_event("b", EventType.VIEW, "q", quantity=2**40)
    with pytest.raises(Exception, match=r"argument out of range|format requires"):
        embedded.events.append([good, bad], NOW)
    assert embedded.events.read(1, 10) == []
    assert embedded.sessions.n_customers() == embedded.catalog.n_products() == 0
    assert not embedded.events.append([good], NOW)[0].is_duplicate


def test_a_day_that_begins_while_others_write_stops_nobody(tmp_path):
    """Opening a sub-database and ending a transaction may not wait for each other."""
    environment = Environment(tmp_path / "store", StorageConfig(), writer=True)
    environment.open()
    done = threading.Event()

    def write():
        while not done.is_set():
            with environment.writing() as txn:
                txn.put(b"key", b"value")

    def begin_days():
        for _ in range(20):
            for day in range(40):
                environment.database(b"day%d" % day)

    writers = [threading.Thread(target=write, daemon=True) for _ in range(2)]
    days = threading.Thread(target=begin_days, daemon=True)
    for thread in (*writers, days):
        thread.start()
    days.join(30)
    done.set()
    assert not days.is_alive()
    for thread in writers:
        thread.join(30)
    environment.close()
