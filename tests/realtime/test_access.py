"""Keys and scopes, checked before anything else of a request is looked at."""

from __future__ import annotations

import orjson
import pytest
from pydantic import ValidationError
from tests.realtime.conftest import Shop

from active_customers.core.errors import ForbiddenError, UnauthorizedError
from active_customers.realtime.access import Access, AccessConfig, Scope

PUBLIC, SERVER, ADMIN, SECOND_SERVER = (f"{name}-0123456789abcdef" for name in ("pub", "srv", "adm", "two"))
CONFIG = AccessConfig(public_keys=(PUBLIC,), server_keys=(SERVER, SECOND_SERVER), admin_keys=(ADMIN,))
BAD_EVENT = b"{"


def bearer(key: str) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"authorization", b"Bearer " + key.encode()),)


@pytest.mark.parametrize(
    ("key", "opened"),
    [
        (PUBLIC, [Scope.PUBLIC]),
        (SERVER, [Scope.PUBLIC, Scope.SERVER]),
        (SECOND_SERVER, [Scope.PUBLIC, Scope.SERVER]),
        (ADMIN, [Scope.PUBLIC, Scope.SERVER, Scope.ADMIN]),
    ],
)
def test_a_key_opens_its_scope_and_those_below(key, opened):
    access = Access(CONFIG)
    for scope in Scope:
        if scope in opened:
            access.check(bearer(key), scope)
        else:
            with pytest.raises(ForbiddenError, match=f"{scope.name.lower()} is needed"):
                access.check(bearer(key), scope)


@pytest.mark.parametrize(
    "headers",
    [
        [(b"authorization", b"Bearer " + SERVER.encode())],
        [(b"authorization", b"bearer   " + SERVER.encode() + b" ")],
        [(b"x-api-key", SERVER.encode())],
        [(b"authorization", b"Basic abc"), (b"x-api-key", SERVER.encode())],
    ],
)
def test_a_key_comes_in_either_header(headers):
    Access(CONFIG).check(headers, Scope.SERVER)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"authorization", SERVER.encode())],
        [(b"authorization", b"Bearer ")],
        [(b"x-api-key", b"")],
        [(b"x-api-key", SERVER.encode()[:-1])],
        [(b"x-api-key", SERVER.encode() + b"0")],
        [(b"x-api-key", "schlüssel".encode("latin-1"))],
        [(b"cookie", SERVER.encode())],
    ],
)
def test_without_a_known_key_nothing_opens(headers):
    with pytest.raises(UnauthorizedError, match="Bearer KEY"):
        Access(CONFIG).check(headers, Scope.PUBLIC)


def test_without_any_keys_everything_is_open():
    access = Access(AccessConfig())
    assert access.is_open
    assert not Access(CONFIG).is_open
    access.check([], Scope.ADMIN)


@pytest.mark.parametrize("key", ["short", "x" * 257, "with a space 0123456789", "umlaut-ü-0123456789"])
def test_a_key_that_is_easily_guessed_or_mangled_is_refused(key):
    with pytest.raises(ValidationError):
        AccessConfig(public_keys=(key,))


def test_keys_may_stand_in_one_text():
    assert AccessConfig.model_validate({"server_keys": f"{SERVER}, {SECOND_SERVER}"}).server_keys == (
        SERVER,
        SECOND_SERVER,
    )


def test_the_hot_routes_want_a_key_before_they_look_at_the_request():
    shop = Shop(CONFIG)
    for reply in (shop.reply_to_get("n=nonsense"), shop.reply_to_post(BAD_EVENT)):
        problem = orjson.loads(reply.body)
        assert (reply.status, problem["title"], problem["status"]) == (401, "API key needed", 401)
        assert dict(reply.headers)[b"www-authenticate"] == b"Bearer"
    for reply in (shop.reply_to_get("n=nonsense", bearer(PUBLIC)), shop.reply_to_post(BAD_EVENT, bearer(PUBLIC))):
        assert reply.status == 400


TAKE_OVER = {"customer_id": "mallory", "event_type": "login", "other_customer_id": 67890}
VIEW = {"customer_id": 67890, "event_type": "view", "product_id": "secret"}


def test_a_public_key_joins_nobody():
    shop = Shop(CONFIG)
    reply = shop.reply_to_post(orjson.dumps({"events": [VIEW, TAKE_OVER]}), bearer(PUBLIC))
    assert [each["status"] for each in orjson.loads(reply.body)["results"]] == ["accepted", "rejected"]
    reply = shop.reply_to_post(orjson.dumps(TAKE_OVER), bearer(PUBLIC))
    assert (reply.status, orjson.loads(reply.body)["field"]) == (400, "other_customer_id")
    assert b"server scope" in reply.body
    assert shop.store.customers.known_as("67890") is None
    assert shop.reply_to_post(orjson.dumps(TAKE_OVER), bearer(SERVER)).status == 202
    assert shop.store.customers.known_as("67890") == "mallory"


def test_a_public_key_logs_out_and_logs_in_without_a_join():
    shop = Shop(CONFIG)
    for other in ({}, {"other_customer_id": "cookie"}):
        login = {"customer_id": "cookie", "event_type": "login", **other}
        assert shop.reply_to_post(orjson.dumps(login), bearer(PUBLIC)).status == 202


def test_no_answer_holds_a_key():
    shop = Shop(CONFIG)
    assert b"0123456789abcdef" not in shop.reply_to_get("customer_id=1", bearer("wrong-0123456789abcdef")).body
