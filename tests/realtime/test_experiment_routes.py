"""Strategies and experiments over HTTP: what is stored is in the next answer, what is wrong is named."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import orjson
import pytest
from tests.realtime.test_api import PUBLIC, SERVER, Running, call
from tests.realtime.test_product_routes import put as put_product

from active_customers.asgi import build_app
from active_customers.config.settings import Settings
from active_customers.realtime.access import AccessConfig
from active_customers.storage.data_dir import DataDirectory

STRATEGY = "/api/v1/strategies"
EXPERIMENT = "/api/v1/experiments"
POPULAR = {"sources": []}
HALVES = {"variants": {"control": {"weight": 50}, "popular": {"weight": 50, "strategy": "popular"}}}


@pytest.fixture
def app(tmp_path):
    running = Running(Settings(), DataDirectory(tmp_path / "data"))
    app = build_app(running.services, ())
    put_product(app, "pan", price=10)
    yield app
    running.stop()


def put(app, path: str, sent: object, query: str = ""):
    return call(app, "PUT", path + query, content=orjson.dumps(sent))


def metadata(app, customer: str) -> dict:
    return call(app, "GET", f"/api/v1/recommendations?customer_id={customer}").json()["metadata"]


def test_an_experiment_is_in_the_next_answer_until_it_is_stopped(app):
    assert put(app, f"{STRATEGY}/popular", POPULAR).json() == {"name": "popular", "status": "created"}
    saved = put(app, f"{EXPERIMENT}/test", HALVES).json()
    assert saved == {"name": "test", "status": "created", "version": 1, "share": 100.0}
    seen = {metadata(app, f"c{number}")["experiments"]["test"] for number in range(30)}
    assert seen == {"control", "popular"}
    told = call(app, "GET", f"{EXPERIMENT}/test").json()
    assert (told["status"], told["variants"]["control"]["weight"]) == ("running", 50)
    stopped = call(app, "POST", f"{EXPERIMENT}/test/stop?because=seen%20enough").json()
    assert stopped == {"name": "test", "status": "stopped", "version": 1}
    assert "experiments" not in metadata(app, "c1")
    ended = call(app, "GET", EXPERIMENT).json()["experiments"][0]
    assert (ended["status"], ended["stopped_because"]) == ("ended", "seen enough")


def test_what_runs_keeps_its_strategy_and_its_record(app):
    put(app, f"{STRATEGY}/popular", POPULAR)
    put(app, f"{EXPERIMENT}/test", HALVES)
    for method, path, body in (
        ("PUT", f"{STRATEGY}/popular", {"setting": "best"}),
        ("DELETE", f"{STRATEGY}/popular", None),
        ("DELETE", f"{EXPERIMENT}/test", None),
    ):
        reply = call(app, method, path, content=orjson.dumps(body) if body else b"")
        assert (reply.status_code, reply.json()["field"]) == (400, "name"), path
    assert put(app, f"{STRATEGY}/popular", POPULAR).json()["status"] == "unchanged"


def test_a_dry_run_changes_nothing(app):
    assert put(app, f"{STRATEGY}/popular", POPULAR, "?dry_run=true").json()["status"] == "created"
    assert call(app, "GET", STRATEGY).json() == {"strategies": []}


def test_what_is_not_there_is_a_404_and_what_is_wrong_names_its_field(app):
    for method, path in (("GET", f"{STRATEGY}/x"), ("GET", f"{EXPERIMENT}/x"), ("POST", f"{EXPERIMENT}/x/stop")):
        assert call(app, method, path).status_code == 404
    reply = put(app, f"{EXPERIMENT}/test", HALVES)
    assert (reply.status_code, reply.json()["field"]) == (400, "variants.popular.strategy")
    reply = put(app, f"{STRATEGY}/x", {"sorces": []})
    assert "did you mean sources?" in reply.json()["remedy"]


def test_what_was_stored_outlives_the_service(tmp_path):
    running = Running(Settings(), DataDirectory(tmp_path / "data"))
    put(build_app(running.services, ()), f"{STRATEGY}/popular", POPULAR)
    running.stop()
    running = Running(Settings(), DataDirectory(tmp_path / "data"))
    assert call(build_app(running.services, ()), "GET", f"{STRATEGY}/popular").json() == {
        "name": "popular",
        "sources": [],
    }
    running.stop()


def test_they_need_a_key_of_the_shops_servers(tmp_path):
    access = AccessConfig(public_keys=(PUBLIC,), server_keys=(SERVER,))
    running = Running(Settings(access=access), DataDirectory(tmp_path / "data"))
    app = build_app(running.services, ())
    for method, path in (
        ("GET", STRATEGY),
        ("PUT", f"{STRATEGY}/popular"),
        ("DELETE", f"{STRATEGY}/popular"),
        ("GET", EXPERIMENT),
        ("GET", f"{EXPERIMENT}/test"),
        ("PUT", f"{EXPERIMENT}/test"),
        ("POST", f"{EXPERIMENT}/test/stop"),
        ("DELETE", f"{EXPERIMENT}/test"),
    ):
        body = orjson.dumps(POPULAR)
        assert call(app, method, path, content=body, headers={"x-api-key": PUBLIC}).status_code == 403
        assert call(app, method, path, content=body, headers={"x-api-key": SERVER}).status_code != 403
    running.stop()


def test_changes_at_once_are_decided_one_after_the_other(app):
    """Four workers' worth of experiments of 60 % in one layer: one has its place, the others are refused."""
    put(app, f"{STRATEGY}/popular", POPULAR)
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda n: put(app, f"{EXPERIMENT}/e{n}", {**HALVES, "share": 60}), range(4)))
    assert sorted(reply.status_code for reply in replies) == [200, 400, 400, 400]


def test_a_version_that_another_followed_stays_and_can_be_asked_for(app):
    put(app, f"{STRATEGY}/popular", POPULAR)
    put(app, f"{EXPERIMENT}/test", HALVES)
    assert put(app, f"{EXPERIMENT}/test", {**HALVES, "contexts": ["home"]}).json()["status"] == "new_version"
    told = [(each["version"], each["status"]) for each in call(app, "GET", EXPERIMENT).json()["experiments"]]
    assert told == [(2, "running"), (1, "ended")]
    for version in (1, 2):
        report = call(app, "GET", f"{EXPERIMENT}/test/results?version={version}").json()
        assert (report["version"], report["customers"]) == (version, {"control": 0, "popular": 0})
    assert call(app, "GET", f"{EXPERIMENT}/test/results?version=3").status_code == 404


def test_results_of_a_bandit_say_where_its_variants_are_judged(app):
    put(app, f"{EXPERIMENT}/which", {"variants": {"control": {}, "same": {}}, "bandit": {}})
    reply = call(app, "GET", f"{EXPERIMENT}/which/results")
    assert (reply.status_code, "off-policy --bandit which" in reply.json()["remedy"]) == (400, True)
