"""A service that refreshes by itself, and versions that are gone back to while it runs."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import orjson
import pytest
from tests.e2e.conftest import Service, command
from tests.refreshed_shop import WORSE, Shop, write_history

from active_customers.models.artifacts import ArtifactStore
from active_customers.storage.data_dir import DataDirectory

SOON = {"ACTIVE_CUSTOMERS_REFRESH__EVERY_MINUTES": "0.05"}


def post(service: Service, customer: str, *products: str) -> None:
    client = service.client()
    for product in products:
        assert client.post({"customer_id": customer, "event_type": "view", "product_id": product})[0] == 202


def model(service: Service) -> str:
    return service.client().health()["model_version"]


def wait_for_another_model(service: Service, than: str = "none") -> str:
    """Return the next version that any worker answers with; another worker may not have met the one before yet."""
    client = service.client()
    while (version := client.health()["model_version"]) in (than, "none"):
        time.sleep(0.05)
    return version


def wait_for_model(service: Service, version: str) -> None:
    client = service.client()
    while client.health()["model_version"] != version:
        time.sleep(0.05)


def wait_for(text: str, service: Service) -> str:
    while text not in (log := service.log_text()):
        time.sleep(0.05)
    return log


def metrics(service: Service) -> str:
    return service.client().send("GET", "/metrics")[1].decode()


def wait_for_count(service: Service, outcome: str, count: int) -> None:
    """Wait until so many refreshes are counted; each process hands over once a second."""
    line = f'active_customers_refreshes_total{{outcome="{outcome}"}} {count:.1f}\n'
    client = service.client()
    while line not in client.send("GET", "/metrics")[1].decode():
        time.sleep(0.05)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_service_refreshes_by_itself_while_something_new_is_logged(serve, data, workers):
    service = serve(data, workers=workers, **SOON)
    post(service, "ada", "pan", "lid")
    first = wait_for_another_model(service)
    post(service, "bob", "pan", "spoon")
    second = wait_for_another_model(service, first)
    time.sleep(4)  # longer than the interval, with nothing new
    assert model(service) == second
    wait_for_count(service, "published", 2)
    assert "ERROR" not in wait_for(f"refresh: published {second}", service)
    assert service.stop() == 0
    assert len(ArtifactStore(DataDirectory(data).models).reported()) == 2


def test_a_service_without_anything_to_learn_from_is_not_troubled(serve, data):
    service = serve(data, **SOON)
    client = service.client()
    assert client.post({"customer_id": "ada", "event_type": "search", "query": "pans"})[0] == 202
    assert "there are no events on products yet" in wait_for("refresh: ", service)
    assert "ERROR" not in service.log_text()
    wait_for_count(service, "failed", 0)


@pytest.fixture
def slow_refresh(tmp_path) -> dict[str, str]:
    """The environment of a service whose refreshes hang."""
    (tmp_path / "hanging").mkdir()
    (tmp_path / "hanging" / "sitecustomize.py").write_text(
        "import sys, time\n"
        "if any(word.endswith('refresh_process') for word in sys.orig_argv):\n"
        "    import active_customers.batch.daily_refresh as job\n"
        "    job.read_history = lambda *_: time.sleep(600)\n"
    )
    return SOON | {"PYTHONPATH": os.pathsep.join([str(tmp_path / "hanging"), os.environ.get("PYTHONPATH", "")])}


def refresh_process(service: Service) -> int:
    return int(re.findall(r"refresh is process (\d+)", wait_for("refresh is process", service))[-1])


def is_there(pid: int) -> bool:
    """Return whether a process is alive, which one is not whose parent has only to take note of its end."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_refresh_that_hangs_is_killed_and_counted_and_the_service_goes_on(serve, data, slow_refresh):
    service = serve(data, **slow_refresh, ACTIVE_CUSTOMERS_REFRESH__MOST_MINUTES="0.05")
    post(service, "ada", "pan", "lid")
    pid = refresh_process(service)
    wait_for("refresh takes longer than refresh.most_minutes and is killed", service)
    while is_there(pid):  # it is said before it is done
        time.sleep(0.02)
    wait_for_count(service, "failed", 1)
    assert service.client().products("customer_id=bob")


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_refresh_outlives_its_service(serve, data, slow_refresh, workers, number):
    service = serve(data, workers=workers, **slow_refresh)
    post(service, "ada", "pan", "lid")
    pid = refresh_process(service)
    assert is_there(pid)
    service.kill() if number == signal.SIGKILL else service.stop()
    while is_there(pid):
        time.sleep(0.02)


def test_a_refresh_gives_way_to_everybody_else(serve, data, slow_refresh):
    service = serve(data, **slow_refresh)
    post(service, "ada", "pan", "lid")
    pid = refresh_process(service)
    while os.getpriority(os.PRIO_PROCESS, pid) < 19 or os.sched_getscheduler(pid) != os.SCHED_IDLE:
        time.sleep(0.02)


def test_a_damaged_archive_fails_the_refresh_and_nothing_else(serve, data):
    service = serve(data, **SOON)
    post(service, "ada", "pan", "lid")
    first = wait_for_another_model(service)
    [part] = (data / "archive").rglob("*.parquet")
    part.write_bytes(part.read_bytes()[:-10])
    post(service, "bob", "pan", "lid")
    assert "restore it from a backup" in wait_for("refresh failed with 2 and will be tried again", service)
    assert model(service) == first
    assert service.client().products("customer_id=bob")


def test_a_refused_refresh_leaves_the_models_in_force(serve, data):
    """Settings are changed for the worse; the service logs and counts the refusal, and goes on."""
    old, new = write_history(data.parent / "shop")
    shop = Shop(data)
    shop.take(old)
    first = shop.refresh().version
    shop.take(new)
    settings = {"refresh": {"gate": {"least_questions": 400}}, "models": WORSE.model_dump(mode="json")}
    (data / "config.yaml").write_bytes(orjson.dumps(settings))
    service = serve(data, **SOON)
    log = wait_for("not published", service)
    assert re.search(rf"WARNING .*refresh: .* is not published, {first} stays in force: worse: .*MRR@20 falls to", log)
    wait_for_count(service, "refused", 1)
    assert re.search(r"active_customers_refresh_quality_ratio 0\.\d+", metrics(service))
    assert model(service) == first


def test_a_running_service_follows_a_rollback(serve, data):
    service = serve(data)
    for customer in ("ada", "bob"):
        post(service, customer, "pan", "lid")
        assert command("refresh", "--data-dir", data).returncode == 0
    old, new = ArtifactStore(DataDirectory(data).models).versions()
    wait_for_model(service, new)
    done = command("models", "rollback", "--data-dir", data)
    assert (done.returncode, done.stdout) == (0, f"{old} is in force (before: {new})\n")
    wait_for_model(service, old)
    refused = command("refresh", "--data-dir", data)
    assert refused.returncode == 1
    assert f"{old} was rolled back to, so it stays until it is compared" in refused.stderr
    wait_for_count(service, "refused", 1)
    assert command("refresh", "--data-dir", data, "--force").returncode == 0
    assert wait_for_another_model(service, old) != new


def test_the_list_of_versions_can_be_read_by_programs(serve, data):
    service = serve(data)
    post(service, "ada", "pan", "lid")
    command("refresh", "--data-dir", data)
    [row] = command("models", "list", "--data-dir", data, "--json").stdout.splitlines()
    version = wait_for_another_model(service)
    found = orjson.loads(row)
    assert (found["version"], found["acts"], found["products"]) == (version, 2, 2)
    assert (found["gate"], found["in_force"]) == ("not_compared", True)
