"""Customers over HTTP: logins and consents as a shop posts them, export and erasure as a customer asks for them."""

from __future__ import annotations

import orjson
import pytest
from tests.conftest import NOW
from tests.realtime.test_api import ADMIN, PUBLIC, SERVER, Running, call

from active_customers.asgi import build_app
from active_customers.config.settings import Settings
from active_customers.core.clock import HOUR, ManualClock
from active_customers.realtime import api
from active_customers.realtime.access import AccessConfig
from active_customers.realtime.api import EVENTS, RECOMMENDATIONS
from active_customers.storage.data_dir import DataDirectory

CUSTOMERS = "/api/v1/customers"
ACCESS = AccessConfig(public_keys=(PUBLIC,), server_keys=(SERVER,), admin_keys=(ADMIN,))


@pytest.fixture
def clock():
    return ManualClock(NOW)


@pytest.fixture
def running(tmp_path, clock):
    running = Running(Settings(access=ACCESS), DataDirectory(tmp_path / "data"), clock)
    yield running
    running.stop()


@pytest.fixture
def app(running):
    return build_app(running.services, ())


@pytest.fixture
def post(app, clock):
    made = 0

    def post_one(customer, kind, product=None, **fields):
        nonlocal made
        made += 1
        event = {"customer_id": customer, "event_type": kind, "event_id": f"e{made}", **fields}
        body = orjson.dumps(event | ({} if product is None else {"product_id": product}))
        reply = call(app, "POST", EVENTS, content=body, headers={"x-api-key": SERVER})
        assert (reply.status_code, reply.json()["status"]) == (202, "accepted")

    return post_one


def get(app, customer, key=SERVER):
    return call(app, "GET", f"{CUSTOMERS}/{customer}", headers={"x-api-key": key})


def shown(app, customer, **parameters):
    asked = {"customer_id": customer, **parameters}
    reply = call(app, "GET", RECOMMENDATIONS, params=asked, headers={"x-api-key": PUBLIC})
    return [row["product_id"] for row in reply.json()["recommendations"]]


def test_the_answer_after_a_login_knows_what_was_done_before(app, post):
    """What is in the joined cart is not proposed."""
    for product in "pqr":
        post("somebody", "view", product)
    post("cookie", "cart_add", "p")
    assert "p" in shown(app, 7)
    post(7, "login", other_customer_id="cookie")
    assert "p" not in shown(app, 7)
    assert "p" not in shown(app, "cookie")


def test_an_export_is_one_document_with_all_ids_state_and_events(app, post):
    post("cookie", "cart_add", "p", quantity=2, metadata={"page": "home"})
    post(7, "login", other_customer_id="cookie")
    post(7, "consent", consent="profile")
    reply = get(app, 7)
    document = reply.json()
    assert reply.headers["content-type"] == "application/json"
    assert (document["customer_id"], document["ids"], document["consent"]) == (7, ["cookie", 7], "profile")
    assert [(line["product_id"], line["quantity"]) for line in document["states"][0]["cart"]] == [("p", 2)]
    assert [event["event_type"] for event in document["events"]] == ["cart_add", "login", "joined", "consent"]
    assert document["events"][0]["metadata"] == {"page": "home"}


def test_an_export_needs_a_server_key_and_a_customer_who_is_known(app, post):
    post("a", "view", "p")
    statuses = [get(app, "a", key).status_code for key in ("wrong-0123456789abcdef", PUBLIC, SERVER, ADMIN)]
    assert statuses == [401, 403, 200, 200]
    refused = get(app, "nobody")
    assert (refused.status_code, refused.headers["content-type"]) == (404, "application/problem+json")
    assert get(app, "x" * 200).status_code == 400


def test_only_so_many_exports_are_made_at_a_time(app, post, monkeypatch):
    """However they end, the next one has its turn."""
    post("a", "view", "p")
    for _ in range(3 * api.EXPORTS_AT_ONCE):
        assert get(app, "a").status_code == 200
        assert get(app, "nobody").status_code == 404


def test_an_erasure_says_what_was_joined_and_names_every_place(app, post):
    post("cookie", "view", "p")
    post(7, "login", other_customer_id="cookie")
    reply = call(app, "DELETE", f"{CUSTOMERS}/cookie", headers={"x-api-key": ADMIN}).json()
    assert (reply["joined_ids"], reply["log_entries"]) == (1, 3)
    places = {place["place"]: place for place in reply["places"]}
    assert list(places) == [
        "session state",
        "ids, number, consents",
        "log",
        "retry keys",
        "archive",
        "imports under way",
        "rejected rows of imports",
        "live index",
        "models",
        "recommendation_id",
    ]
    assert all(place["done"] or place["due"] for place in places.values())
    assert places["retry keys"]["due"] == "2025-01-23T12:00:00Z"
    assert places["rejected rows of imports"]["due"] == "2025-01-22T12:00:00Z"
    assert [get(app, customer).status_code for customer in (7, "cookie")] == [404, 404]


def test_what_is_not_consented_to_is_accepted_and_not_kept(app, post, running):
    post("a", "view", "p", consent="none")
    assert get(app, "a").status_code == 404
    counts = running.services.hot.counts
    counts.publish()
    text = call(app, "GET", "/metrics", headers={"x-api-key": SERVER}).text
    assert 'active_customers_events_total{status="not_kept"}' in text


def test_a_session_is_forgotten_by_the_upkeep(app, post, running, clock):
    for product in "pq":
        post("somebody", "view", product)
    post("a", "cart_add", "p", consent="session")
    assert "p" not in shown(app, "a")
    clock.advance(HOUR)
    assert running.services.store.customers.end_visits(clock.now(), 10) == 1
    assert "p" in shown(app, "a")
    assert get(app, "a").status_code == 404
