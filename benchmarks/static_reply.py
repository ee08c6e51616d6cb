"""The floor: the same server, a plain ASGI callable, a ready reply of the same size."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, MutableMapping
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


if __name__ == "__main__":
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    run(static_app(int(sys.argv[1])), listener, lambda: print(f"ready: http://127.0.0.1:{port}", flush=True))
