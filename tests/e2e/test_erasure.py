"""Erasing beside a running service, by command and by request, with the service killed meanwhile."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import orjson
import pyarrow.parquet as pq
import pytest
from tests.e2e.conftest import Service, acknowledged, command, progress, stored_keys

from active_customers.core.event import key_of_event_id
from active_customers.storage.archive import Archive
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.embedded import EmbeddedStore


def post(service: Service, customer: str, number: int) -> None:
    """Post ten events that carry the customer's id wherever an event can."""
    events = [
        {
            "customer_id": customer,
            "event_type": "view",
            "product_id": f"p{i}",
            "session_id": f"{customer}-{i}",
            "event_id": f"{customer}-{number}-{i}",
            "metadata": {"mail": customer},
        }
        for i in range(10)
    ]
    assert service.client().post({"events": events})[0] == 202


def traces(data: Path, text: str) -> list[str]:
    """Return where a text is left: in values of the store, in files of the archive, anywhere else in a file."""
    directory = DataDirectory(data)
    store = EmbeddedStore(directory.store).open()
    found = []
    for name in store._env.database_names():
        database = store._env.database(name)
        with store._env.reading() as txn:
            if any(text.encode() in bytes(key) + bytes(value) for key, value in txn.cursor(db=database)):
                found.append(name.decode())
    store.close()
    parts = [part.path for part in Archive(directory.archive).files()]
    found += [str(path) for path in parts if text in repr(pq.read_table(path, partitioning=None).to_pylist())]
    others = [path for path in data.rglob("*") if path.is_file() and directory.store not in path.parents]
    return found + [str(path) for path in others if text.encode() in path.read_bytes()]


def erase(data: Path, customer: str) -> dict[str, object]:
    """Erase a customer by command, as often as it takes while the service comes and goes; return the receipt."""
    for _ in range(50):
        done = command("erase", customer, "--data-dir", data, "--json")
        if done.returncode == 0:
            return orjson.loads(done.stdout)
        assert "nothing is held" not in done.stderr
        time.sleep(0.1)
    raise AssertionError(done.stderr)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_customer_is_erased_beside_a_running_service(serve, data, workers):
    """By request, with any worker: unknown at once, and nothing is left when the upkeep or the next owner is done."""
    service = serve(data, workers)
    for customer in ("erased-one", "stays-here"):
        post(service, customer, 1)
    status, receipt = service.client().send("DELETE", "/api/v1/customers/erased-one")
    assert (status, receipt["log_entries"], receipt["session_state"]) == (200, 10, True)
    assert service.client().send("DELETE", "/api/v1/customers/erased-one")[1]["receipt"] == receipt["receipt"]
    assert service.client().send("DELETE", "/api/v1/customers/somebody")[0] == 404
    assert traces(data, "erased-one") == []
    assert traces(data, "stays-here") != []
    exported = command("export", "stays-here", "--data-dir", data)
    assert [orjson.loads(line)["kind"] for line in exported.stdout.splitlines()] == ["customer", "state"] + [
        "event"
    ] * 10
    assert command("export", "erased-one", "--data-dir", data).returncode == 2
    assert service.stop() == 0
    assert erase(data, "stays-here")["archive_done"] is not None
    assert command("erase", "somebody", "--data-dir", data).returncode == 2


def test_killed_while_it_erases_the_service_completes_it(service, posters):
    """Whenever it is killed: every other acknowledged event is there once, and of the erased nothing is left."""
    ended = threading.Event()

    def kill_again_and_again() -> None:
        while not ended.wait(0.4):
            service.kill()
            service.start()

    for number in range(3):
        post(service, f"erased-{number}", 1)
    progress(posters, 20)
    killer = threading.Thread(target=kill_again_and_again)
    killer.start()
    try:
        receipts = [erase(service.data, f"erased-{number}") for number in range(3)]
    finally:
        ended.set()
        killer.join()
    ids = acknowledged(posters)
    assert service.stop() == 0
    assert command("erase", "erased-0", "--data-dir", service.data).returncode == 0  # whoever owns it leaves nothing
    assert [receipt["log_entries"] + receipt["archive_rows"] for receipt in receipts] == [10, 10, 10]
    for number in range(3):
        assert traces(service.data, f"erased-{number}") == []
    keys = [key for key in stored_keys(service.data) if any(key)]
    assert len(set(keys)) == len(keys)
    assert {key_of_event_id(event_id) for event_id in ids} <= set(keys)
