"""An open loop: requests are sent when they are due, whether or not those before them were answered.

The latency of a request counts from the moment it was due, so that a service that stalls is charged for everyone who
would have come meanwhile, not only for the few who were being served (coordinated omission). A request that waits for
a free connection goes on waiting at the service's expense; how late the generator itself looked at its clock is
measured beside, so that its own limits are seen.

`python -m benchmarks.generator` reads an `Arrivals` as JSON from standard input and writes the timings to a file.
"""

from __future__ import annotations

import gc
import select
import sys
import time
from array import array
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from benchmarks.http_connection import Connection
from benchmarks.traffic import Traffic

SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Arrivals:
    """How many requests a second arrive, for how long, over how many connections."""

    rate: float
    seconds: float
    connections: int = 256
    """Many, so that a question seldom has to wait until a post has let go of a connection."""
    patience_seconds: float = 30.0
    """How long answers are waited for after the last request was due."""
    tick_seconds: float = 0.0005
    """Pause between looks at the clock and the sockets. Waking up for every single request would take most of a core
    away from the service; so latencies are overstated by up to two ticks, never understated."""


class Timings(NamedTuple):
    """What became of each request, by number; number `i` was due `i / rate` seconds after the start.

    Shapes: latency int64[n] (ns since it was due; -1 without an answer), lag int64[n] (ns from when it was due until
    the generator looked at it), status int64[n] (HTTP; 0 without an answer).
    """

    latency: NDArray[np.int64]
    lag: NDArray[np.int64]
    status: NDArray[np.int64]
    cpu_seconds: float
    """Processor time that the generator itself took."""


class OpenLoop:
    """Sends the requests of a stream at a constant rate, in this thread."""

    def __init__(self, port: int, arrivals: Arrivals, request: Callable[[int], bytes]) -> None:
        self._arrivals = arrivals
        self._request = request
        self._total = int(arrivals.rate * arrivals.seconds)
        self._interval = SECOND / arrivals.rate
        self._connections = [Connection(port) for _ in range(arrivals.connections)]
        self._latency, self._lag, self._status = (array("q", [empty]) * self._total for empty in (-1, 0, 0))
        self._seen = self._sent = self._ended = 0

    def run(self) -> Timings:
        """Send everything, wait for the answers, and close; raises `OSError` when the service cannot be reached."""
        self._poll = select.epoll()
        self._by_descriptor: dict[int, Connection] = {}
        self._idle: deque[Connection] = deque()
        for connection in self._connections:
            self._open(connection)
        gc.collect()
        gc.disable()
        try:
            cpu_seconds = self._loop()
        finally:
            gc.enable()
            for connection in self._connections:
                connection.close()
            self._poll.close()
        latency, lag, status = (np.frombuffer(column, np.int64) for column in (self._latency, self._lag, self._status))
        return Timings(latency, lag, status, cpu_seconds)

    def _loop(self) -> float:
        """Return the processor time it took."""
        cpu_before = time.process_time()
        self._start = time.perf_counter_ns()
        end = int((self._arrivals.seconds + self._arrivals.patience_seconds) * SECOND)
        while self._ended < self._total:
            now = time.perf_counter_ns() - self._start
            if now > end:
                break
            self._send_due(now)
            time.sleep(self._arrivals.tick_seconds)
            for descriptor, _ in self._poll.poll(0):
                self._receive(self._by_descriptor[descriptor])
        return time.process_time() - cpu_before

    def _send_due(self, now: int) -> None:
        """Note what has become due, and send as much of it as there are free connections."""
        due = min(int(now / self._interval) + 1, self._total)
        for number in range(self._seen, due):
            self._lag[number] = now - int(number * self._interval)
        self._seen = due
        while self._sent < due and self._idle:
            connection = self._idle.popleft()
            connection.number = self._sent
            self._sent += 1
            connection.send(self._request(connection.number))

    def _receive(self, connection: Connection) -> None:
        try:
            reply = connection.receive()
        except ConnectionError:
            self._lost(connection)
            return
        if reply is not None:
            number = connection.number
            self._latency[number] = time.perf_counter_ns() - self._start - int(number * self._interval)
            self._status[number] = reply.status
            self._end(connection)

    def _end(self, connection: Connection) -> None:
        self._ended += 1
        connection.number = -1
        self._idle.append(connection)

    def _open(self, connection: Connection) -> None:
        connection.open()
        self._by_descriptor[connection.socket.fileno()] = connection
        self._poll.register(connection.socket.fileno(), select.EPOLLIN)
        self._idle.append(connection)

    def _lost(self, connection: Connection) -> None:
        """Connect anew; a request that was under way stays without an answer."""
        self._poll.unregister(connection.socket.fileno())
        connection.close()
        if connection.number >= 0:
            self._ended += 1
            connection.number = -1
        else:
            self._idle.remove(connection)
        self._open(connection)


def main() -> None:
    """Do what standard input asks for."""
    asked = orjson.loads(sys.stdin.buffer.read())
    traffic = Traffic(**asked["traffic"])
    timings = OpenLoop(asked["port"], Arrivals(**asked["arrivals"]), traffic.request).run()
    np.savez(Path(asked["out"]), **timings._asdict())


if __name__ == "__main__":
    main()
