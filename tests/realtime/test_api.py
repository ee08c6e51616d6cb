"""The whole API as it is declared: the hot routes and FastAPI's own agree, and all replies are as documented."""

from __future__ import annotations

import asyncio
import threading
from urllib.parse import quote

import httpx
import orjson
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.conftest import NOW

from active_customers import __version__
from active_customers.asgi import Application, build_app
from active_customers.batch.daily_refresh import ModelConfigs, Refresh, RefreshConfig
from active_customers.config.settings import Settings
from active_customers.core.clock import Clock, ManualClock
from active_customers.core.event import Event, EventType
from active_customers.realtime.access import AccessConfig
from active_customers.realtime.api import CLOCK, EVENTS, RECOMMENDATIONS, build_api
from active_customers.realtime.explain_routes import EXPLAIN
from active_customers.realtime.languages import shipped_languages
from active_customers.realtime.page_routes import READINESS
from active_customers.realtime.stream import STREAM
from active_customers.serving.writer_socket import open_for_writing
from active_customers.storage.data_dir import DataDirectory
from active_customers.wiring import Services, build

# Schemathesis loads most of itself with its first schema, and pytest parses what it loads to rewrite its assertions.
# Python 3.11 cannot parse in two threads at once (a traceback that another thread logs is parsed too), so this is done
# before any other thread runs.
schemathesis.openapi.from_dict(
    {"openapi": "3.1.0", "info": {"title": "", "version": ""}, "paths": {"/": {"get": {"responses": {}}}}}
).get_all_operations()

PUBLIC, SERVER, ADMIN = "pub-0123456789abcdef", "srv-0123456789abcdef", "adm-0123456789abcdef"


class Running:
    """A service whose background parts run in a loop of their own, so that any loop can send it requests."""

    def __init__(self, settings: Settings, directory: DataDirectory, clock: Clock | None = None) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.services: Services = build(settings, directory, clock or ManualClock(NOW))
        self._in_loop(self.services.parts.start())

    def _in_loop(self, work) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def stop(self) -> None:
        self._in_loop(self.services.parts.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def trained(directory: DataDirectory) -> DataDirectory:
    """Fill a data directory with a few sessions, and train on them."""
    with open_for_writing(directory, Settings().storage) as opened:
        opened.store.events.append(
            [
                Event(f"c{i}", EventType.VIEW, NOW - i, f"p{j}", dedup_key=bytes([i, j]) * 8)
                for i in range(8)
                for j in range(5)
            ],
            NOW,
        )
        job = Refresh(directory, ManualClock(NOW), RefreshConfig(), ModelConfigs())
        job.run(opened.writer, lambda _done, _total: None)
    return directory


@pytest.fixture(scope="module")
def services(tmp_path_factory):
    running = Running(Settings(), trained(DataDirectory(tmp_path_factory.mktemp("api") / "data")))
    yield running.services
    running.stop()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    access = AccessConfig(public_keys=(PUBLIC,), server_keys=(SERVER,), admin_keys=(ADMIN,))
    running = Running(Settings(access=access), DataDirectory(tmp_path_factory.mktemp("api") / "data"))
    yield running.services
    running.stop()


def call(app, method, url, **request) -> httpx.Response:
    async def send():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client:
            return await client.request(method, url, **request)

    return asyncio.run(send())


CUSTOMERS, PRODUCTS, PRODUCT = "/api/v1/customers", "/api/v1/products", "/api/v1/products/{product_id}"
RULES, RULE = "/api/v1/rules", "/api/v1/rules/{name}"
STRATEGIES, STRATEGY = "/api/v1/strategies", "/api/v1/strategies/{name}"
EXPERIMENTS, EXPERIMENT = "/api/v1/experiments", "/api/v1/experiments/{name}"
SHELVES = (
    "/api/v1/homepage",
    "/api/v1/similar/{product_id}",
    "/api/v1/bought-together/{product_id}",
    "/api/v1/trending",
    "/api/v1/recently-viewed",
)
VIEW = {"customer_id": 1, "event_type": "view", "product_id": "p1", "event_id": "contract-1"}
REQUESTS = [
    ("GET", "?customer_id=1", None),
    ("GET", "?customer_id=c1&n=3&context=cart&channel=mobile&product_id=p1&exclude=p2&deadline_ms=5000", None),
    ("GET", "?customer_id=k%C3%BCrbis", None),
    ("GET", "", None),
    ("GET", "?customer_id=1&n=0", None),
    ("GET", "?customer_id=1&customer_id=2", None),
    ("GET", "?customer_id=1&colour=red", None),
    ("GET", "?customer_id=1&context=email", None),
    ("GET", "?customer_id=%FF", None),
    ("GET", "?customer_id=1&filter=price%20%3C%203", None),
    ("GET", "?customer_id=1&filter=prise%20%3C%203", None),
    ("POST", "", orjson.dumps(VIEW)),
    ("POST", "", orjson.dumps({"events": [VIEW, VIEW | {"event_id": 2}, {}]})),
    ("POST", "", orjson.dumps({"events": [{}]})),
    ("POST", "", orjson.dumps({"events": []})),
    ("POST", "", orjson.dumps({"events": [VIEW] * 1001})),
    ("POST", "", orjson.dumps(VIEW | {"metadata": 5})),
    ("POST", "", b""),
    ("POST", "", b"{"),
    ("POST", "", b"\xff"),
    ("POST", "", b'{"customer_id": NaN}'),
    ("POST", "", b" " * (1 << 20) + b"{}"),
    ("POST", "", b" " * (9 << 20)),
]


@pytest.mark.parametrize(("method", "query", "body"), REQUESTS, ids=lambda value: str(value)[:40])
@pytest.mark.parametrize("key", [None, PUBLIC, "wrong-0123456789abcdef"])
def test_the_hot_routes_and_the_declared_ones_give_the_same_reply(services, guarded, method, query, body, key):
    parts = services if key is None else guarded
    headers = {} if key is None else {"x-api-key": key}
    hot, declared = Application(parts), build_api(parts)
    url = (RECOMMENDATIONS if method == "GET" else EVENTS) + query
    call(hot, method, url, content=body, headers=headers)  # so that both find the same events known
    replies = [call(app, method, url, content=body, headers=headers) for app in (hot, declared)]
    assert replies[0].status_code == replies[1].status_code
    assert sorted(replies[0].headers.multi_items()) == sorted(replies[1].headers.multi_items())
    assert replies[0].content == replies[1].content
    assert replies[0].headers["content-length"] == str(len(replies[0].content))


@pytest.fixture(scope="module")
def api_schema(services):
    application = build_app(services, ())

    async def started(scope, receive, send):
        """Pass requests on; the parts were started before and stay so."""
        if scope["type"] != "lifespan":
            await application(scope, receive, send)
            return
        for event in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{event}.complete"})

    return schemathesis.openapi.from_asgi("/openapi.json", started)


@pytest.mark.parametrize(
    ("label", "mode"),
    [
        (f"GET {RECOMMENDATIONS}", GenerationMode.POSITIVE),
        (f"GET {RECOMMENDATIONS}", GenerationMode.NEGATIVE),
        (f"POST {EVENTS}", GenerationMode.POSITIVE),
        (f"POST {EVENTS}", GenerationMode.NEGATIVE),
        (f"POST {RECOMMENDATIONS}", GenerationMode.POSITIVE),
        (f"POST {RECOMMENDATIONS}", GenerationMode.NEGATIVE),
        (f"GET {READINESS}", GenerationMode.POSITIVE),
        ("GET /healthz", GenerationMode.POSITIVE),
        ("GET /readyz", GenerationMode.POSITIVE),
        ("GET /metrics", GenerationMode.POSITIVE),
        (f"GET {EXPLAIN}", GenerationMode.POSITIVE),
        (f"GET {EXPLAIN}", GenerationMode.NEGATIVE),
        (f"GET {CUSTOMERS}/{{customer_id}}", GenerationMode.POSITIVE),
        (f"DELETE {CUSTOMERS}/{{customer_id}}", GenerationMode.POSITIVE),
        (f"GET {CLOCK}", GenerationMode.POSITIVE),
        (f"POST {CLOCK}", GenerationMode.POSITIVE),
        (f"POST {CLOCK}", GenerationMode.NEGATIVE),
        (f"GET {PRODUCTS}", GenerationMode.POSITIVE),
        (f"GET {PRODUCTS}", GenerationMode.NEGATIVE),
        (f"POST {PRODUCTS}", GenerationMode.POSITIVE),
        (f"POST {PRODUCTS}", GenerationMode.NEGATIVE),
        (f"GET {PRODUCT}", GenerationMode.POSITIVE),
        (f"PUT {PRODUCT}", GenerationMode.POSITIVE),
        (f"PUT {PRODUCT}", GenerationMode.NEGATIVE),
        (f"PATCH {PRODUCT}", GenerationMode.POSITIVE),
        (f"DELETE {PRODUCT}", GenerationMode.POSITIVE),
        (f"GET {RULES}", GenerationMode.POSITIVE),
        (f"PUT {RULES}", GenerationMode.POSITIVE),
        (f"PUT {RULES}", GenerationMode.NEGATIVE),
        (f"GET {RULE}", GenerationMode.POSITIVE),
        (f"PUT {RULE}", GenerationMode.POSITIVE),
        (f"PUT {RULE}", GenerationMode.NEGATIVE),
        (f"DELETE {RULE}", GenerationMode.POSITIVE),
        (f"GET {STRATEGIES}", GenerationMode.POSITIVE),
        (f"GET {STRATEGY}", GenerationMode.POSITIVE),
        (f"PUT {STRATEGY}", GenerationMode.POSITIVE),
        (f"PUT {STRATEGY}", GenerationMode.NEGATIVE),
        (f"DELETE {STRATEGY}", GenerationMode.POSITIVE),
        (f"GET {EXPERIMENTS}", GenerationMode.POSITIVE),
        (f"GET {EXPERIMENT}", GenerationMode.POSITIVE),
        (f"PUT {EXPERIMENT}", GenerationMode.POSITIVE),
        (f"PUT {EXPERIMENT}", GenerationMode.NEGATIVE),
        (f"POST {EXPERIMENT}/stop", GenerationMode.POSITIVE),
        (f"GET {EXPERIMENT}/results", GenerationMode.POSITIVE),
        (f"DELETE {EXPERIMENT}", GenerationMode.POSITIVE),
        *((f"GET {path}", GenerationMode.POSITIVE) for path in SHELVES),
        *((f"GET {path}", GenerationMode.NEGATIVE) for path in SHELVES),
    ],
)
def test_every_reply_to_whatever_is_sent_is_as_documented(api_schema, label, mode):
    operation = next(found.ok() for found in api_schema.get_all_operations() if found.ok().label == label)

    @settings(max_examples=60, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(operation.as_strategy(generation_mode=mode))
    def replies_conform(case) -> None:
        case.call_and_validate(
            checks=[not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
        )

    replies_conform()


def test_no_operation_is_left_out_above(api_schema):
    assert {found.ok().label for found in api_schema.get_all_operations()} == {
        f"GET {RECOMMENDATIONS}",
        f"POST {EVENTS}",
        f"POST {RECOMMENDATIONS}",
        f"GET {STREAM}",  # whose replies do not end: see test_stream.py
        f"GET {READINESS}",
        "GET /healthz",
        "GET /readyz",
        "GET /metrics",
        f"GET {EXPLAIN}",
        *(f"{method} {CUSTOMERS}/{{customer_id}}" for method in ("GET", "DELETE")),
        f"GET {CLOCK}",
        f"POST {CLOCK}",
        f"GET {PRODUCTS}",
        f"POST {PRODUCTS}",
        *(f"{method} {PRODUCT}" for method in ("GET", "PUT", "PATCH", "DELETE")),
        f"GET {STRATEGIES}",
        f"GET {STRATEGY}",
        f"PUT {STRATEGY}",
        f"DELETE {STRATEGY}",
        f"GET {EXPERIMENTS}",
        f"GET {EXPERIMENT}",
        f"PUT {EXPERIMENT}",
        f"POST {EXPERIMENT}/stop",
        f"GET {EXPERIMENT}/results",
        f"DELETE {EXPERIMENT}",
        f"GET {RULES}",
        f"PUT {RULES}",
        *(f"{method} {RULE}" for method in ("GET", "PUT", "DELETE")),
        *(f"GET {path}" for path in SHELVES),
    }


def test_the_document_names_both_hot_routes_with_their_parameters_and_bodies(services):
    document = call(build_app(services, ()), "GET", "/openapi.json").json()
    assert document["info"]["version"] == __version__
    get, post = document["paths"][RECOMMENDATIONS]["get"], document["paths"][EVENTS]["post"]
    assert [parameter["name"] for parameter in get["parameters"] if parameter["required"]] == ["customer_id"]
    assert {p["name"]: p["schema"].get("maximum") for p in get["parameters"]}["n"] == 100
    assert set(get["responses"]) == {"200", "400", "401", "403", "503"}
    assert not any("422" in op["responses"] for path in document["paths"].values() for op in path.values())
    assert set(post["responses"]) == {"202", "400", "401", "403", "413", "503", "507"}
    names = {
        reference["$ref"].rpartition("/")[2]
        for reference in post["requestBody"]["content"]["application/json"]["schema"]["anyOf"]
    }
    assert names == {"EventIn", "EventBatch"} <= set(document["components"]["schemas"])


def test_in_the_document_each_default_is_a_value_that_may_be_sent(services):
    document = call(build_app(services, ()), "GET", "/openapi.json").json()
    schemas = [
        parameter["schema"]
        for path in document["paths"].values()
        for operation in path.values()
        for parameter in operation.get("parameters", ())
    ]
    with_both = [schema for schema in schemas if "enum" in schema and "default" in schema]
    assert with_both
    assert all(schema["default"] in schema["enum"] for schema in with_both)


@pytest.mark.parametrize(
    ("method", "path", "status", "title"),
    [
        ("GET", "/", 404, "Not found"),
        ("GET", "/api/v1/nothing", 404, "Not found"),
        ("PUT", RECOMMENDATIONS, 405, "Method not allowed"),
        ("POST", STREAM, 405, "Method not allowed"),
        ("DELETE", EVENTS, 405, "Method not allowed"),
        ("PUT", "/healthz", 405, "Method not allowed"),
    ],
)
def test_what_is_not_there_is_answered_with_a_problem_document(services, method, path, status, title):
    reply = call(build_app(services, ()), method, path)
    assert reply.status_code == status
    assert reply.headers["content-type"] == "application/problem+json"
    assert (reply.json()["title"], reply.json()["status"]) == (title, status)
    assert ("allow" in reply.headers) == (status == 405)


def test_a_customer_is_erased_and_the_receipt_does_not_name_them(services):
    """Slashes and other scripts are part of an id; asking again gives the same receipt."""
    app = build_app(services, ())
    customer = "kürbis/7"
    url = f"{CUSTOMERS}/{quote(customer, safe='')}"
    assert call(app, "DELETE", url).status_code == 404
    posted = call(app, "POST", EVENTS, content=orjson.dumps(VIEW | {"customer_id": customer, "event_id": "erase-me"}))
    assert posted.status_code == 202
    replies = [call(app, "DELETE", url) for _ in range(2)]
    receipt = replies[0].json()
    assert [reply.status_code for reply in replies] == [200, 200]
    assert (receipt["log_entries"], receipt["session_state"], receipt["models"]) == (1, True, [])
    assert receipt["receipt"] == replies[1].json()["receipt"]
    assert customer not in replies[0].text
    assert services.store.sessions.state(customer) is None


def test_what_is_no_id_cannot_be_erased(services):
    """The answer names the field."""
    reply = call(build_app(services, ()), "DELETE", f"{CUSTOMERS}/{'x' * 129}")
    assert (reply.status_code, reply.json()["field"]) == (400, "customer_id")


def test_erasing_needs_the_admin_scope(guarded):
    """Neither no key nor a smaller one will do."""
    app = build_app(guarded, ())
    keys = {None: 401, PUBLIC: 403, SERVER: 403, ADMIN: 404}
    headers = [{} if key is None else {"x-api-key": key} for key in keys]
    found = [call(app, "DELETE", f"{CUSTOMERS}/nobody", headers=header).status_code for header in headers]
    assert found == list(keys.values())


def test_explaining_needs_the_server_scope(guarded):
    """It tells what a customer did."""
    app = build_app(guarded, ())
    keys = {None: 401, PUBLIC: 403, SERVER: 200, ADMIN: 200}
    headers = [{} if key is None else {"x-api-key": key} for key in keys]
    url = f"{EXPLAIN}?customer_id=nobody&product_id=p1"
    assert [call(app, "GET", url, headers=header).status_code for header in headers] == list(keys.values())


def test_an_account_is_served_in_the_language_asked_for(services):
    app = build_app(services, ())
    answer = call(app, "GET", f"{RECOMMENDATIONS}?customer_id=c1&n=5&deadline_ms=10000").json()
    product = answer["recommendations"][0]["product_id"]
    url = f"{EXPLAIN}?customer_id=c1&product_id={product}&n=5"
    reply = call(app, "GET", url, headers={"accept-language": "de"}).json()
    assert (reply["customer_id"], reply["product_id"]) == ("c1", product)
    german = next(language for language in shipped_languages().known if language.tag == "de")
    sentences = {code.word: sentence for code, sentence in german.sentences.items()}
    before, _, after = sentences[reply["shown"]["reason_code"]].partition("{product}")
    assert reply["shown"]["reason"].startswith(before)
    assert reply["shown"]["reason"].endswith(after)


def test_health_says_what_is_there(services):
    for path in ("/healthz", "/readyz"):
        reply = call(build_app(services, ()), "GET", path)
        assert reply.status_code == 200
        report = reply.json()
        assert (report["alive"], report["ready"], report["degraded"]) == (True, True, [])
        assert report["model_version"] == "v2025.01.15-001"
        assert report["products"] >= 5


def test_a_service_whose_committer_ended_is_not_ready(tmp_path):
    running = Running(Settings(), DataDirectory(tmp_path / "data"))
    try:
        app = build_app(running.services, ())
        assert call(app, "GET", "/readyz").json()["degraded"] == ["no_model"]
        running.services.parts.committer.stop()
        for path in ("/healthz", "/readyz"):
            reply = call(app, "GET", path)
            assert (reply.status_code, reply.json()["degraded"]) == (503, ["committer", "no_model"])
        assert call(app, "GET", f"{RECOMMENDATIONS}?customer_id=1").status_code == 200
        refused = call(app, "POST", EVENTS, content=orjson.dumps(VIEW))
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    finally:
        running.stop()


PAGE = {"customer_id": "c1", "placements": {"top": {"n": 2}, "bad": {"n": 0}}}


@pytest.mark.parametrize("body", [orjson.dumps(PAGE), orjson.dumps({"placements": {}}), b"{", b" " * (9 << 20)])
def test_whole_pages_are_answered_alike_before_the_router_and_behind_it(services, body):
    apps = (Application(services), build_api(services))
    replies = [call(app, "POST", RECOMMENDATIONS, content=body) for app in apps]
    assert replies[0].status_code == replies[1].status_code
    assert sorted(replies[0].headers.multi_items()) == sorted(replies[1].headers.multi_items())
    assert replies[0].content == replies[1].content


def test_what_is_wrong_with_a_stream_is_said_by_a_problem_document_on_both_ways(services):
    for app in (Application(services), build_api(services)):
        reply = call(app, "GET", f"{STREAM}?customer_id=1&n=0")
        assert (reply.status_code, reply.json()["field"]) == (400, "n")


def test_what_is_ready_is_for_the_shops_servers(guarded):
    app = build_app(guarded, ())
    keys = {None: 401, PUBLIC: 403, SERVER: 200, ADMIN: 200}
    headers = [{} if key is None else {"x-api-key": key} for key in keys]
    assert [call(app, "GET", READINESS, headers=header).status_code for header in headers] == list(keys.values())


def test_what_is_ready_is_said_of_the_models_in_force(services):
    found = call(build_app(services, ()), "GET", READINESS).json()
    assert found["model_version"] == "v2025.01.15-001"
    assert {source["source"] for source in found["sources"] if source["active"]} >= {"sessions", "related", "popular"}


def test_metrics_count_what_happened(services):
    app = build_app(services, ())

    def counted(line: str) -> float:
        found = [row for row in call(app, "GET", "/metrics").text.splitlines() if row.startswith(line)]
        return float(found[0].split()[-1]) if found else 0.0

    lines = [
        'active_customers_requests_total{route="recommendations",status="200"}',
        'active_customers_requests_total{route="recommendations",status="400"}',
        'active_customers_events_total{status="rejected"}',
        'active_customers_events_total{status="accepted"}',
        'active_customers_events_total{status="duplicate"}',
    ]
    before = [counted(line) for line in lines]
    call(app, "GET", f"{RECOMMENDATIONS}?customer_id=1")
    call(app, "GET", RECOMMENDATIONS)
    event = VIEW | {"event_id": "metrics"}
    call(app, "POST", EVENTS, content=orjson.dumps({"events": [event, event, {}]}))
    assert [counted(line) - was for line, was in zip(lines, before, strict=True)] == [1, 1, 1, 1, 1]
    assert call(app, "GET", "/metrics").headers["content-type"].startswith("text/plain")


def test_metrics_need_the_server_scope_and_health_and_docs_need_none(guarded):
    app = build_app(guarded, ())
    for key, status in ((None, 401), (PUBLIC, 403), (SERVER, 200)):
        reply = call(app, "GET", "/metrics", headers={} if key is None else {"authorization": f"Bearer {key}"})
        assert reply.status_code == status
        if status != 200:
            assert reply.headers["content-type"] == "application/problem+json"
    for path in ("/healthz", "/readyz", "/docs", "/openapi.json"):
        assert call(app, "GET", path).status_code == 200


def test_pages_of_named_origins_may_call_and_others_may_not(services):
    app = build_app(services, ["https://shop.example"])
    url = f"{RECOMMENDATIONS}?customer_id=1"
    for origin, allowed in (("https://shop.example", "https://shop.example"), ("https://evil.example", None)):
        assert call(app, "GET", url, headers={"origin": origin}).headers.get("access-control-allow-origin") == allowed
    preflight = {
        "origin": "https://shop.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type,x-api-key",
    }
    assert call(app, "OPTIONS", EVENTS, headers=preflight).status_code == 200
    assert "access-control-allow-origin" not in call(build_app(services, ()), "GET", url, headers=preflight).headers


def test_what_nobody_foresaw_is_answered_with_a_problem_document_and_logged(services, caplog):
    class Broken:
        async def recommendations(self, scope, receive):
            raise RuntimeError("a bug")

        events = recommendations

    app = Application(services)
    app._hot = {("GET", RECOMMENDATIONS): Broken().recommendations}
    reply = call(app, "GET", RECOMMENDATIONS)
    assert (reply.status_code, reply.json()["title"]) == (500, "Internal error")
    assert "a bug" in caplog.text
    assert "a bug" not in reply.text
