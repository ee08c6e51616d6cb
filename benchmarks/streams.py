"""Live suggestions: what an open stream weighs, and how long after an event the new list is there."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import orjson

from benchmarks.audience import ProductId, give_sessions, posted
from benchmarks.errors import BenchmarkError
from benchmarks.http_connection import Connection
from benchmarks.memory_use import family, memory_use
from benchmarks.plan import Mark, Plan, Result, say
from benchmarks.service import Running, serving
from benchmarks.shops import Shop
from benchmarks.spread import percentiles
from benchmarks.traffic import CUSTOMERS, KEY

STREAMS = 2_000
SHOWN = 10
PROMISED_MS = 300
_PER_SECOND = 50.0
"""Acts of customers with streams, one by one, so that each is timed by itself."""
_WAIT_SECONDS = 5.0
_LIST = b"\ndata: "


def run(plan: Plan) -> Result:
    """Open the streams, let them idle, and then let their customers act: with one worker, then with two."""
    n = plan.size(STREAMS)
    with plan.shops.main() as shop:
        say(f"{n:,} streams on one worker")
        with serving(shop.data_dir) as service:
            give_sessions(service.port, max(n, plan.size(CUSTOMERS)))
            bytes_each, alone = _measured(service, n, plan.seconds(20, 3))
        say(f"{n:,} streams, events by the other worker")
        with serving(shop.data_dir, 2) as service:
            give_sessions(service.port, max(n, plan.size(CUSTOMERS)))
            _, together = _measured(service, n, plan.seconds(20, 3))
    return _result(shop, n, bytes_each, {"1": alone, "2": together})


def _result(shop: Shop, n: int, bytes_each: float, waits: dict[str, np.ndarray[Any, Any]]) -> Result:
    by_workers = {workers: percentiles(each) for workers, each in waits.items()}
    figures: dict[str, Any] = {
        "streams": n,
        "unique_bytes_per_stream": round(bytes_each),
        "event_to_list_by_workers": by_workers,
        "events_by_workers": {workers: len(each) for workers, each in waits.items()},
    }
    lines = [
        f"an open stream takes {bytes_each / 1e3:.1f} kB of its worker",
        *(
            f"from posting an event to the new list, {workers} worker(s): p50 {found['p50_ms']:g} ms, "
            f"p99 {found['p99_ms']:g} ms, at worst {found['max_ms']:g} ms"
            for workers, found in by_workers.items()
        ),
    ]
    marks = [
        Mark(f"from an event to the new list at worst, {workers} worker(s)", found["max_ms"], PROMISED_MS, "ms")
        for workers, found in by_workers.items()
    ]
    return Result(shop.name, 1, figures, lines, marks)


def _measured(service: Running, n: int, seconds: float) -> tuple[float, np.ndarray[Any, Any]]:
    """Return the bytes of each stream, and the nanoseconds from an event to its list."""
    pids = list(family(service.process.pid))
    before = sum(memory_use(pid).unique for pid in pids)
    with _opened(service.port, n) as listeners:
        time.sleep(1)
        bytes_each = (sum(memory_use(pid).unique for pid in pids) - before) / n
        return bytes_each, np.array(list(_waits(service.port, listeners, seconds)))


@contextmanager
def _opened(port: int, n: int) -> Iterator[list[_Listener]]:
    """Open a stream for each customer c0, c1, ..., and read its first list."""
    listeners: list[_Listener] = []
    try:
        for customer in range(n):
            listeners.append(_Listener(port, f"c{customer}"))
            listeners[-1].read_list()
        yield listeners
    finally:
        for listener in listeners:
            listener.close()


def _waits(port: int, listeners: list[_Listener], seconds: float) -> Iterator[int]:
    """Let customers hide the first product of their lists, in turn; yield the nanoseconds until each one's new list."""
    connection = Connection(port).open()
    end = time.perf_counter() + seconds
    number = 0
    while time.perf_counter() < end:
        listener = listeners[number * 7919 % len(listeners)]
        begun = time.perf_counter_ns()
        event = {"customer_id": listener.customer, "event_type": "hide", "product_id": listener.products[0]}
        posted(connection, [event])
        yield listener.read_list() - begun
        number += 1
        time.sleep(max(0.0, 1 / _PER_SECOND - (time.perf_counter_ns() - begun) / 1e9))
    connection.close()


class _Listener:
    """One open stream, and the list that it showed last."""

    def __init__(self, port: int, customer: str) -> None:
        self.customer = customer
        self.products: list[ProductId] = []
        self._socket = socket.create_connection(("127.0.0.1", port), _WAIT_SECONDS)
        path = f"/api/v1/recommendations/stream?customer_id={customer}&n={SHOWN}"
        self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\n\r\n".encode())

    def read_list(self) -> int:
        """Wait for the next list; return when it was whole. Raises `BenchmarkError` when none comes in time."""
        received = b""
        try:
            while not (_LIST in received and received.endswith(b"\n\n\r\n")):
                block = self._socket.recv(1 << 16)
                if not block:
                    raise BenchmarkError("the service ended a stream")
                received += block
        except TimeoutError as error:
            raise BenchmarkError(f"{self.customer} was shown no list within {_WAIT_SECONDS:g} s") from error
        when = time.perf_counter_ns()
        line = received.rpartition(_LIST)[2].partition(b"\n")[0]
        self.products = [row["product_id"] for row in orjson.loads(line)["recommendations"]]
        return when

    def close(self) -> None:
        """Hang up."""
        self._socket.close()
