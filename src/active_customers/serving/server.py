"""Running the ASGI application in this process."""

from __future__ import annotations

import gc
import logging
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp

from active_customers.core.errors import SettingsError
from active_customers.serving.http_protocol import Departures, HttpProtocol

_BACKLOG = 2048
_SECONDS_TO_DRAIN = 10
_MOST_FILES = 65_536


def listen(host: str, port: int) -> socket.socket:
    """Return a TCP socket with an address; raises `SettingsError` when that cannot be had.

    It listens once a server runs on it: before, nobody is let in who would have to wait for an answer.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise _unlistened(host, port, error.strerror) from error
    return listener


def _unlistened(host: str, port: int, why: str | None) -> SettingsError:
    return SettingsError("server.port", f"{host}:{port}", f"it cannot be listened on ({why}): choose another --port")


def allow_connections() -> None:
    """Let this process have as many connections as the system allows it: by default it is often 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


class _Server(uvicorn.Server):
    """Says when it answers."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None], on_end: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._on_end = on_end

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        addresses = [listener.getsockname()[:2] for listener in sockets or ()]
        await super().startup(sockets)
        for listener, (host, port) in zip(sockets or (), addresses, strict=True):
            if listener.fileno() < 0:  # the event loop closes what it cannot listen on, without a word
                raise _unlistened(host, port, "another service began to listen there meanwhile")
        if self.started:
            gc.collect()
            gc.freeze()  # what is loaded by now stays: collections need not look at it again
            self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._on_end()  # before it waits for the requests under way
        await super().shutdown(sockets)


def _do_nothing() -> None:
    """Do nothing."""


def run(
    app: ASGIApp, listener: socket.socket, on_ready: Callable[[], None], on_end: Callable[[], None] = _do_nothing
) -> bool:
    """Serve until SIGTERM or SIGINT, then drain; return whether the application could start at all.

    `on_end` is called first thing when it is to end: what would go on for ever is ended there.
    """
    allow_connections()
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=cast("Any", partial(HttpProtocol, Departures())),
        lifespan="on",
        access_log=False,
        proxy_headers=False,
        log_config=None,
        server_header=False,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=_SECONDS_TO_DRAIN,
    )
    server = _Server(config, on_ready, on_end)
    with _signals_ignored():
        server.run([listener])
    gc.unfreeze()
    return server.started


@contextmanager
def _signals_ignored() -> Iterator[None]:
    """Ignore the signals that end a service: uvicorn takes them, drains, and then raises them again."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
