"""A service that starts beside commands, and what is to be seen of it until it answers."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path

import pytest
from tests.e2e.conftest import COMMAND, ENVIRONMENT, Service, command

from active_customers.storage.data_dir import DataDirectory

HANGING = """import sys, time
if "refresh" in sys.orig_argv:
    import active_customers.batch.daily_refresh as job
    job.read_history = lambda *_: (print("training", flush=True), time.sleep(600))
"""
VIEW = '{"customer_id":"ada","event_type":"view","product_id":"pan","timestamp":"2025-01-01T00:00:00Z"}\n'


@pytest.fixture
def refresh_under_way(data: Path, tmp_path: Path):
    """Start a refresh by hand, and have it compute until the test ends."""
    (tmp_path / "events.jsonl").write_text(VIEW)
    assert command("import-events", tmp_path / "events.jsonl", "--data-dir", data).returncode == 0
    (tmp_path / "hanging").mkdir()
    (tmp_path / "hanging" / "sitecustomize.py").write_text(HANGING)
    found = os.pathsep.join([str(tmp_path / "hanging"), os.environ.get("PYTHONPATH", "")])
    line = [*COMMAND, "refresh", "--data-dir", str(data)]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, env=ENVIRONMENT | {"PYTHONPATH": found})
    assert process.stdout.readline() == b"training\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_service_starts_and_answers_while_a_refresh_by_hand_computes(refresh_under_way, serve, data):
    service: Service = serve(data)
    assert service.client().health()["ready"]
    assert service.client().post({"customer_id": "bob", "event_type": "view", "product_id": "pan"})[0] == 202
    assert refresh_under_way.poll() is None
    assert service.stop() == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_service_waits_for_a_command_that_owns_the_directory_and_says_so(serve, data, workers):
    directory = DataDirectory(data)
    directory.prepare()
    lock, log = directory.lock(), data.parent / f"{data.name}.log"

    def let_go() -> None:
        while not log.exists() or f"waiting: {data} is in use by another process" not in log.read_text():
            time.sleep(0.05)  # the time limit of the test ends a vain wait
        os.close(lock)

    threading.Thread(target=let_go, daemon=True).start()
    service: Service = serve(data, workers)
    assert service.client().health()["ready"]
    assert service.stop() == 0
