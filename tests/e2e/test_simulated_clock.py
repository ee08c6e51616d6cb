"""Weeks in a moment: a service of several processes whose clock is moved by hand."""

from __future__ import annotations

import time

import orjson
import pytest
from tests.e2e.conftest import Client, Service, command

from active_customers.storage.archive import Archive
from active_customers.storage.data_dir import DataDirectory

DAY = 86_400
CLOCK = "/admin/clock"


@pytest.fixture
def service(serve, data) -> Service:
    data.mkdir(parents=True)
    (data / "config.yaml").write_text("server: {clock: simulated}\nupdater: {archive_seconds: 0.1}\n")
    service = serve(data, workers=2)
    assert move(service.client(), now="2025-01-01T12:00:00Z") == "2025-01-01T12:00:00Z"
    return service


def move(client: Client, **wanted: object) -> str:
    status, answer = client.send("POST", CLOCK, orjson.dumps(wanted))
    assert status == 200, answer
    return answer["now"]


def post(client: Client, customer: str, kind: str, product: str, event_id: str) -> str:
    event = {"customer_id": customer, "event_type": kind, "product_id": product, "event_id": event_id}
    status, answer = client.post(event)
    assert status == 202, answer
    return answer["status"]


def times(clients: list[Client]) -> set[str]:
    """Return what the answers of all workers are dated."""
    path = "/api/v1/recommendations?customer_id=bob"
    return {client.send("GET", path)[1]["metadata"]["timestamp"] for client in clients}


def wait_for_days(service: Service, *days: str) -> None:
    archive = Archive(DataDirectory(service.data).archive)
    while {part.day for part in archive.parts()} != set(days):
        time.sleep(0.02)


def test_weeks_pass_for_all_processes_at_once(service):
    """Answers are dated, the archive is partitioned, retry keys and cart lines end by the service's time."""
    clients = [service.client() for _ in range(8)]
    first = clients[0]
    assert post(first, "ada", "cart_add", "pan", "e1") == "accepted"
    assert times(clients) == {"2025-01-01T12:00:00Z"}
    assert move(first, advance_seconds=7 * DAY) == "2025-01-08T12:00:00Z"
    assert times(clients) == {"2025-01-08T12:00:00Z"}
    assert [post(client, "ada", "cart_add", "pan", "e1") for client in clients] == ["duplicate"] * 8
    assert post(first, "bob", "view", "rake", "e2") == "accepted"
    assert move(clients[1], advance_seconds=DAY) == "2025-01-09T12:00:00Z"
    assert post(first, "cleo", "view", "rake", "e1") == "accepted"
    wait_for_days(service, "2025-01-01", "2025-01-08", "2025-01-09")
    assert move(first, now="2025-01-31T12:00:00Z") == "2025-01-31T12:00:00Z"
    assert all("pan" not in client.products("customer_id=ada") for client in clients)
    move(first, advance_seconds=1)
    assert all("pan" in client.products("customer_id=ada") for client in clients)


def test_a_restart_keeps_the_time_and_commands_go_by_it(service):
    """Beside the service and without it; a directory whose time is its own says so, and is never served by another."""
    post(service.client(), "ada", "view", "pan", "e1")
    move(service.client(), advance_seconds=3 * DAY)
    assert service.stop() == 0
    service.start()
    assert service.client().send("GET", CLOCK) == (200, {"clock": "simulated", "now": "2025-01-04T12:00:00Z"})
    refreshed = command("refresh", "--data-dir", service.data)
    assert "published v2025.01.04-001" in refreshed.stdout
    assert "was simulated" not in refreshed.stderr
    assert service.stop() == 0
    refreshed = command("refresh", "--data-dir", service.data)
    assert "published v2025.01.04-002" in refreshed.stdout
    assert "was simulated: it is 2025-01-04T12:00:00Z there" in refreshed.stderr
    refused = command("serve", "--data-dir", service.data, "--port", 0, "--clock", "system")
    assert refused.returncode == 2
    assert "server.clock: 'system' is not valid" in refused.stderr
    assert "--clock simulated" in refused.stderr
