"""The floor: the same server with as many processes, and a ready reply of the same size.

As a plain ASGI callable, or within the parser's callback as the service answers its queries (`serving.http_protocol`).
"""

from __future__ import annotations

import multiprocessing
import socket
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from multiprocessing.synchronize import Semaphore
from typing import Any

from active_customers.realtime.api import RECOMMENDATIONS
from active_customers.realtime.problems import Reply
from active_customers.serving.server import listen, run

Message = MutableMapping[str, Any]


class AtOnce:
    """An application whose queries are answered without ASGI."""

    def __init__(self, app: Callable[..., Awaitable[None]], size: int) -> None:
        self._app = app
        reply = Reply(200, [(b"content-type", b"application/json")], b"x" * size)
        self.at_once = {RECOMMENDATIONS.encode(): lambda _headers, _query: reply}

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        """Pass everything else on."""
        await self._app(scope, receive, send)


def static_app(size: int) -> Callable[..., Awaitable[None]]:
    """Return an application that answers everything with `size` bytes."""
    body = b"x" * size
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % size)]

    async def app(
        scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


def answer(app: Callable[..., Awaitable[None]], listener: socket.socket, ready: Semaphore) -> None:
    """Be one of the processes."""
    run(app, listener, ready.release)


def main(size: int, workers: int, *, at_once: bool) -> None:
    """Answer with as many processes on one socket until this one is asked to end."""
    app = AtOnce(static_app(size), size) if at_once else static_app(size)
    listener = listen("127.0.0.1", 0)
    fork = multiprocessing.get_context("fork")
    ready = fork.Semaphore(0)
    others = [fork.Process(target=answer, args=(app, listener, ready)) for _ in range(workers - 1)]
    for other in others:
        other.start()
    for _ in others:
        ready.acquire()
    port = listener.getsockname()[1]
    run(app, listener, lambda: print(f"ready: http://127.0.0.1:{port}", flush=True))
    for other in others:
        other.terminate()
        other.join()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), at_once=sys.argv[3:] == ["at-once"])
