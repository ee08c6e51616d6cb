"""An acknowledged event is never lost and no event counts twice, however the service ends."""

from __future__ import annotations

import http.client
import threading
import time
from contextlib import closing

import pytest
from tests.e2e.conftest import Client, Service, assert_each_once

from active_customers.storage.data_dir import DataDirectory

CLIENTS = 4


class Poster(threading.Thread):
    """A shop that posts batches and repeats each until it is acknowledged, wherever the service is by then."""

    def __init__(self, service: Service, name: str) -> None:
        super().__init__(name=name)
        self.service = service
        self.acknowledged: set[str] = set()
        self.enough = threading.Event()

    def run(self) -> None:
        number = 0
        while not self.enough.is_set():
            ids = [f"{self.name}-{number}-{i}" for i in range(1 + number % 7)]
            if self._post(ids):
                self.acknowledged.update(ids)
                number += 1
            else:
                time.sleep(0.01)

    def _post(self, ids: list[str]) -> bool:
        events = [
            {"customer_id": f"{self.name}-{i % 3}", "event_type": "cart_add", "product_id": i, "event_id": event_id}
            for i, event_id in enumerate(ids)
        ]
        try:
            with closing(Client(self.service.port)) as client:
                status, answer = client.post({"events": events})
        except (OSError, http.client.HTTPException):
            return False
        if status != 202:
            return False
        assert all(result["status"] in ("accepted", "duplicate") for result in answer["results"])
        return True


@pytest.fixture
def posters(service):
    started = [Poster(service, f"shop{number}") for number in range(CLIENTS)]
    for poster in started:
        poster.start()
    yield started
    for poster in started:
        poster.enough.set()
        poster.join()


def progress(posters: list[Poster], events: int) -> None:
    """Wait until each client has had so many more events acknowledged."""
    goals = [len(poster.acknowledged) + events for poster in posters]
    while any(len(poster.acknowledged) < goal for poster, goal in zip(posters, goals, strict=True)):
        assert all(poster.is_alive() for poster in posters)
        time.sleep(0.005)


def acknowledged(posters: list[Poster]) -> set[str]:
    for poster in posters:
        poster.enough.set()
        poster.join()
    return set().union(*(poster.acknowledged for poster in posters))


def test_killed_again_and_again_the_service_loses_and_doubles_nothing(service, posters):
    for _ in range(3):
        progress(posters, 60)
        service.kill()
        service.start()
    progress(posters, 60)
    ids = acknowledged(posters)
    assert service.stop() == 0
    assert_each_once(service.data, ids)
    assert len(ids) >= 4 * 60 * CLIENTS


def test_asked_to_end_the_service_finishes_what_it_took(service, posters):
    progress(posters, 100)
    assert service.stop() == 0
    assert_each_once(service.data, acknowledged(posters))
    assert not DataDirectory(service.data).socket.exists()
