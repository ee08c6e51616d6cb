"""Commands that write beside a running service get what they would have got alone."""

from __future__ import annotations

import asyncio
import os
import socket
import threading

import numpy as np
import pytest
from tests.conftest import NOW
from tests.serving.conftest import running

from active_customers.core.errors import StorageError, StoreLockedError
from active_customers.core.event import EventType
from active_customers.core.product import Product, ProductChange
from active_customers.importing.events import EventStore, import_events
from active_customers.importing.request import ImportConfig, ImportRequest
from active_customers.serving.writer_socket import RemoteWriter, WriterServer, open_for_writing, wait_until_free
from active_customers.storage.archive import Archive
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.embedded import EmbeddedStore, StorageConfig
from active_customers.storage.writer import DirectWriter

PRODUCTS = [
    Product("p", name="Pfanne „groß“", price=9.5, currency="EUR", category="a > b", released=NOW),
    Product("q", replenishable=True, price=0.0),
    Product("p", name="Pan"),
    Product("r", price=5.0, sale_price=4.0, stock=3, tags=("new",), attributes={"colour": "rot", "sizes": ["S"]}),
]
CHANGES = [
    ProductChange("p", {"name": "Pot", "tags": ["x"]}),
    ProductChange("q", {"price": 2.5, "sale_price": 1.5}, merge=True),
    ProductChange("q", {"sale_price": 3.5}, merge=True),
    ProductChange("nobody", {"stock": 1}, merge=True),
    ProductChange("r", None),
    ProductChange("s", {}),
]


def use(writer, store, directory) -> dict[str, object]:
    """Make every call that commands make; return all that can be seen of it."""
    answers = [
        writer.number_products(["p", "q", "p", "ü" * 128]),
        writer.number_customers(["a", "b"]),
        writer.number_customers([]),
        writer.put_products(PRODUCTS),
        writer.change_products(CHANGES),
        writer.reserve(5),
        writer.reserve(1),
        writer.archive_log(),
        writer.passed_over().tolist(),
        writer.joined().tolist(),
        [writer.acquit(customer) for customer in ("robot", "robot", "nobody")],
    ]
    assert answers[-3:] == [[1], [[2, 0]], [True, False, False]]
    return {
        "answers": answers,
        "products": list(store.catalog.products()),
        "customers": store.sessions.n_customers(),
        "log": store.events.read(1, 10),
        "archive": Archive(directory.archive).columns(["position"])["position"].tolist(),
    }


def test_every_call_does_through_the_socket_what_it_does_directly(directory, clock, make_event, tmp_path):
    details = {"metadata": {"user_agent": "Googlebot"}}
    events = [
        make_event("z", EventType.VIEW, "r"),
        make_event("robot", EventType.VIEW, "r", details=details),
        make_event("z", EventType.LOGIN, details={"other_customer_id": "cookie"}),
    ]
    alone = DataDirectory(tmp_path / "alone")
    alone.prepare()
    store = EmbeddedStore(alone.store, writer=True).open()
    store.events.append(events, NOW)
    directly = use(DirectWriter(alone, store), store, alone)
    store.close()

    async def run():
        async with running(directory, clock, poll_seconds=60) as services:
            await services.parts.committer.append(events)
            remote = await asyncio.to_thread(RemoteWriter.connect, directory.socket)
            found = await asyncio.to_thread(use, remote, services.store, directory)
            remote.close()
            return found

    assert asyncio.run(run()) == directly


def test_replies_are_as_long_as_they_are_and_a_request_beyond_its_limit_is_named(tmp_path):
    """Ten million logins take 107 MB."""
    joined = np.arange(20_000_000, dtype=np.uint32).reshape(-1, 2)

    class ManyLogins(DirectWriter):
        def __init__(self):
            pass

        def joined(self):
            return joined

    async def run():
        server = WriterServer(tmp_path / "socket", ManyLogins())
        await server.start()
        remote = await asyncio.to_thread(RemoteWriter.connect, tmp_path / "socket")
        assert np.array_equal(await asyncio.to_thread(remote.joined), joined)
        with pytest.raises(StorageError, match=r"number_products has [0-9,]+ bytes, over the limit of 67,108,864"):
            remote.number_products(["p" * 2**20] * 65)
        remote.close()
        await asyncio.sleep(0.1)  # the server hangs up, too
        await server.stop()

    asyncio.run(run())


def history(path):
    path.write_text(
        "".join(
            f'{{"customer_id":"c{i % 7}","event_type":"view","product_id":{i % 5},'
            f'"timestamp":"2025-01-{1 + i % 9:02d}T12:00:00Z"}}\n'
            for i in range(50)
        )
    )
    return path


def imported(directory, store, writer, file, clock):
    request = ImportRequest([file], directory.root, None, ImportConfig())
    import_events(request, EventStore(writer, store), clock)
    states = [store.sessions.state_of_number(number) for number in range(store.sessions.n_customers())]
    archive = Archive(directory.archive).columns(["position", "customer", "product", "session", "time"])
    return [state.tolist() for state in states], {name: column.tolist() for name, column in archive.items()}


def test_an_import_through_the_socket_is_the_same_as_one_alone(directory, clock, tmp_path):
    file, alone = history(tmp_path / "events.jsonl"), DataDirectory(tmp_path / "alone")
    with open_for_writing(alone, StorageConfig()) as opened:
        directly = imported(alone, opened.store, opened.writer, file, clock)

    async def run():
        async with running(directory, clock) as services:
            remote = await asyncio.to_thread(RemoteWriter.connect, directory.socket)
            found = await asyncio.to_thread(imported, directory, services.store, remote, file, clock)
            remote.close()
            return found

    assert asyncio.run(run()) == directly


def test_errors_travel(directory, clock):
    def provoke():
        remote = RemoteWriter.connect(directory.socket)
        try:
            with pytest.raises(StorageError, match="no complete staged import"):
                remote.adopt(directory.imports / "nowhere")
            with pytest.raises(StorageError, match="TypeError"):
                remote._call("reserve", 1, 2)
            with pytest.raises(StorageError, match="KeyError"):
                remote._call("remove_everything")
            return remote.reserve(1)
        finally:
            remote.close()

    async def run():
        async with running(directory, clock):
            return await asyncio.to_thread(provoke)

    assert asyncio.run(run()) == 1


@pytest.mark.parametrize(
    "rubbish", [b"\x00\x00\x00\x02{}", b"\x00\x00\x00\x01{", b"\xff\xff\xff\xff", b"GET / HTTP/1.1\r\n\r\n", b""]
)
def test_rubbish_on_the_socket_ends_that_connection_only(directory, clock, rubbish):
    def provoke():
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(directory.socket))
            connection.sendall(rubbish)
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(20)
            while connection.recv(1000):
                pass
        remote = RemoteWriter.connect(directory.socket)
        try:
            return remote.reserve(1)
        finally:
            remote.close()

    async def run():
        async with running(directory, clock):
            return await asyncio.to_thread(provoke)

    assert asyncio.run(run()) == 1


def test_a_service_that_stops_finishes_the_call_and_hangs_up(directory, clock):
    async def run():
        async with running(directory, clock):
            remote = await asyncio.to_thread(RemoteWriter.connect, directory.socket)
            first = await asyncio.to_thread(remote.reserve, 3)
            calls = asyncio.create_task(asyncio.to_thread(remote.number_products, [f"p{i}" for i in range(20_000)]))
            await asyncio.sleep(0.005)
        try:
            numbers = await calls
        except StorageError as error:
            numbers = str(error)
        await asyncio.to_thread(remote.close)
        return first, numbers

    first, numbers = asyncio.run(run())
    assert first == 1
    assert numbers == list(range(20_000)) or "stopping" in numbers or "hung up" in numbers
    assert not directory.socket.exists()
    store = EmbeddedStore(directory.store, writer=True).open()
    assert store.catalog.n_products() == (20_000 if isinstance(numbers, list) else 0)
    store.close()


def test_the_data_directory_may_have_a_path_longer_than_a_socket_may(tmp_path, clock):
    directory = DataDirectory(tmp_path / ("x" * 60) / ("y" * 60) / "data")
    assert len(os.fsencode(directory.socket)) > 108

    async def run():
        async with running(directory, clock):
            remote = await asyncio.to_thread(RemoteWriter.connect, directory.socket)
            first = await asyncio.to_thread(remote.reserve, 1)
            remote.close()
            return first, directory.socket.stat().st_mode & 0o777

    assert asyncio.run(run()) == (1, 0o600)


def test_the_socket_of_a_dead_owner_is_replaced(directory, clock):
    directory.prepare()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(directory.socket))
    with pytest.raises(ConnectionRefusedError):
        RemoteWriter.connect(directory.socket)

    async def run():
        async with running(directory, clock):
            remote = await asyncio.to_thread(RemoteWriter.connect, directory.socket)
            first = await asyncio.to_thread(remote.reserve, 1)
            remote.close()
            return first

    assert asyncio.run(run()) == 1


def test_an_owner_that_takes_no_requests_is_named(directory):
    directory.prepare()
    lock = directory.lock()
    with (
        pytest.raises(StoreLockedError, match="run this again when it is done"),
        open_for_writing(directory, StorageConfig()),
    ):
        pass
    os.close(lock)


def test_a_command_alone_owns_the_directory_for_as_long_as_it_writes(directory):
    with open_for_writing(directory, StorageConfig()) as opened:
        assert isinstance(opened.writer, DirectWriter)
        with pytest.raises(StoreLockedError):
            directory.lock()
    os.close(directory.lock())


def test_a_service_waits_for_a_command_and_says_so_once(tmp_path):
    directory, told = DataDirectory(tmp_path / "data"), []
    directory.prepare()
    lock = directory.lock()
    command = threading.Timer(0.5, os.close, [lock])
    command.start()
    wait_until_free(directory, told.append)
    command.join()
    assert len(told) == 1
    assert "in use by another process" in told[0]
    os.close(directory.lock())


def test_no_service_waits_for_another_one(tmp_path):
    directory, told = DataDirectory(tmp_path / "data"), []
    directory.prepare()
    lock = directory.lock()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(directory.socket))
        other.listen()
        with pytest.raises(StoreLockedError, match="in use by another process"):
            wait_until_free(directory, told.append)
    os.close(lock)
    assert not told
