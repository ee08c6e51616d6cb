"""Processes that hang or are killed, and a disk that takes its time: nothing is lost, and nobody waits for nothing."""

from __future__ import annotations

import os
import re
import signal
import threading
from pathlib import Path

import orjson
import pytest
from tests.e2e.conftest import Service, acknowledged, assert_each_once, command, progress
from tests.e2e.slow_disk import slow_disk
from tests.e2e.test_live_index import HASTY, assert_learned
from tests.e2e.test_processes import is_alive, pid_of, wait_for_another

PARTS = ("committer", "updater", "worker-1", "worker-2")


@pytest.fixture
def service(serve, data) -> Service:
    """A service that archives and checkpoints all the time, and has little patience."""
    data.mkdir(parents=True)
    (data / "config.yaml").write_text(f"{HASTY}supervisor: {{hang_seconds: 2}}\n")
    return serve(data, workers=2)


def test_a_committer_and_an_updater_that_hang_are_replaced(service, posters):
    """At once, while events are posted and answers asked for."""
    progress(posters, 20)
    hung = {name: pid_of(service, name) for name in ("committer", "updater")}
    for pid in hung.values():
        os.kill(pid, signal.SIGSTOP)
    client = service.client()
    assert client.products("customer_id=visitor")
    for name, pid in hung.items():
        wait_for_another(service, name, pid)
        assert not is_alive(pid)
        assert f"{name} hangs and is killed" in service.log_text()
    progress(posters, 20)
    ids = acknowledged(posters)
    assert service.stop() == 0
    assert_each_once(service.data, ids)
    assert_learned(service)


def test_killed_in_the_middle_of_everything_each_part_comes_back(service, posters):
    """kill -9 of every part, the server they are forked from and the supervisor, while models are trained and customers
    erased."""
    progress(posters, 20)
    enough = threading.Event()

    def work() -> None:
        while not enough.is_set():
            command("refresh", "--data-dir", service.data)
            command("erase", "nobody", "--data-dir", service.data)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for name in PARTS:
            pid = pid_of(service, name)
            os.kill(pid, signal.SIGKILL)
            wait_for_another(service, name, pid)
            progress(posters, 10)
        enough.set()  # a command that meets no owner is the owner till it ends, and no service can start meanwhile
        worker.join()
        before = pid_of(service, "worker-2")
        os.kill(fork_server(service), signal.SIGKILL)
        wait_for_another(service, "worker-2", before)
        progress(posters, 10)
        service.kill()
        service.start()
        progress(posters, 10)
    finally:
        enough.set()
        worker.join()
    ids = acknowledged(posters)
    assert service.stop() == 0
    assert_each_once(service.data, ids)
    assert_learned(service)
    assert command("refresh", "--data-dir", service.data).returncode == 0


def fork_server(service: Service) -> int:
    """Return the process that the parts are children of."""
    return int(re.search(r"PPid:\s+(\d+)", Path(f"/proc/{pid_of(service, 'committer')}/status").read_text())[1])


def batch(name: str, n: int = 1000) -> bytes:
    events = [
        {
            "customer_id": name,
            "event_type": "view",
            "product_id": i,
            "event_id": f"{name}-{i}",
            "metadata": {"x": "y" * 800},
        }
        for i in range(n)
    ]
    return orjson.dumps({"events": events})


def peak_mb(pid: int) -> int:
    """Return the most memory that a process has had."""
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[1]) // 1024


def test_while_the_disk_takes_its_time_answers_do_not_and_posts_are_bounded(serve, data, tmp_path):
    """Posts wait, then are turned away with `Retry-After`; memory stays bounded, and what was acknowledged is there."""
    data.mkdir(parents=True)
    (data / "config.yaml").write_text("committer: {max_queued_events: 1000, max_queued_mb: 2}\n")
    service = serve(data, workers=2, **slow_disk(tmp_path, 200))
    client = service.client()
    assert client.post({"customer_id": "ada", "event_type": "view", "product_id": "p", "event_id": "first"})[0] == 202
    pids = [pid_of(service, name) for name in PARTS]
    peaks = [peak_mb(pid) for pid in pids]
    outcomes: list[tuple[int, str | None, str]] = []

    def post(number: int) -> None:
        connection = service.client().connection
        for i in range(3):
            name = f"shop-{number}-{i}"
            connection.request("POST", "/api/v1/events", batch(name))
            response = connection.getresponse()
            response.read()
            outcomes.append((response.status, response.headers["retry-after"], name))

    shops = [threading.Thread(target=post, args=(number,)) for number in range(8)]
    for shop in shops:
        shop.start()
    answers = 0
    while any(shop.is_alive() for shop in shops):
        answers += bool(client.products("customer_id=bob"))
    for shop in shops:
        shop.join()
    assert {status for status, _, _ in outcomes} == {202, 503}
    assert all((status == 503) == (retry is not None) for status, retry, _ in outcomes)
    stored = [name for status, _, name in outcomes if status == 202]
    assert answers > 2 * len(stored)
    assert all(peak_mb(pid) < peak + 150 for pid, peak in zip(pids, peaks, strict=True))
    assert service.stop() == 0
    assert_each_once(data, {"first", *(f"{name}-{i}" for name in stored for i in range(1000))})
