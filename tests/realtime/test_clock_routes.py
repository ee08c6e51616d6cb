"""`/admin/clock` in one process: what it answers, what it refuses, and who may ask."""

from __future__ import annotations

import orjson
import pytest
from tests.conftest import NOW
from tests.realtime.test_api import ADMIN, PUBLIC, SERVER, Running, call

from active_customers.asgi import build_app
from active_customers.config.settings import ServerConfig, Settings
from active_customers.core.clock import SECOND, ManualClock
from active_customers.realtime.access import AccessConfig
from active_customers.realtime.api import CLOCK, EVENTS, RECOMMENDATIONS
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.simulated_clock import SimulatedClock

ACCESS = AccessConfig(public_keys=(PUBLIC,), server_keys=(SERVER,), admin_keys=(ADMIN,))
IS_ADMIN = {"x-api-key": ADMIN}


@pytest.fixture
def app(tmp_path):
    """A simulated service that has stored nothing, at NOW."""
    directory = DataDirectory(tmp_path / "data")
    directory.prepare()
    clock = SimulatedClock(directory.clock).open(NOW)
    running = Running(Settings(server=ServerConfig(clock="simulated"), access=ACCESS), directory, clock)
    yield build_app(running.services, ())
    running.stop()


def move(app, body: object, headers: dict[str, str] = IS_ADMIN):
    return call(app, "POST", CLOCK, json=body, headers=headers)


def store_an_event(app) -> None:
    event = {"customer_id": 1, "event_type": "view", "product_id": "p"}
    assert call(app, "POST", EVENTS, content=orjson.dumps(event), headers=IS_ADMIN).status_code == 202


def test_it_is_moved_to_a_time_and_on_by_seconds(app):
    """Each answer tells the new time, which answers carry from then on."""
    assert move(app, {"now": "2025-02-01T13:00:00+01:00"}).json()["now"] == "2025-02-01T12:00:00Z"
    assert move(app, {"advance_seconds": 3600}).json()["now"] == "2025-02-01T13:00:00Z"
    assert move(app, {"advance_seconds": 0.5}).json()["now"] == "2025-02-01T13:00:00.500000Z"
    shown = call(app, "GET", CLOCK, headers=IS_ADMIN).json()
    assert shown == {"clock": "simulated", "now": "2025-02-01T13:00:00.500000Z"}
    answer = call(app, "GET", f"{RECOMMENDATIONS}?customer_id=1", headers=IS_ADMIN).json()
    assert answer["metadata"]["timestamp"] == "2025-02-01T13:00:00Z"


def test_it_goes_back_only_while_nothing_is_stored(app):
    """So that a simulation may begin in the past, and no event is ever in the future."""
    assert move(app, {"now": "2015-01-01T00:00:00Z"}).json()["now"] == "2015-01-01T00:00:00Z"
    store_an_event(app)
    refused = move(app, {"now": "2014-12-31T23:59:59Z"})
    assert (refused.status_code, refused.json()["field"]) == (400, "now")
    assert refused.json()["value"] == "2014-12-31T23:59:59Z"
    assert "it is 2015-01-01T00:00:00Z here" in refused.json()["remedy"]
    assert move(app, {"now": "2015-01-01T00:00:00Z"}).status_code == 200


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ({}, "body", "send either now or advance_seconds"),
        ({"now": "2025-02-01T12:00:00Z", "advance_seconds": 1}, "body", "send either now or advance_seconds"),
        ({"now": "2025-02-01T12:00:00"}, "now", "send an RFC 3339 time with its zone"),
        ({"now": 1738411200}, "now", "send an RFC 3339 time with its zone"),
        ({"now": "2100-01-01T00:00:00Z"}, "now", "over the end of simulated time"),
        ({"advance_seconds": 3e9}, "advance_seconds", "over the end of simulated time"),
        ({"advance_seconds": -1}, "advance_seconds", "greater than 0"),
        ({"advance_seconds": 0}, "advance_seconds", "greater than 0"),
        ({"advance_seconds": 1e300}, "advance_seconds", "less than or equal to"),
        ({"advance_seconds": True}, "advance_seconds", "valid number"),
        ({"then": 1}, "then", "not permitted"),
        ([], "body", "send a JSON object"),
    ],
)
def test_what_it_cannot_be_moved_to_is_refused_by_field_and_remedy(app, body, field, said):
    """And the clock stays as it is."""
    refused = move(app, body)
    assert (refused.status_code, refused.json()["field"]) == (400, field)
    assert said in refused.json()["remedy"]
    assert call(app, "GET", CLOCK, headers=IS_ADMIN).json()["now"] == "2025-01-15T12:00:00Z"


@pytest.mark.parametrize("body", [b"", b"{", b'{"advance_seconds": 1}'])
def test_only_a_json_object_that_says_it_is_one_moves_it(app, body):
    """A form of another page in the operator's browser cannot say so."""
    headers = IS_ADMIN | {"content-type": "text/plain"}
    refused = call(app, "POST", CLOCK, content=body, headers=headers)
    assert (refused.status_code, refused.json()["field"]) == (400, "body")


@pytest.mark.parametrize(("key", "status"), [(None, 401), (PUBLIC, 403), (SERVER, 403), (ADMIN, 200)])
def test_it_needs_the_admin_scope(app, key, status):
    headers = {} if key is None else {"x-api-key": key}
    assert call(app, "GET", CLOCK, headers=headers).status_code == status
    assert move(app, {"advance_seconds": 1}, headers).status_code == status
    moved = call(app, "GET", CLOCK, headers=IS_ADMIN).json()["now"]
    assert (moved == "2025-01-15T12:00:01Z") == (status == 200)


def test_a_service_on_the_machines_clock_shows_it_and_does_not_move_it(tmp_path):
    """The remedy is in the answer."""
    running = Running(Settings(), DataDirectory(tmp_path / "data"), ManualClock(NOW + SECOND))
    try:
        app = build_app(running.services, ())
        assert call(app, "GET", CLOCK).json() == {"clock": "system", "now": "2025-01-15T12:00:01Z"}
        refused = move(app, {"advance_seconds": 1}, {})
        assert (refused.status_code, refused.json()["title"]) == (409, "Clock not simulated")
        assert "serve --clock simulated" in refused.json()["detail"]
    finally:
        running.stop()
