"""A service of several processes: each may die alone, and the promises hold."""

from __future__ import annotations

import os
import re
import signal
import time

import pytest
from tests.e2e.conftest import Service, acknowledged, assert_each_once, command, progress


@pytest.fixture
def service(serve, data) -> Service:
    return serve(data, workers=2)


def pid_of(service: Service, name: str) -> int:
    """Return the process that runs a part now, as the supervisor's log names it."""
    return int(re.findall(rf"{name} is process (\d+)", service.log_text())[-1])


def wait_for_another(service: Service, name: str, before: int) -> None:
    while pid_of(service, name) == before:
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_an_event_is_in_the_next_answer_of_every_worker(service):
    clients = [service.client() for _ in range(12)]
    for number, poster in enumerate(clients):
        event = {"customer_id": "ada", "event_type": "cart_add", "product_id": f"p{number}"}
        assert poster.post(event)[0] == 202
        for reader in clients:
            assert f"p{number}" not in reader.products("customer_id=ada&n=100")
        assert f"p{number}" in clients[0].products("customer_id=bob&n=100")


def test_both_workers_count_into_the_same_metrics(service):
    for _ in range(12):
        service.client().products("customer_id=ada")
    counted = 'active_customers_requests_total{route="recommendations",status="200"} 12.0'
    while counted not in service.client().send("GET", "/metrics")[1].decode():  # each hands over once a second
        time.sleep(0.05)


@pytest.mark.parametrize("name", ["committer", "worker-1"])
def test_a_part_that_is_killed_comes_back_alone_and_nothing_is_lost_or_doubled(service, posters, name):
    for _ in range(3):
        progress(posters, 40)
        pid = pid_of(service, name)
        os.kill(pid, signal.SIGKILL)
        wait_for_another(service, name, pid)
    progress(posters, 40)
    ids = acknowledged(posters)
    assert service.stop() == 0
    assert_each_once(service.data, ids)
    others = {"committer", "updater", "worker-1", "worker-2"} - {name}
    assert all(len(re.findall(rf"{other} is process", service.log_text())) == 1 for other in others)


def test_answers_go_on_while_the_committer_is_away(service):
    client = service.client()
    client.post({"customer_id": "ada", "event_type": "view", "product_id": "p"})
    pid = pid_of(service, "committer")
    os.kill(pid, signal.SIGSTOP)
    try:
        assert client.products("customer_id=bob") == ["p"]
    finally:
        os.kill(pid, signal.SIGKILL)
    wait_for_another(service, "committer", pid)


def test_a_worker_that_hangs_is_replaced(serve, data):
    data.mkdir(parents=True)
    (data / "config.yaml").write_text("supervisor: {hang_seconds: 2}\n")
    service = serve(data, workers=2)
    pid = pid_of(service, "worker-2")
    os.kill(pid, signal.SIGSTOP)
    wait_for_another(service, "worker-2", pid)
    assert not is_alive(pid)
    assert "worker-2 hangs and is killed" in service.log_text()


def test_no_process_outlives_its_supervisor(service):
    pids = [pid_of(service, name) for name in ("committer", "updater", "worker-1", "worker-2")]
    service.kill()
    while any(is_alive(pid) for pid in pids):
        time.sleep(0.02)
    service.start()
    assert service.stop() == 0


def test_a_second_service_on_the_same_directory_says_so(service):
    refused = command("serve", "--data-dir", service.data, "--port", 0, "--workers", 2)
    assert refused.returncode == 2
    assert "is in use by another process" in refused.stderr
