"""What leaves on the wire: the short way of a GET says the same bytes as the ASGI route, whatever the client does."""

from __future__ import annotations

import re
import socket
import time
from contextlib import closing

import pytest

PATH = b"/api/v1/recommendations"
LONG_WAY = b"Expect: 100-continue\r\n"
"""A header that makes the server take the ASGI route; it has no other effect on a GET."""


def spoken(service, *pieces: bytes) -> bytes:
    """Send pieces on one connection, each in a packet of its own; return all that comes until the server closes it."""
    with closing(socket.create_connection(("127.0.0.1", service.port), timeout=20)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
        received = b""
        while piece := connection.recv(1 << 16):
            received += piece
        return received


def request(query: bytes, *headers: bytes, version: bytes = b"1.1", method: bytes = b"GET") -> bytes:
    head = b"%b %b%b HTTP/%b\r\nHost: shop\r\n" % (method, PATH, query, version)
    return head + b"".join(header + b"\r\n" for header in headers) + b"\r\n"


def steady(reply: bytes) -> bytes:
    """Return a reply without what differs from second to second."""
    reply = re.sub(rb"date: [^\r]+", b"date: now", reply)
    return re.sub(rb'"(timestamp|recommendation_id)":"[^"]+"', rb'"\1":"now"', reply)


def replies(received: bytes) -> list[bytes]:
    return re.findall(rb"HTTP/1\.1 \d+.*?(?=HTTP/1\.1 |\Z)", received, re.DOTALL)


@pytest.fixture
def shop(service):
    client = service.client()
    for number in range(12):
        assert client.post({"customer_id": "ada", "event_type": "view", "product_id": f"p{number}"})[0] == 202
    return service


@pytest.mark.parametrize(
    "query",
    [
        b"?customer_id=ada",
        b"?customer_id=ada&n=3&context=browse",
        b"?customer_id=%C3%A9",
        b"",
        b"?n=0",
        b"?customer_id=",
    ],
)
def test_both_ways_say_the_same(shop, query):
    """Answers and problems, head and body."""
    short = spoken(shop, request(query, b"Connection: close"))
    long = spoken(shop, request(query, b"Connection: close", LONG_WAY[:-2]))
    assert steady(short) == steady(long.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n"))
    assert b"connection: close" in short


def test_requests_on_one_connection_are_answered_in_order(shop):
    """Sent at once, in pieces, with a body, mixed with posts and other routes."""
    body = b'{"customer_id": "eve", "event_type": "view", "product_id": "p1"}'
    post = b"POST /api/v1/events HTTP/1.1\r\nHost: shop\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    gets = [request(b"?customer_id=ada&n=1"), request(b"?customer_id=ada&n=2")]
    last = request(b"?customer_id=ada&n=3", b"Connection: close")
    with_body = request(b"?customer_id=ada&n=4", b"Content-Length: 5") + b"hello"
    ready = b"GET /readyz HTTP/1.1\r\nHost: shop\r\n\r\n"
    talk = gets[0] + post + gets[1] + ready + with_body + last
    expected = [b'"n1"', b'"event_id"', b'"n2"', b'"ready"', b'"n4"', b'"n3"']
    for pieces in ([talk], [talk[i : i + 7] for i in range(0, len(talk), 7)]):
        found = replies(spoken(shop, *pieces))
        assert len(found) == len(expected)
        for reply, mark in zip(found, expected, strict=True):
            if mark.startswith(b'"n'):
                assert reply.count(b'"product_id"') == int(mark[2:-1])
            else:
                assert mark in reply


def test_a_slow_request_behind_an_answer_in_one_packet_is_not_cut_off(shop):
    """The answer sets the timer of an idle connection, and this one is not idle."""
    unfinished = b"POST /api/v1/events HTTP/1.1\r\nHost: shop\r\nConnection: close\r\nContent-Length: 12\r\n\r\n"
    with closing(socket.create_connection(("127.0.0.1", shop.port), timeout=20)) as connection:
        connection.sendall(request(b"?customer_id=ada&n=1") + unfinished)
        time.sleep(6)  # longer than the server waits for an idle client
        connection.sendall(b'{"events":1}')
        received = b""
        while piece := connection.recv(1 << 16):
            received += piece
    assert [reply[9:12] for reply in replies(received)] == [b"200", b"400"]


def test_a_connection_is_kept_or_closed_as_the_client_says(shop):
    """HTTP/1.0 and `Connection: close` end it after the reply, anything else keeps it open."""
    query = b"?customer_id=ada&n=1"
    last = request(query, b"Connection: close")
    assert len(replies(spoken(shop, request(query) * 3 + last))) == 4
    assert len(replies(spoken(shop, last + request(query)))) == 1
    assert len(replies(spoken(shop, request(query, version=b"1.0") * 2))) == 1


def test_other_methods_go_their_way(shop):
    """A HEAD has no body, a PUT to the path is not allowed."""
    assert b" 405 " in spoken(shop, request(b"?customer_id=ada", b"Connection: close", method=b"HEAD"))
    assert b" 405 " in spoken(shop, request(b"?customer_id=ada", b"Connection: close", method=b"PUT"))


def test_a_client_that_does_not_read_holds_up_nobody_and_gets_everything(shop):
    """Its replies wait in bounded memory while others are answered; then it reads them all, in order."""
    talk = request(b"?customer_id=ada&n=12") * 3_000
    with closing(socket.create_connection(("127.0.0.1", shop.port), timeout=20)) as slow:
        slow.setblocking(False)
        sent = 0
        for _ in range(200):
            try:
                sent += slow.send(talk[sent:])
            except BlockingIOError:
                time.sleep(0.01)
        assert shop.client().products("customer_id=bob")
        slow.setblocking(True)
        received = 0
        tail = b""
        while sent < len(talk) or received < 3_000:
            if sent < len(talk):
                sent += slow.send(talk[sent : sent + 4096])
            tail += slow.recv(1 << 16)
            received += tail.count(b"HTTP/1.1 200")
            tail = tail[tail.rfind(b"HTTP/1.1 200") + 1 :]
        assert received == 3_000
