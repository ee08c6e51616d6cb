"""The main job, end to end: post, ask, import and train beside a running service."""

from __future__ import annotations

import os
import time

import orjson
from tests.e2e.conftest import command

from active_customers.core.clock import format_time


def sessions(path, count=40):
    """Write a history in which "left" and "right" always go together, and so do "up" and "down"."""
    now = int(time.time()) * 1_000_000
    with path.open("wb") as file:
        for number in range(count):
            pair = ("left", "right") if number % 2 else ("up", "down")
            for place, product in enumerate(pair):
                event = {
                    "customer_id": f"old-{number}",
                    "event_type": "view",
                    "product_id": product,
                    "timestamp": format_time(now - (count - number) * 3_600_000_000 + place * 1_000_000),
                }
                file.write(orjson.dumps(event) + b"\n")
        cart = {"customer_id": "anna", "event_type": "cart_add", "product_id": "down", "timestamp": format_time(now)}
        file.write(orjson.dumps(cart) + b"\n")
    return path


def test_what_is_imported_and_trained_beside_a_running_service_is_in_its_answers(service, tmp_path):
    client = service.client()
    assert client.products("customer_id=new") == []
    imported = command("import-events", sessions(tmp_path / "events.jsonl"), "--data-dir", service.data)
    assert imported.returncode == 0, imported.stderr
    assert client.health()["events"] == 81
    assert set(client.products("customer_id=new")) == {"left", "right", "up", "down"}
    assert set(client.products("customer_id=anna")) == {"left", "right", "up"}

    assert client.health()["degraded"] == ["no_model"]
    refreshed = command("refresh", "--data-dir", service.data)
    assert refreshed.returncode == 0, refreshed.stderr
    assert "published v" in refreshed.stdout
    while client.health()["degraded"]:  # the time limit of the test ends a vain wait
        time.sleep(0.05)

    for product, other in (("left", "right"), ("up", "down")):
        event = {"customer_id": f"new-{product}", "event_type": "view", "product_id": product}
        assert client.post(event) == (202, {"event_id": None, "status": "accepted"})
        assert client.products(f"customer_id=new-{product}&context=browse&n=1") == [other]

    again = command("import-events", tmp_path / "events.jsonl", "--data-dir", service.data)
    assert again.returncode == 0, again.stderr
    assert client.products("customer_id=anna&context=cart&n=1") == ["up"]
    assert service.stop() == 0


def test_a_second_service_on_the_same_directory_says_so_and_ends(service):
    second = command("serve", "--data-dir", service.data, "--port", 0)
    assert second.returncode == 2
    assert "is in use by another process" in second.stderr
    assert "Traceback" not in second.stderr
    assert service.client().health()["ready"]


def test_a_port_in_use_is_said_and_ends(service, tmp_path):
    second = command("serve", "--data-dir", tmp_path / "other", "--port", service.port)
    assert second.returncode == 2
    assert "choose another --port" in second.stderr


def test_a_directory_of_a_newer_version_is_refused_with_the_remedy(data):
    data.mkdir()
    (data / "format.json").write_text('{"format": 99}')
    refused = command("serve", "--port", 0, "--data-dir", data)
    assert refused.returncode == 2
    assert "upgrade active-customers" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert [path.name for path in data.iterdir()] == ["format.json"]


def test_beyond_loopback_keys_are_needed(data):
    refused = command("serve", "--data-dir", data, "--host", "0.0.0.0", "--port", 0)  # noqa: S104 - that is the point
    assert refused.returncode == 2
    assert "set access.server_keys first" in refused.stderr
    assert not data.exists()


def test_a_directory_with_a_very_long_path_is_served_and_written_to_beside(serve, tmp_path):
    data = tmp_path / ("x" * 70) / ("y" * 70) / "data"
    service = serve(data)
    assert len(os.fsencode(data / "committer.sock")) > 108
    imported = command("import-events", sessions(tmp_path / "events.jsonl", 4), "--data-dir", data)
    assert imported.returncode == 0, imported.stderr
    assert service.client().health()["events"] == 9
    assert service.stop() == 0
