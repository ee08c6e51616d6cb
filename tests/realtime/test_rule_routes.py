"""Rules over HTTP: what is stored comes back and is in the next answer, what is wrong is named and changes nothing."""

from __future__ import annotations

import orjson
import pytest
from tests.realtime.test_api import PUBLIC, SERVER, Running, call
from tests.realtime.test_product_routes import put as put_product

from active_customers.asgi import build_app
from active_customers.config.settings import Settings
from active_customers.realtime.access import AccessConfig
from active_customers.storage.data_dir import DataDirectory

RULES = "/api/v1/rules"
NO_MARE = {"kind": "exclude", "filter": "brand = Mare"}


@pytest.fixture
def app(tmp_path):
    running = Running(Settings(), DataDirectory(tmp_path / "data"))
    app = build_app(running.services, ())
    put_product(app, "pan", brand="Mare", price=10)
    put_product(app, "pot", brand="Oak", price=20)
    for _ in range(2):  # what filters ask about is read after the first answer
        running.services.rules.book.follow()
    yield app
    running.stop()


def put(app, name: str, rule: object, query: str = ""):
    return call(app, "PUT", f"{RULES}/{name}{query}", content=orjson.dumps(rule))


def shown(app, query: str = "") -> set[str]:
    answer = call(app, "GET", f"/api/v1/recommendations?customer_id=anna{query}").json()
    return {row["product_id"] for row in answer["recommendations"]}


def test_a_rule_is_in_the_next_answer_and_comes_back(app):
    assert shown(app) == {"pan", "pot"}
    reply = put(app, "no-mare", NO_MARE)
    assert (reply.status_code, reply.json()) == (200, {"name": "no-mare", "status": "created", "products": 1})
    assert shown(app) == {"pot"}
    assert call(app, "GET", f"{RULES}/no-mare").json() == {"name": "no-mare", **NO_MARE}
    assert call(app, "GET", RULES).json() == {"rules": [{"name": "no-mare", **NO_MARE}]}


def test_a_pin_on_products_that_the_catalogue_does_not_have_is_stored_with_a_warning(app):
    reply = put(app, "hero", {"kind": "pin", "product_ids": ["pot", *(f"no{i}" for i in range(7))]})
    named = "'no0', 'no1', 'no2', 'no3', 'no4' and 2 more"
    assert reply.status_code == 200
    assert reply.json()["warnings"] == [
        f"product_ids: the catalogue does not have {named}: write ids as the shop does, or import them"
    ]
    assert call(app, "GET", f"{RULES}/hero").status_code == 200
    assert "warnings" not in put(app, "hero", {"kind": "pin", "product_ids": ["pot"]}).json()
    assert "warnings" not in put(app, "no-mare", NO_MARE).json()


def test_a_rule_on_a_product_that_was_deleted_is_warned_of(app):
    call(app, "DELETE", "/api/v1/products/pan")
    assert "does not have 'pan'" in put(app, "hero", {"kind": "pin", "product_ids": ["pan"]}).json()["warnings"][0]


def test_a_rule_is_replaced_left_as_it_is_or_deleted(app):
    put(app, "r", NO_MARE)
    assert put(app, "r", NO_MARE).json()["status"] == "unchanged"
    assert put(app, "r", {"kind": "exclude", "filter": "brand = Oak"}).json()["status"] == "replaced"
    assert shown(app) == {"pan"}
    assert call(app, "DELETE", f"{RULES}/r").json() == {"name": "r", "status": "deleted"}
    assert shown(app) == {"pan", "pot"}


def test_a_set_takes_the_place_of_all_rules_and_a_dry_run_only_tells(app):
    put(app, "old", NO_MARE)
    body = orjson.dumps({"rules": [{"name": "new", "kind": "exclude", "filter": "price > 15"}]})
    expected = [{"name": "new", "status": "created", "products": 1}, {"name": "old", "status": "deleted"}]
    reply = call(app, "PUT", f"{RULES}?dry_run=true", content=body)
    assert (reply.status_code, reply.json()) == (200, {"results": expected, "dry_run": True})
    assert shown(app) == {"pot"}
    assert call(app, "PUT", RULES, content=body).json() == {"results": expected, "dry_run": False}
    assert shown(app) == {"pan"}
    assert put(app, "more", NO_MARE, "?dry_run=true").json()["status"] == "created"
    assert [rule["name"] for rule in call(app, "GET", RULES).json()["rules"]] == ["new"]


@pytest.mark.parametrize(
    ("rule", "field", "remedy"),
    [
        ({"kind": "exclude", "filter": "brnd = Mare"}, "filter", "did you mean brand?"),
        ({"kind": "exclude", "filter": "x" * 10_001}, "filter", "at most 10,000 characters"),
        ({"kind": "exclude"}, "filter", "give a rule that is to exclude filter or product_ids"),
        ({"kind": "exclude", "filter": "on_sale", "name": "other"}, "name", "the address names 'r'"),
        ({"kind": "exclude", "filter": 3}, "filter", "valid string"),
        ([], "body", "a JSON object"),
    ],
    ids=str,
)
def test_what_is_wrong_is_named_and_nothing_is_stored(app, rule, field, remedy):
    reply = put(app, "r", rule)
    assert (reply.status_code, reply.json()["field"]) == (400, field)
    assert remedy in reply.json()["remedy"]
    assert call(app, "GET", f"{RULES}/r").status_code == 404


def test_one_wrong_rule_of_a_set_refuses_all_of_it(app):
    put(app, "old", NO_MARE)
    rules = [{"name": "a", **NO_MARE}, {"name": "b", "kind": "boost", "filter": "on_sale", "factor": 0.5}]
    reply = call(app, "PUT", RULES, content=orjson.dumps({"rules": rules}))
    assert (reply.status_code, reply.json()["field"]) == (400, "rules[1].factor")
    assert [rule["name"] for rule in call(app, "GET", RULES).json()["rules"]] == ["old"]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff"])
def test_a_body_that_is_no_object_is_refused(app, body):
    for address in (RULES, f"{RULES}/r"):
        reply = call(app, "PUT", address, content=body)
        assert (reply.status_code, reply.json()["field"]) == (400, "body")


def test_a_name_that_no_rule_can_have_is_refused(app):
    assert put(app, "two%20words", NO_MARE).json()["field"] == "name"


def test_what_there_is_none_of_is_not_found(app):
    for method in ("GET", "DELETE"):
        reply = call(app, method, f"{RULES}/never")
        assert (reply.status_code, reply.json()["title"]) == (404, "Unknown rule")


def test_a_request_with_a_filter_is_answered_or_refused_by_its_field(app):
    assert shown(app, "&filter=price%20%3E%2015") == {"pot"}
    assert shown(app, '&filter=brand+in+("Mare")') == {"pan"}
    reply = call(app, "GET", "/api/v1/recommendations?customer_id=anna&filter=prise%20%3E%2015")
    assert (reply.status_code, reply.json()["field"]) == (400, "filter")
    assert "did you mean price?" in reply.json()["remedy"]


def test_all_rules_outlive_the_service(tmp_path):
    for expected in ({"pan", "pot"}, {"pot"}):
        running = Running(Settings(), DataDirectory(tmp_path / "data"))
        app = build_app(running.services, ())
        put_product(app, "pan", brand="Mare")
        put_product(app, "pot", brand="Oak")
        assert shown(app) == expected
        put(app, "no-mare", NO_MARE)
        running.stop()


def test_rules_need_a_key_of_the_shops_servers(tmp_path):
    access = AccessConfig(public_keys=(PUBLIC,), server_keys=(SERVER,))
    running = Running(Settings(access=access), DataDirectory(tmp_path / "data"))
    app = build_app(running.services, ())
    for headers, status in (({}, 401), ({"x-api-key": PUBLIC}, 403), ({"x-api-key": SERVER}, 200)):
        for method, address, body in (
            ("PUT", f"{RULES}/r", NO_MARE),
            ("GET", f"{RULES}/r", None),
            ("GET", RULES, None),
            ("DELETE", f"{RULES}/r", None),
            ("PUT", RULES, {"rules": []}),
        ):
            content = None if body is None else orjson.dumps(body)
            assert call(app, method, address, content=content, headers=headers).status_code == status
    running.stop()
