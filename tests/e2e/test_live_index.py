"""What one customer does is learned for others within moments, whatever happens to the process that learns."""

from __future__ import annotations

import os
import re
import signal
import threading
import time

import pytest
from tests.e2e.conftest import Service, acknowledged, progress
from tests.e2e.test_processes import is_alive, pid_of, wait_for_another
from tests.live_folds import assert_same_counts, assert_same_sessions, rebuilt

from active_customers.config.settings import load_settings
from active_customers.realtime.live_index import LiveIndex
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.embedded import EmbeddedStore
from active_customers.storage.live_files import read_live_files

HASTY = (
    "live_updater: {poll_seconds: 0.02, checkpoint_seconds: 0.03, behind_seconds: 1}\nupdater: {archive_seconds: 1}\n"
)


@pytest.fixture
def service(serve, data) -> Service:
    """A service that checkpoints nearly all the time, and archives each second."""
    data.mkdir(parents=True)
    (data / "config.yaml").write_text(HASTY)
    return serve(data, workers=2)


class Asker(threading.Thread):
    """A shop page that asks again and again; `answers` counts those that were as they should be."""

    def __init__(self, service: Service) -> None:
        super().__init__()
        self.client = service.client()
        self.answers = 0
        self.enough = threading.Event()

    def run(self) -> None:
        while not self.enough.is_set():
            self.client.products("customer_id=visitor")
            self.answers += 1


@pytest.fixture
def asker(service):
    started = Asker(service)
    started.start()
    yield started
    started.enough.set()
    started.join()


def assert_learned(service: Service) -> None:
    """Check that the index of a stopped service is what its archive and log make."""
    directory = DataDirectory(service.data)
    settings = load_settings(None, {}).settings.live_index
    store = EmbeddedStore(directory.store).open()
    index = LiveIndex(directory.live, settings).open()
    calm = rebuilt(directory, store, LiveIndex(service.data.parent / "calm", settings))
    assert index.watermark == store.events.next_position() > 1
    assert_same_sessions(index, calm)
    assert_same_counts(index, calm)
    store.close()


def test_killed_while_it_learns_and_saves_the_updater_comes_back_and_misses_nothing(service, posters, asker):
    """kill -9 of the updater at any moment: answers go on, it starts again alone, and in the end all is learned."""
    for _ in range(5):
        progress(posters, 40)
        answers, pid = asker.answers, pid_of(service, "updater")
        os.kill(pid, signal.SIGKILL)
        wait_for_another(service, "updater", pid)
        while asker.answers < answers + 20:
            assert asker.is_alive()
            time.sleep(0.005)
    progress(posters, 40)
    acknowledged(posters)
    asker.enough.set()
    asker.join()
    assert service.stop() == 0
    assert_learned(service)
    others = ("committer", "worker-1", "worker-2")
    assert all(len(re.findall(rf"{other} is process", service.log_text())) == 1 for other in others)


def test_killed_as_a_whole_the_service_learns_on_from_its_checkpoint(service, posters):
    """Whatever the moment, the files of the dead are not trusted, and what they held is there again."""
    for _ in range(3):
        progress(posters, 40)
        service.kill()
        service.start()
    progress(posters, 40)
    acknowledged(posters)
    assert service.stop() == 0
    assert_learned(service)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_product_that_was_unknown_a_moment_ago_is_in_the_live_index(serve, data, workers):
    """Nobody trains: a few visitors look at it, and it stands in sessions that others' answers are made of."""
    client = serve(data, workers).client()
    for visitor in range(3):
        for product in ("old", "new"):
            event = {"customer_id": f"visitor-{visitor}", "event_type": "view", "product_id": product}
            assert client.post(event)[0] == 202
    directory = DataDirectory(data)
    store = EmbeddedStore(directory.store).open()
    number = store.catalog.product_number("new")
    store.close()
    while sessions_with(directory, number) < 3:
        time.sleep(0.01)


def sessions_with(directory: DataDirectory, product: int) -> int:
    """Return how many sessions of the live index hold a product."""
    shared = read_live_files(directory.live)
    return 0 if shared is None or product >= len(shared[0].stored) else int(shared[0].stored[product])


def test_health_and_answers_say_that_the_live_index_is_behind(service):
    """An updater that hangs is no secret, and once it learns again nothing is said any more."""
    client = service.client()
    pid = pid_of(service, "updater")
    os.kill(pid, signal.SIGSTOP)
    try:
        while "live_index" not in client.health()["degraded"]:
            time.sleep(0.02)
        answer = client.send("GET", "/api/v1/recommendations?customer_id=ada")[1]
        assert "live_index" in answer["metadata"]["degraded"]
    finally:
        os.kill(pid, signal.SIGCONT)
    while "live_index" in client.health()["degraded"]:
        time.sleep(0.02)
    assert is_alive(pid)


def test_an_updater_that_cannot_write_is_told_of_and_keeps_nobody_from_answers(serve, data):
    """A file stands where its folder should be: the log has the remedy, and once it is away all is learned."""
    data.mkdir(parents=True)
    (data / "live").write_text("in the way")
    service = serve(data, workers=2)
    client = service.client()
    assert client.post({"customer_id": "ada", "event_type": "view", "product_id": "p"})[0] == 202
    assert client.products("customer_id=bob") == ["p"]
    while "cannot be written" not in service.log_text():
        time.sleep(0.02)
    metrics = client.send("GET", "/metrics")[1].decode()
    assert re.search(r'active_customers_update_failures_total\{work="LiveUpdater.follow"\} [1-9]', metrics)
    (data / "live").unlink()
    while sessions_with(DataDirectory(data), 0) == 0:
        time.sleep(0.02)
