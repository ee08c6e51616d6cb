"""A full disk: posts are refused with the remedy, everything else goes on, and with room again all is as before."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.e2e.conftest import Client, Service, acknowledged, assert_each_once, command, progress, stored_keys
from tests.e2e.fault_points import forking
from tests.e2e.small_disk import small_disk
from tests.e2e.test_live_index import HASTY, assert_learned

from active_customers.core.clock import SystemClock
from active_customers.core.errors import DiskFullError
from active_customers.importing.events import EventStore, import_events
from active_customers.importing.request import ImportRequest
from active_customers.serving.writer_socket import open_for_writing
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.embedded import StorageConfig

MEGABYTES = 64


@pytest.fixture
def disk():
    """The small disk, at a short path: below it Python's own sockets have to lie, whose paths are bounded."""
    with TemporaryDirectory(prefix="disk-") as folder, small_disk(Path(folder) / "disk", MEGABYTES) as mounted:
        yield mounted


@pytest.fixture
def service(serve, disk, workers) -> Service:
    """A service whose only disk it is, temporary files included."""
    data, temporary = disk.root / "data", disk.root / "tmp"
    data.mkdir()
    temporary.mkdir()
    (data / "config.yaml").write_text(HASTY)
    return serve(data, workers, TMPDIR=str(temporary))


def refusal(client: Client) -> dict[str, object]:
    """Post until it is refused again and again, large events and then small ones.

    So what the store has free inside its file is used up, too: an erasure that finds room there is none that fails.
    Once is not enough: a commit that is shared with others may need more than there is where a smaller one would not.
    """
    for size in (4000, 1):
        refused = 0
        while refused < 20:
            event = {"customer_id": "filler", "event_type": "view", "product_id": "p", "metadata": {"text": "x" * size}}
            status, answer = client.post(event)
            assert status in (202, 507)
            refused = refused + 1 if status == 507 else 0
    return answer


def wait_for(condition) -> None:
    while not condition():
        time.sleep(0.02)


def is_full(client: Client) -> bool:
    return "disk_full" in client.health()["degraded"]


def assert_refused_with_the_remedy(*arguments: object) -> None:
    refused = command(*arguments)
    assert refused.returncode == 2
    assert re.search("free (some |disk )*space", refused.stderr)
    assert "Traceback" not in refused.stderr


def parts_started(service: Service) -> list[str]:
    return re.findall(r"(\S+) is process", service.log_text())


@pytest.mark.parametrize("workers", [1, 2])
def test_on_a_full_disk_answers_go_on_and_with_room_posts_do_by_themselves(service, disk, posters, tmp_path):
    """Nothing that a service or a command does meanwhile crashes, is half done, or is said without what to do."""
    progress(posters, 20)
    client, history = service.client(), tmp_path / "history.csv"
    rows = "".join(f"visitor-{i},view,p{i % 50},2025-01-01T00:00:00Z\n" for i in range(2_000))
    history.write_text(f"customer_id,event_type,product_id,timestamp\n{rows}")
    assert command("refresh", "--data-dir", service.data).returncode == 0
    wait_for(lambda: client.health()["model_version"] != "none")
    leaver = {"customer_id": "leaver", "event_type": "view", "product_id": "p", "event_id": "leaver"}
    assert client.post(leaver)[0] == 202
    disk.fill()
    assert "free disk space" in refusal(client)["detail"]
    wait_for(lambda: is_full(client))
    assert client.health()["ready"]
    client = service.client()
    answers = [client.products(f"customer_id=shop{i % 4}-0") for i in range(20)]
    assert all(answers)
    for arguments in (["refresh"], ["erase", "leaver"], ["import-events", history], ["import-products", history]):
        assert_refused_with_the_remedy(*arguments, "--data-dir", service.data)
    assert command("export", "shop0-0", "--data-dir", service.data).returncode == 0
    wait_for(lambda: "archive_and_compact failed and will be tried again: no room for" in service.log_text())
    assert not list(service.data.rglob("*.tmp"))
    disk.free()
    progress(posters, 20)
    client = service.client()
    wait_for(lambda: not is_full(client))
    ids = acknowledged(posters)
    assert command("refresh", "--data-dir", service.data).returncode == 0
    assert service.stop() == 0
    assert_each_once(service.data, ids)
    assert_learned(service)
    assert len(parts_started(service)) == len(set(parts_started(service)))
    assert "Traceback" not in service.log_text()


@pytest.mark.parametrize("workers", [2])
def test_a_service_starts_on_a_full_disk(service, disk):
    """It answers from what there is, and takes posts when there is room."""
    client = service.client()
    assert client.post({"customer_id": "ada", "event_type": "view", "product_id": "p", "event_id": "1"})[0] == 202
    service.stop()
    disk.fill()
    service.start()
    client = service.client()
    assert client.products("customer_id=bob") == ["p"]
    refusal(client)
    disk.free()
    event = {"customer_id": "eve", "event_type": "view", "product_id": "p", "event_id": "2"}
    wait_for(lambda: client.post(event)[0] == 202)
    assert service.stop() == 0
    assert_each_once(service.data, {"1", "2"})


def bring_in(data: Path, history: Path) -> None:
    with open_for_writing(DataDirectory(data), StorageConfig()) as opened:
        store = EventStore(opened.writer, opened.store)
        try:
            import_events(ImportRequest([history], data, None), store, SystemClock())
        except DiskFullError:
            sys.exit(3)


def test_wherever_an_import_meets_the_end_of_the_disk_it_says_so_and_changes_nothing(disk, tmp_path):
    """Given a little more room each time, it fails a little later, and in the end it brings everything in once."""
    data, history = disk.root / "data", tmp_path / "history.csv"
    rows = "".join(f"visitor-{i % 900},view,p{i % 50},2025-01-01T00:00:{i % 60:02}Z\n" for i in range(20_000))
    history.write_text(f"customer_id,event_type,product_id,timestamp\n{rows}")
    with open_for_writing(DataDirectory(data), StorageConfig()):
        pass
    context, codes = forking(), []
    while codes[-1:] != [0]:
        disk.fill(but=len(codes) << 19)
        process = context.Process(target=bring_in, args=(data, history))
        process.start()
        process.join()
        codes.append(process.exitcode)
        disk.free()
        assert len(stored_keys(data)) == (0 if codes[-1] else 20_000)
    assert codes == [3] * (len(codes) - 1) + [0]
    assert len(codes) > 5


MANY_READERS = """
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from active_customers.storage.embedded.environment import Environment, StorageConfig
environment = Environment(Path(sys.argv[1]), StorageConfig(), writer=True)
environment.open()
print("open", flush=True)
input()
reading = [environment.reading() for _ in range(400)]
print(len(reading))
"""


def test_more_readers_than_ever_before_find_room_for_their_marks(disk):
    """The table of readers is mapped: written to where the disk has no room for it, it would end the process."""
    line = [sys.executable, "-c", MANY_READERS, str(disk.root / "store")]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "open\n"
        disk.fill()
        assert process.communicate("\n")[0] == "400\n"
    assert process.returncode == 0
