"""Many connections to a service on loopback, over which a batch of requests is answered as fast as the service can."""

from __future__ import annotations

import select
import time
from collections.abc import Sequence
from contextlib import suppress

from active_customers.core.errors import ActiveCustomersError
from active_customers.evaluation.closed_loop.http_connection import Connection, Reply

_TRIES = 5
_PATIENCE_SECONDS = 60.0
_BUSY = 503
_BUSY_PAUSE_SECONDS = 0.2


class UnavailableError(ActiveCustomersError):
    """The service that customers were to meet does not answer."""


class Crowd:
    """Sends requests, as many at once as there are connections.

    Requests must be harmless to repeat (events carry an `event_id`): what is lost with a connection, or answered 503,
    is sent again some times.
    """

    def __init__(self, port: int, connections: int) -> None:
        self._port = port
        self._connections = [Connection(port) for _ in range(connections)]
        self._poll = select.epoll()
        self._by_descriptor: dict[int, Connection] = {}
        for connection in self._connections:
            self._open(connection)

    def close(self) -> None:
        """Disconnect."""
        for connection in self._connections:
            connection.close()
        self._poll.close()

    def exchange(self, requests: Sequence[bytes]) -> list[Reply]:
        """Return the answer to each request; raises `UnavailableError` when the service does not answer."""
        replies = self._once(requests, list(range(len(requests))))
        for _ in range(_TRIES):
            busy = [number for number, reply in replies.items() if reply.status == _BUSY]
            if not busy:
                break
            time.sleep(_BUSY_PAUSE_SECONDS)
            replies |= self._once(requests, busy)
        return [replies[number] for number in range(len(requests))]

    def _once(self, requests: Sequence[bytes], numbers: list[int]) -> dict[int, Reply]:
        waiting = list(reversed(numbers))
        replies: dict[int, Reply] = {}
        lost = 0
        for connection in self._connections[: len(waiting)]:
            lost += not self._send(connection, requests, waiting)
        while len(replies) < len(numbers):
            ready = self._poll.poll(_PATIENCE_SECONDS)
            if not ready or lost > _TRIES * len(self._connections):
                raise UnavailableError("the service does not answer: see its log")
            for descriptor, _ in ready:
                connection = self._by_descriptor[descriptor]
                try:
                    reply = connection.receive()
                except ConnectionError:
                    lost += 1
                    self._again(connection, requests)
                    continue
                if reply is not None:
                    replies[connection.number] = reply
                    connection.number = -1
                    lost += not self._send(connection, requests, waiting)
        return replies

    def _send(self, connection: Connection, requests: Sequence[bytes], waiting: list[int]) -> bool:
        """Send the next request, if any waits; return whether the connection still stood."""
        if not waiting:
            return True
        connection.number = waiting.pop()
        try:
            connection.send(requests[connection.number])
        except ConnectionError:
            self._again(connection, requests)
            return False
        return True

    def _again(self, connection: Connection, requests: Sequence[bytes]) -> None:
        """Connect anew, and send what was under way once more."""
        with suppress(OSError):
            self._poll.unregister(connection.socket.fileno())
        connection.close()
        self._open(connection)
        if connection.number >= 0:
            connection.send(requests[connection.number])

    def _open(self, connection: Connection) -> None:
        try:
            connection.open()
        except OSError as error:
            raise UnavailableError(f"nobody answers on port {self._port} of 127.0.0.1: {error.strerror}") from error
        self._by_descriptor[connection.socket.fileno()] = connection
        self._poll.register(connection.socket.fileno(), select.EPOLLIN)
