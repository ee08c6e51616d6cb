"""Live suggestions over TCP: whichever worker takes the event, and whatever becomes of the connection."""

from __future__ import annotations

import re
import socket
import time
from contextlib import suppress

import orjson
import pytest

PUSHED_WITHIN = 5.0
"""Far above the 300 ms that are promised and measured by the benchmark: what is tested is that it comes."""


class Listener:
    """A raw client of a stream."""

    def __init__(self, port: int, query: str, *headers: str, receive_buffer: int = 0) -> None:
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", port))
        lines = [f"GET /api/v1/recommendations/stream?{query} HTTP/1.1", "Host: shop", *headers, "", ""]
        self.socket.sendall("\r\n".join(lines).encode())
        self.received = b""

    def wait_for(self, text: bytes) -> None:
        self.socket.settimeout(0.1)
        end = time.monotonic() + PUSHED_WITHIN
        while text not in self.received:
            assert time.monotonic() < end, self.received
            with suppress(TimeoutError):
                self.received += self.socket.recv(1 << 16)

    def wait_for_lists(self, n: int) -> list[dict[str, object]]:
        """Return the lists that were received once there are so many."""
        self.socket.settimeout(0.1)
        end = time.monotonic() + PUSHED_WITHIN
        while len(lists := re.findall(rb"\ndata: (.*)\n\n", self.received)) < n:
            assert time.monotonic() < end, self.received[-2_000:]
            with suppress(TimeoutError):
                self.received += self.socket.recv(1 << 16)
        return [orjson.loads(each) for each in lists]

    def last_id(self) -> str:
        return self.received.rpartition(b"\nid: ")[2].split(b"\n")[0].decode()

    def is_closed(self) -> bool:
        """Tell whether the other side hung up, reading on until then."""
        self.socket.settimeout(PUSHED_WITHIN)
        try:
            while block := self.socket.recv(1 << 16):
                self.received += block
        except ConnectionResetError:
            return True
        return not block

    def close(self) -> None:
        self.socket.close()


@pytest.fixture
def listen():
    """Opens streams, and closes them in the end."""
    opened: list[Listener] = []

    def start(*arguments, **options) -> Listener:
        opened.append(Listener(*arguments, **options))
        return opened[-1]

    yield start
    for listener in opened:
        listener.close()


def view(client, customer, product):
    status, _ = client.post({"customer_id": customer, "event_type": "view", "product_id": product})
    assert status == 202


def hide_first(client, answer):
    """Let the customer hide what a list shows first, so that the next list is another one."""
    product = answer["recommendations"][0]["product_id"]
    status, _ = client.post({"customer_id": answer["customer_id"], "event_type": "hide", "product_id": product})
    assert status == 202


@pytest.mark.parametrize("workers", [1, 2])
def test_the_list_follows_the_customer_whichever_worker_takes_the_event(serve, data, listen, workers):
    """Several connections for the events and several streams: they land on all workers."""
    service = serve(data, workers)
    client = service.client()
    for number in range(3):
        view(client, f"other-{number}", f"p{number}")
    listeners = [listen(service.port, "customer_id=ann&n=5") for _ in range(4)]
    for number, poster in enumerate([service.client() for _ in range(4)]):
        for listener in listeners:
            listener.wait_for_lists(number + 1)
        view(poster, "ann", f"new-{number}")
    for listener in listeners:
        shown = listener.wait_for_lists(5)
        assert [row["product_id"] for row in shown[-1]["recommendations"]]


def test_a_reconnect_resumes_and_the_end_of_the_service_is_said(serve, data, listen):
    service = serve(data)
    client = service.client()
    view(client, "bob", "p1")
    first = listen(service.port, "customer_id=ann")
    first.wait_for_lists(1)
    last = first.last_id()
    first.close()
    again = listen(service.port, "customer_id=ann", f"Last-Event-ID: {last}")
    again.wait_for(b"retry: ")
    view(client, "ann", "p2")
    again.wait_for_lists(1)
    assert again.received.count(b"data: ") == 1
    started = time.monotonic()
    assert service.stop() == 0
    assert time.monotonic() - started < 5  # it does not wait for streams to end by themselves
    assert again.is_closed()
    assert again.received.rstrip().endswith(b"0")  # the body came to its end
    assert b"retry: 500" in again.received


def test_a_client_that_reads_nothing_is_disconnected_and_others_are_not(serve, data, listen):
    service = serve(data, ACTIVE_CUSTOMERS_STREAM__SLOW_SECONDS="1", ACTIVE_CUSTOMERS_STREAM__HEARTBEAT_SECONDS="0.2")
    client = service.client()
    for number in range(120):
        view(client, "other", f"product-{number:0100}")
    silent = listen(service.port, "customer_id=ann&n=100", receive_buffer=4096)
    reader = listen(service.port, "customer_id=ann&n=100")
    for number in range(40):  # lists of 20 kB: what the system holds for the client is soon full
        hide_first(client, reader.wait_for_lists(number + 1)[-1])
    time.sleep(1.5)
    assert silent.is_closed()
    hide_first(client, reader.wait_for_lists(41)[-1])
    reader.wait_for_lists(42)
    assert client.products("customer_id=ann")
