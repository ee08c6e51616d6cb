"""Who may know what a customer did: nobody by a public key and an id that can be guessed."""

from __future__ import annotations

import hmac

import orjson
import pytest
from fastapi import FastAPI
from pydantic import ValidationError
from tests.realtime.conftest import Shop
from tests.realtime.test_api import call

from active_customers.core.errors import SettingsError
from active_customers.core.product import Product
from active_customers.realtime.access import Access, AccessConfig, customer_token, token_of
from active_customers.realtime.shelf_api import shelf_router

PUBLIC, SERVER, SECRET = "pub-0123456789abcdef", "srv-0123456789abcdef", "secret-0123456789abcdef"
CONFIG = AccessConfig(public_keys=(PUBLIC,), server_keys=(SERVER,), customer_secret=SECRET)
KEY, SERVER_KEY = (b"x-api-key", PUBLIC.encode()), (b"x-api-key", SERVER.encode())


def token(customer: str, secret: str = SECRET) -> tuple[bytes, bytes]:
    return b"x-customer-token", customer_token(secret, customer).encode()


def visited(access: AccessConfig | None) -> Shop:
    """Return a shop with products and looks: of 12345, who logged in, of a buyer, and of a cookie."""
    shop = Shop(access)
    shop.store.catalog.put_products([Product(f"p{i}", name=f"P {i}", category="c") for i in range(30)])
    shop.table.follow()
    server = (SERVER_KEY,) if access else ()
    for customer in ("12345", "buyer", "cookie"):
        for i in range(3):
            post(shop, server, customer_id=customer, event_type="view", product_id=f"p{i}")
    post(shop, server, customer_id="12345", event_type="login")
    post(shop, server, customer_id="buyer", event_type="purchase", product_id="p9")
    return shop


def post(shop: Shop, headers, **event: object) -> None:
    body = orjson.dumps({**event, "event_id": f"e{shop.store.events.next_position()}"})
    assert shop.reply_to_post(body, headers).status == 202


@pytest.fixture(scope="module")
def shop() -> Shop:
    return visited(CONFIG)


def homepage(shop: Shop, customer: str, *headers: tuple[bytes, bytes]) -> tuple[set[str], list[str]]:
    reply = shop.pages.answer(headers, f"customer_id={customer}".encode())
    page = orjson.loads(reply.body)
    return {shelf["code"] for shelf in page["shelves"]}, page["metadata"]["degraded"]


def viewed(shop: Shop, customer: str, *headers: tuple[bytes, bytes]) -> tuple[int, bool]:
    """Return how many products `recently-viewed` tells, and whether it says that it left out a history."""
    app = FastAPI()
    app.include_router(shelf_router(Access(CONFIG), shop.pages))
    named = {name.decode(): value.decode() for name, value in headers}
    answer = call(app, "GET", f"/api/v1/recently-viewed?customer_id={customer}", headers=named).json()
    return len(answer["recommendations"]), "history" in answer["metadata"]["degraded"]


@pytest.mark.parametrize("customer", ["12345", "buyer"])
@pytest.mark.parametrize("more", [(), (token("cookie"),), (token("12345", "another-0123456789"),)])
def test_a_public_key_is_told_nothing_that_a_known_customer_did(shop, customer, more):
    shelves, degraded = homepage(shop, customer, KEY, *more)
    assert not shelves & {"continue", "buy_again", "price_drop", "because_you_viewed"}
    assert shelves
    assert "history" in degraded
    assert viewed(shop, customer, KEY, *more) == (0, True)


@pytest.mark.parametrize("customer", ["12345", "buyer"])
def test_the_customers_token_and_a_server_key_are_told(shop, customer):
    for headers in ((KEY, token(customer)), (SERVER_KEY,)):
        shelves, degraded = homepage(shop, customer, *headers)
        assert "continue" in shelves
        assert "history" not in degraded
        found, is_left_out = viewed(shop, customer, *headers)
        assert found >= 3
        assert not is_left_out


def test_a_visitor_whom_nobody_knows_is_told_by_a_public_key(shop):
    shelves, degraded = homepage(shop, "cookie", KEY)
    assert "continue" in shelves
    assert "history" not in degraded
    assert viewed(shop, "cookie", KEY) == (3, False)


def test_without_keys_everybody_is_told():
    shelves, degraded = homepage(visited(None), "12345")
    assert "continue" in shelves
    assert "history" not in degraded


def test_without_a_secret_no_token_counts():
    access = Access(AccessConfig(public_keys=(PUBLIC,)))
    assert not access.is_token_of("12345", [token("12345", "")])


@pytest.mark.parametrize("secret", ["short", "with a space 0123456789"])
def test_a_secret_that_is_easily_guessed_is_refused(secret):
    with pytest.raises(ValidationError):
        AccessConfig(customer_secret=secret)


def test_a_token_is_what_any_language_makes_of_the_id_and_the_secret():
    expected = hmac.new(SECRET.encode(), "zoë-7".encode(), "sha256").hexdigest()
    assert token_of(CONFIG, "zoë-7") == expected
    with pytest.raises(SettingsError, match=r"access\.customer_secret"):
        token_of(AccessConfig(), "zoë-7")
