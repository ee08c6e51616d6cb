"""A service as its users run it: a process of its own, spoken to over TCP."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from active_customers.core.event import key_of_event_id
from active_customers.storage.archive import Archive
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.embedded import EmbeddedStore

COMMAND = [sys.executable, "-m", "active_customers.cli"]
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("ACTIVE_CUSTOMERS_")}


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    line = [*COMMAND, *(str(argument) for argument in arguments)]
    return subprocess.run(line, capture_output=True, text=True, timeout=120, check=False, env=ENVIRONMENT)


class Client:
    """One connection that stays open while it is used: a service ends those that were idle for some seconds."""

    IDLE_SECONDS = 2.0

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._used = time.monotonic()

    def close(self) -> None:
        self.connection.close()

    def send(self, method: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
        if time.monotonic() - self._used > self.IDLE_SECONDS:
            self.connection.close()  # the next request opens another
        self._used = time.monotonic()
        self.connection.request(method, path, body, {} if body is None else {"content-type": "application/json"})
        response = self.connection.getresponse()
        content = response.read()
        return response.status, orjson.loads(content) if "json" in response.headers["content-type"] else content

    def post(self, event: dict[str, Any]) -> tuple[int, Any]:
        return self.send("POST", "/api/v1/events", orjson.dumps(event))

    def products(self, query: str) -> list[object]:
        status, answer = self.send("GET", f"/api/v1/recommendations?{query}")
        assert status == 200
        return [row["product_id"] for row in answer["recommendations"]]

    def health(self) -> dict[str, Any]:
        return self.send("GET", "/readyz")[1]


class Service:
    """`active-customers serve` on a data directory, on a port of its own choosing."""

    def __init__(self, data: Path, workers: int = 1, **environment: str) -> None:
        self.data = data
        self.workers = workers
        self.environment = ENVIRONMENT | environment
        self.port = 0
        self._clients: list[Client] = []
        self.start()

    def start(self) -> None:
        """Start it, again on the port that it had."""
        line = [*COMMAND, "serve", "--data-dir", self.data, "--port", self.port, "--workers", self.workers]
        self.log = (self.data.parent / f"{self.data.name}.log").open("ab")
        self.process = subprocess.Popen(
            [str(word) for word in line], stdout=subprocess.PIPE, stderr=self.log, env=self.environment
        )
        ready = self.process.stdout.readline().decode()
        assert ready.startswith("ready after "), self.log_text()
        self.port = int(ready.rpartition(":")[2])

    def log_text(self) -> str:
        return Path(self.log.name).read_text()

    def client(self) -> Client:
        """Return a connection that is closed with the service."""
        self._clients.append(Client(self.port))
        return self._clients[-1]

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Ask it to end, and return the code it ends with."""
        return self._end(signal.SIGTERM)

    def _end(self, number: int) -> int:
        self.process.send_signal(number)
        code = self.process.wait(60)
        for client in self._clients:
            client.close()
        self.process.stdout.close()
        self.log.close()
        return code


@pytest.fixture
def data(tmp_path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def serve():
    """Starts services, and kills in the end those that still run."""
    started: list[Service] = []

    def start(data: Path, workers: int = 1, **environment: str) -> Service:
        data.parent.mkdir(parents=True, exist_ok=True)
        started.append(Service(data, workers, **environment))
        return started[-1]

    yield start
    for service in started:
        if service.process.poll() is None:
            service.kill()


@pytest.fixture
def service(serve, data) -> Service:
    return serve(data)


def stored_keys(data: Path) -> list[bytes]:
    """Return the retry keys of all posted events on disk, in order of position, from archive and log.

    What the service wrote of its own (who is taken for a robot) has none.
    """
    directory = DataDirectory(data)
    archived = Archive(directory.archive).columns(["position", "dedup_key"])
    found = {int(p): bytes(key) for p, key in zip(archived["position"], archived["dedup_key"], strict=True)}
    assert len(found) == len(archived["position"])
    store = EmbeddedStore(directory.store, writer=True).open()
    found |= {entry.position: entry.event.dedup_key for entry in store.events.read(1, 10**6)}
    store.close()
    return [found[position] for position in sorted(found) if any(found[position])]


def assert_each_once(data: Path, acknowledged: set[str]) -> None:
    """Check that every acknowledged event is on disk, and none twice."""
    keys = stored_keys(data)
    assert len(set(keys)) == len(keys)
    assert {key_of_event_id(event_id) for event_id in acknowledged} <= set(keys)


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
