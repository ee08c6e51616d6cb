"""The routes of shelves over HTTP: the hot route and FastAPI agree, rows have the shape of recommendations."""

from __future__ import annotations

import pytest
from prometheus_client import REGISTRY
from tests.conftest import NOW
from tests.realtime.conftest import two_worlds
from tests.realtime.test_api import PUBLIC, Running, call, trained

from active_customers.asgi import build_app
from active_customers.config.settings import Settings
from active_customers.core.errors import UnknownProductError
from active_customers.core.event import Channel, Event, EventType
from active_customers.core.product import Product, ProductChange
from active_customers.realtime.access import AccessConfig
from active_customers.realtime.api import build_api
from active_customers.realtime.schemas import RecommendedProduct
from active_customers.realtime.shelf_api import HOMEPAGE
from active_customers.serving.writer_socket import open_for_writing
from active_customers.storage.data_dir import DataDirectory

ROWS = ["similar/p1", "bought-together/p1", "trending", "recently-viewed?customer_id=c1"]


@pytest.fixture(scope="module")
def services(tmp_path_factory):
    directory = trained(DataDirectory(tmp_path_factory.mktemp("shelves") / "data"))
    with open_for_writing(directory, Settings().storage) as opened:
        views = [Event("c1", EventType.VIEW, NOW, f"p{j}", dedup_key=bytes([99, j]) * 8) for j in range(2)]
        opened.store.events.append(views, NOW)
    running = Running(Settings(), directory)
    yield running.services
    running.stop()


@pytest.fixture(scope="module")
def app(services):
    return build_app(services, ())


@pytest.mark.parametrize(
    "query", ["?customer_id=c1", "?customer_id=c1&shelves=3&n=2&channel=mobile", "?n=3", "?customer_id=1&n=x"]
)
def test_the_hot_route_and_fastapi_answer_alike(services, app, query):
    hot, declared = (call(one, "GET", HOMEPAGE + query) for one in (app, build_api(services)))
    assert (hot.status_code, hot.headers["content-type"]) == (declared.status_code, declared.headers["content-type"])
    assert hot.json() == declared.json()


@pytest.mark.parametrize("row", ROWS)
def test_a_row_has_products_in_the_shape_of_recommendations(app, row):
    reply = call(app, "GET", f"/api/v1/{row}")
    assert reply.status_code == 200
    answer = reply.json()
    for product in answer["recommendations"]:
        RecommendedProduct.model_validate(product)
    assert answer["metadata"]["model_version"] == "v2025.01.15-001"


@pytest.mark.parametrize("row", ROWS[:3])
def test_a_row_has_a_token_where_a_customer_is_named(app, row):
    assert "recommendation_id" not in call(app, "GET", f"/api/v1/{row}").json()["metadata"]
    named = call(app, "GET", f"/api/v1/{row}", params={"customer_id": "c1"})
    assert named.json()["metadata"]["recommendation_id"]


@pytest.mark.parametrize("route", ["similar", "bought-together"])
def test_an_unknown_product_is_not_found(app, route):
    reply = call(app, "GET", f"/api/v1/{route}/unheard/of")
    assert (reply.status_code, reply.json()["title"]) == (404, "Unknown product")
    assert "unheard/of" in reply.json()["detail"]


@pytest.mark.parametrize(
    ("row", "field"), [("recently-viewed", "customer_id"), ("trending?n=0", "n"), ("similar/p1?x=1", "x")]
)
def test_what_is_wrong_with_a_query_is_named(app, row, field):
    reply = call(app, "GET", f"/api/v1/{row}")
    assert (reply.status_code, reply.json()["field"]) == (400, field)


@pytest.mark.parametrize("row", [*ROWS, "homepage?customer_id=c1"])
def test_a_key_is_needed_where_there_are_keys(tmp_path, row):
    running = Running(Settings(access=AccessConfig(public_keys=(PUBLIC,))), DataDirectory(tmp_path / "data"))
    try:
        app = build_app(running.services, ())
        assert call(app, "GET", f"/api/v1/{row}").status_code == 401
        opened = call(app, "GET", f"/api/v1/{row}", headers={"x-api-key": PUBLIC})
        assert opened.status_code in (200, 404)  # there are no products
    finally:
        running.stop()


def test_hidden_and_deleted_products_are_not_found_and_sold_out_ones_are():
    shop = two_worlds()
    shop.sell(Product("k0", hidden=True), Product("k1", stock=0), Product("k2"))
    shop.store.catalog.change_products([ProductChange("k2", None)])
    shop.table.update(["k2"])
    for product in ("k0", "k2"):
        with pytest.raises(UnknownProductError):
            shop.shelves.similar(product, 3, Channel.WEB)
    assert shop.shelves.similar("k1", 3, Channel.WEB).size == 2


def test_what_is_bought_together_is_what_two_baskets_hold_and_never_what_is_closed():
    shop = two_worlds()
    numbers = [row.product for row in shop.shelves.bought_together("k0", 5, Channel.WEB).recommendations()]
    assert [shop.store.catalog.product_id(number) for number in numbers] == ["k4"]
    shop.sell(Product("k4", stock=0))
    assert shop.shelves.bought_together("k0", 5, Channel.WEB).size == 0


@pytest.mark.parametrize("route", ["similar", "bought-together"])
@pytest.mark.parametrize("product", ["", "%00", "x" * 129])
def test_an_id_that_none_can_be_is_refused_by_name(app, route, product):
    reply = call(app, "GET", f"/api/v1/{route}/{product}")
    assert (reply.status_code, reply.json()["field"]) == (400, "product_id")
    assert "Value error" not in reply.json()["detail"]


@pytest.mark.parametrize("row", ROWS)
def test_rows_are_counted_by_route_and_status(app, row):
    def counted(status: str) -> float:
        labels = {"route": row.partition("/")[0].partition("?")[0], "status": status}
        return REGISTRY.get_sample_value("active_customers_requests_total", labels) or 0.0

    before = counted("200")
    call(app, "GET", f"/api/v1/{row}")
    assert counted("200") == before + 1


@pytest.mark.parametrize("row", [*ROWS, "homepage?customer_id=c1"])
def test_a_row_varies_by_the_header_only_where_the_query_names_no_language(app, row):
    german = {"accept-language": "de"}
    negotiated = call(app, "GET", f"/api/v1/{row}", headers=german)
    joined = "&" if "?" in row else "?"
    named = call(app, "GET", f"/api/v1/{row}{joined}lang=de", headers=german)
    assert (negotiated.headers["content-language"], negotiated.headers["vary"]) == ("de", "accept-language")
    assert named.headers["content-language"] == "de"
    assert "vary" not in named.headers
