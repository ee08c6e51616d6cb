"""What comes over the wire: long bodies, broken requests, other protocols."""

from __future__ import annotations

import socket
from contextlib import suppress

import orjson
import pytest
from tests.e2e.conftest import Service

BIG = b" " * (1 << 20)
EVENT = {"customer_id": 1, "event_type": "view", "product_id": 2}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """One service for all broken requests."""
    service = Service(tmp_path_factory.mktemp("served") / "data")
    yield service
    assert service.stop() == 0
    assert "Traceback" not in service.log_text()


def raw(port: int, request: bytes) -> bytes:
    """Send bytes and return what comes back until the other side hangs up, or nothing comes for a while."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        answer = b""
        with suppress(OSError):  # it may hang up in the middle of what we say; what it said before is still to be read
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):
            while part := connection.recv(65536):
                answer += part
        return answer


def test_a_body_over_a_mebibyte_is_refused_and_the_connection_stays_usable(served):
    client = served.client()
    client.send("GET", "/healthz")
    socket_before = client.connection.sock
    status, problem = client.send("POST", "/api/v1/events", BIG + b"{")
    assert (status, problem["title"]) == (413, "Too large")
    assert client.post(EVENT)[0] == 202
    assert client.connection.sock is socket_before
    body = orjson.dumps(EVENT)
    assert client.send("POST", "/api/v1/events", BIG[len(body) :] + body)[0] == 202


def test_a_body_that_goes_on_and_on_is_refused_and_the_connection_closed(served):
    head = b"POST /api/v1/events HTTP/1.1\r\nhost: shop\r\ncontent-length: %d\r\n\r\n" % (9 << 20)
    answer = raw(served.port, head + BIG * 9)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer.lower()
    assert answer.count(b"HTTP/1.1") == 1
    assert served.client().post(EVENT)[0] == 202


def test_a_chunked_body_is_read(served):
    client = served.client()
    parts = iter([b'{"customer_id":1,', b'"event_type":"login"}'])
    chunked = {"transfer-encoding": "chunked"}
    client.connection.request("POST", "/api/v1/events", parts, chunked, encode_chunked=True)
    response = client.connection.getresponse()
    assert (response.status, orjson.loads(response.read())["status"]) == (202, "accepted")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"\x00\xff\xfe" * 100,
        b"GET /api/v1/recommendations?customer_id=1 HTTP/9.9\r\n\r\n",
        b"GET " + b"x" * 200_000 + b" HTTP/1.1\r\nhost: a\r\n\r\n",
        b"POST /api/v1/events HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
        b"POST /api/v1/events HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{",
        b"POST /api/v1/events HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET /api/v1/recommendations?customer_id=k\xfcrbis HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET /ws HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"",
    ],
    ids=lambda value: repr(value[:24]),
)
def test_a_broken_request_harms_nobody_else(served, request_bytes):
    answer = raw(served.port, request_bytes)
    assert not answer or answer.startswith(b"HTTP/1.1 4")
    client = served.client()
    assert client.health()["alive"]
    assert client.post(EVENT | {"event_id": repr(request_bytes)[:60]})[0] == 202
