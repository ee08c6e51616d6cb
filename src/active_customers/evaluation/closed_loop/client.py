"""What the simulated shop says to the service, and what goes wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import orjson

from active_customers.core.clock import format_time
from active_customers.evaluation.closed_loop.crowd import Crowd, UnavailableError
from active_customers.evaluation.closed_loop.http_connection import Reply
from active_customers.evaluation.closed_loop.place import Place
from active_customers.evaluation.closed_loop.wire import EVENTS, Wire

PRODUCTS = "/api/v1/products"
BATCH = 1_000
"""Events or products in a request, at most."""
_TOLD = 5
"""Failures that are told in words."""
_REJECTED = b'"rejected"'


class Client:
    """Talks to a service over persistent connections, and counts."""

    def __init__(self, place: Place, connections: int) -> None:
        self._crowd = Crowd(place.port, connections)
        self._wire = Wire(place.key)
        self.requests = 0
        self.failures = 0
        self.first_failures: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._crowd.close()

    def ask(self, paths: Sequence[str]) -> list[Reply]:
        """Return the answer to each question, in their order."""
        replies = self._crowd.exchange([self._wire.get(path) for path in paths])
        self.requests += len(replies)
        for reply in replies:
            if reply.status != 200:
                self._fail(1, reply)
        return replies

    def post_events(self, batches: Sequence[list[dict[str, Any]]]) -> None:
        """Post events, those of a customer in one request, so that they stay in order."""
        replies = self._crowd.exchange([self._wire.post(EVENTS, {"events": batch}) for batch in batches])
        self.requests += len(replies)
        for reply, batch in zip(replies, batches, strict=True):
            if reply.status != 202:
                self._fail(len(batch), reply)
            elif _REJECTED in reply.body:
                self._fail(reply.body.count(_REJECTED), reply)

    def change_products(self, products: Sequence[dict[str, Any]], *, merge: bool) -> None:
        """Store products, or change some of their fields."""
        parts = [products[start : start + BATCH] for start in range(0, len(products), BATCH)]
        for part in parts:
            self._demand(self._wire.post(PRODUCTS, {"products": part, "merge": merge}))

    def move_clock(self, moment: int) -> None:
        """Move the service's clock; raises `UnavailableError` where it cannot be moved there."""
        self._demand(self._wire.post("/admin/clock", {"now": format_time(moment)}))

    def model_version(self) -> str:
        """Return the version in force."""
        return str(orjson.loads(self._demand(self._wire.get("/readyz")).body)["model_version"])

    def refusal(self, path: str) -> str | None:
        """Return why the service refuses a question; None where it answers."""
        reply = self._crowd.exchange([self._wire.get(path)])[0]
        return None if reply.status == 200 else _told(reply)

    def _demand(self, request: bytes) -> Reply:
        reply = self._crowd.exchange([request])[0]
        if reply.status != 200:
            raise UnavailableError(f"the service refuses what the closed loop needs: {_told(reply)}")
        return reply

    def _fail(self, number: int, reply: Reply) -> None:
        self.failures += number
        if len(self.first_failures) < _TOLD:
            self.first_failures.append(_told(reply))


def _told(reply: Reply) -> str:
    with suppress(orjson.JSONDecodeError, TypeError):
        body = orjson.loads(reply.body)
        rejected = [result["error"] for result in body.get("results", ()) if result.get("error")]
        return f"{reply.status}: {(rejected or [body.get('detail') or body.get('title')])[0]}"
    return str(reply.status)
