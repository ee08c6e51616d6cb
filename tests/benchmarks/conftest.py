"""A tiny HTTP server whose delays, stalls and errors are known, as something to measure."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

Behaviour = Callable[[int], tuple[int, float]]


class KnownServer:
    """Answers request number i with `behaviour(i)`: a status, and seconds that nobody is served in meanwhile."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._loop = asyncio.new_event_loop()
        self.requests: list[bytes] = []
        self.bodies: list[bytes] = []
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        self._thread.start()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.01))
        self._loop.close()

    def _run(self) -> None:
        self._loop.run_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                number = len(self.requests)
                self.requests.append(head)
                length = head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]
                self.bodies.append(await reader.readexactly(int(length or 0)))
                status, stall = self._behaviour(number)
                time.sleep(stall)  # everybody waits, as for a service that does one thing at a time
                writer.write(b"HTTP/1.1 %d OK\r\nContent-Length: 4\r\n" % status)
                await writer.drain()
                writer.write(b"\r\nfine")  # in two pieces, as answers may come
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


@pytest.fixture
def known_server():
    """Starts servers with a given behaviour, and stops them in the end."""
    started: list[KnownServer] = []

    def start(behaviour: Behaviour = lambda _number: (200, 0.0)) -> KnownServer:
        started.append(KnownServer(behaviour))
        started[-1].start()
        return started[-1]

    yield start
    for server in started:
        server.stop()
