"""The floor: the same server with as many processes, a plain ASGI callable, a ready reply of the same size."""

from __future__ import annotations

import multiprocessing
import socket
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from multiprocessing.synchronize import Semaphore
from typing import Any

from active_customers.serving.server import listen, run

Message = MutableMapping[str, Any]


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


def answer(size: int, listener: socket.socket, ready: Semaphore) -> None:
    """Be one of the processes."""
    run(static_app(size), listener, ready.release)


def main(size: int, workers: int) -> None:
    """Answer with as many processes on one socket until this one is asked to end."""
    listener = listen("127.0.0.1", 0)
    fork = multiprocessing.get_context("fork")
    ready = fork.Semaphore(0)
    others = [fork.Process(target=answer, args=(size, listener, ready)) for _ in range(workers - 1)]
    for other in others:
        other.start()
    for _ in others:
        ready.acquire()
    port = listener.getsockname()[1]
    run(static_app(size), listener, lambda: print(f"ready: http://127.0.0.1:{port}", flush=True))
    for other in others:
        other.terminate()
        other.join()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
