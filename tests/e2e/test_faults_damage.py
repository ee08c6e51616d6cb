"""Damaged files: each is named with what to do about it, costs only what needs it, and the service goes on."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.conftest import NOW
from tests.e2e.conftest import Service, assert_each_once, command, stored_keys
from tests.e2e.test_live_index import HASTY, sessions_with

from active_customers.core.clock import DAY
from active_customers.core.event import Event, EventType, key_of_event_id
from active_customers.models.artifacts import ArtifactStore
from active_customers.storage.archive import Archive
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.embedded import EmbeddedStore
from active_customers.storage.writer import DirectWriter

DAYS = 3
IDS = {f"{day}-{part}-{i}" for day in range(DAYS) for part in range(2) for i in range(6)}


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Path:
    """A data directory with three days of two parts each in the archive, two models, a live index with checkpoints."""
    directory = DataDirectory(tmp_path_factory.mktemp("damage") / "shop")
    directory.prepare()
    (directory.root / "config.yaml").write_text(HASTY)
    store = EmbeddedStore(directory.store, writer=True).open()
    writer = DirectWriter(directory, store)
    for day in range(DAYS):
        for part in range(2):
            visits = [
                Event(f"c{i}", EventType.VIEW, NOW + i, f"p{day}", dedup_key=key_of_event_id(f"{day}-{part}-{i}"))
                for i in range(6)
            ]
            store.events.append(visits, NOW + day * DAY)
            writer.archive_log()
    store.close()
    for _ in range(2):
        assert command("refresh", "--data-dir", directory.root).returncode == 0
    service = Service(directory.root)
    wait_for(lambda: sessions_with(directory, 0) > 0)
    assert service.stop() == 0
    return directory.root


@pytest.fixture
def data(shop, tmp_path) -> Path:
    return shutil.copytree(shop, tmp_path / "data")


def wait_for(condition: Callable[[], object]) -> None:
    while not condition():
        time.sleep(0.02)


def flip(path: Path, at: int = -1) -> None:
    """Turn one byte around."""
    content = bytearray(path.read_bytes())
    content[at] ^= 0xFF
    path.write_bytes(content)


def part_of_day(data: Path, day: str) -> Path:
    return next(part.path for part in Archive(DataDirectory(data).archive).parts() if part.day == day)


def test_a_service_starts_over_a_damaged_model_checkpoints_live_files_and_leftovers(serve, data):
    """What can be made again is, the model before stands in, and what dead writers left half written goes."""
    models, live = data / "models", data / "live"
    older, newer = ArtifactStore(models).versions()
    flip(models / newer / "popularity.scores.npy")
    for copy in live.glob("checkpoint-*"):
        flip(copy)
    for array in live.glob("*.array"):
        array.write_bytes(os.urandom(array.stat().st_size))
    leftovers = [
        part_of_day(data, "2025-01-16").with_name(".part-0.parquet.1.tmp"),
        models / ".current.1.tmp",
    ]
    for leftover in leftovers:
        leftover.write_bytes(b"half")
    service = serve(data)
    client = service.client()
    assert client.health()["model_version"] == older
    assert client.products("customer_id=c0")
    wait_for(lambda: client.health()["degraded"] == [] and sessions_with(DataDirectory(data), 0) == 6)
    assert re.search(rf"model {newer} is refused, {older} is in force", service.log_text())
    for number in range(2):
        assert f"checkpoint-{number} is damaged and not used: the other copy or the log stands in" in service.log_text()
    assert command("refresh", "--data-dir", data).returncode == 0
    wait_for(lambda: client.health()["model_version"] not in (older, newer))
    assert service.stop() == 0
    assert [leftover for leftover in leftovers if leftover.exists()] == []
    assert_each_once(data, IDS)


def test_a_damaged_day_of_the_archive_is_named_and_everything_else_goes_on(serve, data, tmp_path):
    """Until it is restored or moved away: no training on half the truth, no learning; days, answers, posts go on."""
    shutil.rmtree(data / "live")
    damaged = part_of_day(data, "2025-01-16")
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[: len(whole) // 2])
    history = tmp_path / "history.csv"
    history.write_text("customer_id,event_type,product_id,timestamp\nvisitor,view,p0,2025-01-01T00:00:00Z\n")
    service = serve(data)
    client = service.client()
    assert client.products("customer_id=c0")
    assert client.post({"customer_id": "ada", "event_type": "view", "product_id": "p0", "event_id": "new"})[0] == 202
    told = rf"{damaged}.*restore it from a backup, or move it away"
    for line in (["refresh"], ["export", "c0"], ["import-events", history], ["erase", "c5"]):
        refused = command(*line, "--data-dir", data)
        assert refused.returncode == 2
        assert re.search(told, refused.stderr)
    client = service.client()
    wait_for(lambda: "live_index" in client.health()["degraded"])
    for work in ("LiveUpdater.follow", "DirectWriter.archive_and_compact", "Retention.run"):
        wait_for(lambda work=work: re.search(rf"{work} failed and will be tried again: {told}", service.log_text()))
    assert service.client().products("customer_id=c0")
    days = [part.day for part in Archive(DataDirectory(data).archive).parts()]
    assert [days.count(f"2025-01-{day}") for day in (15, 16, 17)] == [1, 2, 1]
    damaged.write_bytes(whole)
    assert command("refresh", "--data-dir", data).returncode == 0
    assert service.stop() == 0
    service.start()
    wait_for(lambda: sessions_with(DataDirectory(data), 1) == 5)
    assert service.stop() == 0
    assert command("erase", "c5", "--data-dir", data).returncode == 0  # the owner overwrites what is left of them
    kept = {event_id for event_id in IDS if not event_id.endswith("-5")} | {"new"}
    assert sorted(key for key in stored_keys(data) if any(key)) == sorted(map(key_of_event_id, kept))


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize(
    ("file", "damage", "told"),
    [
        (
            "config.yaml",
            lambda path: path.write_text("server: {"),
            r"config: .* cannot be read as YAML .*: mend .*yaml",
        ),
        ("keys.json", cut, r"keys.json holds no signing keys .*: restore it, or remove it to make new ones"),
        ("format.json", cut, r"cannot be used as a data directory"),
        ("store/data.mdb", cut, r"data.mdb was cut short, .*: restore the data directory from a backup"),
        ("store/data.mdb", lambda path: os.truncate(path, 0), r"data.mdb is empty: restore the data directory"),
        (
            "store/data.mdb",
            lambda path: flip(path, 16) or flip(path, 4096 + 16),
            r"store cannot be opened .*: .*backup",
        ),
    ],
)
def test_what_a_service_cannot_do_without_is_named_when_it_is_damaged(data, file, damage, told):
    """One line, no service, and nothing written."""
    damage(data / file)
    before = (data / file).read_bytes()
    refused = command("serve", "--data-dir", data, "--port", 0)
    assert refused.returncode == 2
    assert re.search(told, refused.stderr.splitlines()[-1])
    assert "Traceback" not in refused.stderr
    assert (data / file).read_bytes() == before


def test_a_pointer_to_no_model_is_told_of_and_the_newest_model_answers(serve, data):
    """Whatever the file holds that should name one."""
    (data / "models" / "current").write_bytes(b"\xff\xfe\x00")
    service = serve(data)
    assert service.client().health()["model_version"] == ArtifactStore(data / "models").versions()[-1]
    assert "is refused" in service.log_text()
    assert service.stop() == 0
