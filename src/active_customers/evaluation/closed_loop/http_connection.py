"""One keep-alive HTTP/1.1 connection, one request at a time, with as little parsing as an answer needs."""

from __future__ import annotations

import socket
from typing import NamedTuple, Self

_READ = 1 << 18
_LENGTH = b"content-length: "


class Reply(NamedTuple):
    """An answer: its status and its body."""

    status: int
    body: bytes


class Connection:
    """A connection to loopback. Answers must come with a content-length.

    `send` and `receive` never wait, for loops that watch many connections; `exchange` does both and waits.
    """

    __slots__ = ("_port", "_received", "number", "socket")

    def __init__(self, port: int) -> None:
        self._port = port
        self._received = b""
        self.number = -1
        """Whatever the caller wants to remember of the request under way."""

    def open(self) -> Self:
        """Connect; raises `OSError` when nobody listens."""
        self.socket = socket.create_connection(("127.0.0.1", self._port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""
        return self

    def close(self) -> None:
        """Disconnect."""
        self.socket.close()

    def send(self, request: bytes) -> None:
        """Send a request; the last answer must have been received."""
        self.socket.sendall(request)

    def receive(self) -> Reply | None:
        """Read what is there; None while the answer is incomplete. Raises `ConnectionError` at its end."""
        received = self.socket.recv(_READ)
        if not received:
            raise ConnectionResetError("the service closed a connection")
        if self._received:
            received = self._received + received
        reply = parse(received)
        self._received = b"" if reply is not None else received
        return reply

    def exchange(self, request: bytes) -> Reply:
        """Send a request and wait for the answer."""
        self.send(request)
        while (reply := self.receive()) is None:
            pass
        return reply


def parse(received: bytes) -> Reply | None:
    """Return the answer; None while it is not whole."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = received[:end].lower()
    start = head.find(_LENGTH) + len(_LENGTH)
    if start < len(_LENGTH):
        raise ConnectionError("an answer without a content-length")
    stop = head.find(b"\r", start)
    length = int(head[start:] if stop < 0 else head[start:stop])
    body = received[end + 4 :]
    return Reply(int(received[9:12]), body) if len(body) >= length else None
