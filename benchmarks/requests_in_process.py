"""The parts of an answer, called in this process: no server, no socket, no second process."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from active_customers.config.settings import Settings
from active_customers.storage.data_dir import DataDirectory
from active_customers.wiring import build
from benchmarks.errors import BenchmarkError


class Answering:
    """A whole service without its server, over a data directory that nobody else has open."""

    def __init__(self, data_dir: Path) -> None:
        self._directory = DataDirectory(data_dir)

    def __enter__(self) -> Self:
        """Open it; its work in the background stands still while something is timed."""
        self._loop = asyncio.new_event_loop()
        self.services = build(Settings(), self._directory)
        self._loop.run_until_complete(self.services.parts.start())
        gc.collect()
        gc.freeze()
        return self

    def __exit__(self, *_error: object) -> None:
        """Close it."""
        gc.unfreeze()
        self._loop.run_until_complete(self.services.parts.stop())
        self._loop.close()

    def time_requests(self, n_requests: int) -> NDArray[np.int64]:
        """Return the nanoseconds of each GET, from its query string to the body, as many customers in turn."""
        hot = self.services.hot
        scopes: list[dict[str, Any]] = [
            {"headers": [], "query_string": f"customer_id=c{number * 7919 % n_requests}&context=home&n=10".encode()}
            for number in range(n_requests)
        ]

        async def answer_all() -> NDArray[np.int64]:
            took = np.empty(n_requests, np.int64)
            for number, scope in enumerate(scopes):
                started = time.perf_counter_ns()
                reply = await hot.recommendations(scope, _no_body)
                took[number] = time.perf_counter_ns() - started
                if reply.status != 200:
                    raise BenchmarkError(f"a question was answered {reply.status}: {reply.body[:300]!r}")
            return took

        return self._loop.run_until_complete(answer_all())


async def _no_body() -> dict[str, Any]:
    return {"type": "http.request", "body": b""}


def timed(call: Callable[[int], object], n_calls: int) -> NDArray[np.int64]:
    """Return the nanoseconds of each of `call(0)`, `call(1)`, ..."""
    took = np.empty(n_calls, np.int64)
    clock = time.perf_counter_ns
    for number in range(n_calls):
        started = clock()
        call(number)
        took[number] = clock() - started
    return took
