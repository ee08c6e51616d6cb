"""The catalogue over HTTP: what is stored comes back, what is wrong is named, what is hidden only servers see."""

from __future__ import annotations

from urllib.parse import quote

import orjson
import pytest
from tests.conftest import NOW
from tests.realtime.test_api import PUBLIC, SERVER, Running, call

from active_customers.asgi import build_app
from active_customers.config.settings import Settings
from active_customers.core.clock import DAY, format_time
from active_customers.realtime.access import AccessConfig
from active_customers.storage.data_dir import DataDirectory

PRODUCTS = "/api/v1/products"
BOARD = {
    "name": "Oak board",
    "description": "Oiled oak.",
    "brand": "Mare",
    "category": "Kitchen>Boards ",
    "price": 40,
    "sale_price": 30.5,
    "sale_from": format_time(NOW - DAY),
    "sale_until": format_time(NOW + DAY),
    "currency": "EUR",
    "stock": 3,
    "availability": "in_stock",
    "variant_group": 17,
    "url": "https://shop.example/7",
    "image": "/img/7.png",
    "tags": ["gift"],
    "attributes": {"colour": "brown", "sizes": ["S", "L"], "weight": 1.5, "oiled": True, "pieces": 1},
    "released": "2024-05-01",
    "replenishable": True,
    "hidden": False,
}


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    running = Running(Settings(), DataDirectory(tmp_path_factory.mktemp("shop") / "data"))
    yield build_app(running.services, ())
    running.stop()


def address(product: object) -> str:
    return f"{PRODUCTS}/{quote(str(product), safe='')}"


def put(app, product: object, **fields):
    return call(app, "PUT", address(product), content=orjson.dumps(fields))


def test_what_is_stored_comes_back_with_what_is_true_now(app):
    reply = put(app, "küche/7", **BOARD)
    assert (reply.status_code, reply.json()) == (200, {"product_id": "küche/7", "status": "created"})
    found = call(app, "GET", address("küche/7")).json()
    assert found.pop("current") == {"price": 30.5, "availability": "in_stock", "shown": True}
    given = {name: value for name, value in BOARD.items() if name != "hidden"}
    assert found == given | {
        "product_id": "küche/7",
        "category": "Kitchen > Boards",
        "released": "2024-05-01T00:00:00Z",
    }


def test_a_second_put_replaces_all_fields_and_a_patch_some(app):
    put(app, 12, name="Pan", price=5.0, stock=1)
    assert put(app, 12, name="Pot", stock=2, tags=["x"]).json() == {"product_id": 12, "status": "replaced"}
    reply = call(app, "PATCH", address(12), content=orjson.dumps({"stock": 0, "tags": None, "price": 4}))
    assert reply.json() == {"product_id": 12, "status": "updated"}
    found = call(app, "GET", address(12)).json()
    current = {"price": 4.0, "availability": "out_of_stock", "shown": False}
    assert found == {"product_id": 12, "name": "Pot", "stock": 0, "price": 4.0, "current": current}


def test_what_was_deleted_is_gone(app):
    put(app, "old")
    assert call(app, "DELETE", address("old")).json() == {"product_id": "old", "status": "deleted"}
    for method, body in (("GET", None), ("DELETE", None), ("PATCH", b"{}")):
        reply = call(app, method, address("old"), content=body)
        assert (reply.status_code, reply.json()["title"]) == (404, "Unknown product")


@pytest.mark.parametrize(
    ("body", "field", "remedy"),
    [
        ({"pirce": 3}, "pirce", "did you mean price?"),
        ({"Sale-Price": 3}, "Sale-Price", "did you mean sale_price?"),
        ({"qqq": 3}, "qqq", "known are product_id, name"),
        ({"price": -1}, "price", "greater than or equal to 0"),
        ({"price": "3"}, "price", "valid number"),
        ({"price": 2, "sale_price": 3}, "sale_price", "at most the price, 2.0"),
        ({"sale_price": 3}, "sale_price", "give the `price`"),
        ({"sale_from": "2025-02-01", "sale_until": "2025-01-01"}, "sale_until", "it lies after `sale_from`"),
        ({"released": "soon"}, "released", "send a day such as 2025-01-01"),
        ({"currency": "euro"}, "currency", "pattern"),
        ({"stock": 1.5}, "stock", "valid integer"),
        ({"availability": "perhaps"}, "availability", "'in_stock', 'out_of_stock'"),
        ({"category": [1]}, "category", 'a path such as "Kitchen > Boards"'),
        ({"category": " > "}, "category", 'a path such as "Kitchen > Boards"'),
        ({"url": "javascript:alert(1)"}, "url", "begins with http"),
        ({"tags": ["a", ""]}, "tags[1]", "at least 1 character"),
        ({"attributes": {"size": {"a": 1}}}, "attributes.size", "a text, a number"),
        ({"hidden": "yes"}, "hidden", "valid boolean"),
        ({"product_id": "other"}, "product_id", "leave it out: the address names 'bad'"),
        ([], "body", "a JSON object"),
    ],
    ids=str,
)
def test_what_is_wrong_is_refused_by_name_and_nothing_is_stored(app, body, field, remedy):
    reply = call(app, "PUT", address("bad"), content=orjson.dumps(body))
    assert (reply.status_code, reply.json()["field"]) == (400, field)
    assert remedy in reply.json()["remedy"]
    assert call(app, "GET", address("bad")).status_code == 404


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"price": NaN}', b"[1]"])
def test_a_body_that_is_no_object_is_refused(app, body):
    reply = call(app, "PUT", address("bad"), content=body)
    assert (reply.status_code, reply.json()["field"]) == (400, "body")


def test_a_batch_answers_for_each_product_and_a_bad_one_costs_none_of_the_others(app):
    put(app, "known", price=2)
    products = [
        {"product_id": "known", "sale_price": 1},
        {"product_id": "new", "price": -1},
        {"product_id": "known", "sale_price": 9},
        {"product_id": "stranger", "stock": 1},
        {"stock": 1},
        "no object",
    ]
    reply = call(app, "POST", PRODUCTS, content=orjson.dumps({"products": products, "merge": True}))
    results = reply.json()["results"]
    assert reply.status_code == 200
    statuses = ["updated", "rejected", "rejected", "unknown", "rejected", "rejected"]
    assert [result["status"] for result in results] == statuses
    assert [result["product_id"] for result in results] == ["known", "new", "known", "stranger", None, None]
    errors = [result.get("error", "") for result in results]
    fields = ["products[1].price", "products[2].sale_price", "there is no product 'stranger'", "products[4].product_id"]
    assert all(part in error for part, error in zip(fields, errors[1:5], strict=True))


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"products": []}, 400, "products"),
        ({"products": [{"product_id": "x"}], "merge": 1}, 400, "merge"),
        ({"products": [{"product_id": "x"}], "marge": True}, 400, "marge"),
        ({"products": [{"price": 1}] * 1001}, 413, "body"),
        ([], 400, "products"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_batch_is_refused_whole(app, body, status, field):
    reply = call(app, "POST", PRODUCTS, content=orjson.dumps(body))
    assert (reply.status_code, reply.json()["field"]) == (status, field)


def test_a_batch_without_a_good_product_is_an_error_that_tells_of_each(app):
    reply = call(app, "POST", PRODUCTS, content=orjson.dumps({"products": [{"product_id": "x", "price": -1}]}))
    assert (reply.status_code, reply.json()["title"]) == (400, "All products rejected")
    assert reply.json()["results"][0]["status"] == "rejected"


def test_a_body_that_is_too_long_is_refused(app):
    reply = call(app, "PUT", address("long"), content=b" " * (1 << 20) + b"{}")
    assert reply.status_code == 413


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A catalogue of 7 boards and a hidden one, behind keys."""
    access = AccessConfig(public_keys=(PUBLIC,), server_keys=(SERVER,))
    running = Running(Settings(access=access), DataDirectory(tmp_path_factory.mktemp("searched") / "data"))
    app = build_app(running.services, ())
    boards = [
        {"product_id": n, "name": f"Board {n}", "brand": "Mare", "category": "Kitchen > Boards"} for n in range(7)
    ]
    others = [
        {"product_id": "secret", "name": "Board of secrets", "hidden": True},
        {"product_id": "rake", "name": "Rake", "brand": "Board & Sons", "category": "Garden"},
    ]
    body = orjson.dumps({"products": boards + others})
    assert call(app, "POST", PRODUCTS, content=body, headers={"x-api-key": SERVER}).status_code == 200
    yield app
    running.stop()


def look(app, key: str = PUBLIC, **parameters):
    return call(app, "GET", PRODUCTS, params=parameters, headers={"x-api-key": key})


def ids(reply) -> list[object]:
    return [product["product_id"] for product in reply.json()["products"]]


def test_pages_follow_each_other_to_the_end(searched):
    found, cursor = [], "0"
    while cursor is not None:
        page = look(searched, q="board", limit=3, cursor=cursor)
        found.append(ids(page))
        cursor = page.json()["next_cursor"]
    assert found == [[0, 1, 2], [3, 4, 5], [6, "rake"]]


def test_products_are_found_by_words_brand_and_category(searched):
    assert ids(look(searched, q="BOARD 3")) == [3]
    assert ids(look(searched, brand="board & sons")) == ["rake"]
    assert ids(look(searched, category="kitchen", limit=2)) == [0, 1]
    assert look(searched, q="nothing").json() == {"products": [], "next_cursor": None}


def test_hidden_products_are_seen_with_a_server_key_only(searched):
    assert ids(look(searched, q="secrets")) == []
    assert ids(look(searched, SERVER, q="secrets")) == ["secret"]
    found = [call(searched, "GET", address("secret"), headers={"x-api-key": key}) for key in (PUBLIC, SERVER)]
    assert [reply.status_code for reply in found] == [404, 200]


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "POST"])
def test_changing_needs_the_server_scope(searched, method):
    path = PRODUCTS if method == "POST" else address(0)
    for headers, status in (({}, 401), ({"x-api-key": PUBLIC}, 403)):
        assert call(searched, method, path, content=b"{}", headers=headers).status_code == status
    assert call(searched, "GET", address(0)).status_code == 401


def test_a_cursor_or_limit_that_is_none_is_refused(searched):
    for parameters, field in (({"cursor": "x"}, "cursor"), ({"limit": 0}, "limit")):
        reply = look(searched, **parameters)
        assert (reply.status_code, reply.json()["field"]) == (400, field)
