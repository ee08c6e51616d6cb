"""Customers with sessions: what a shop's visitors did just before they are measured with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import orjson

from benchmarks.errors import BenchmarkError
from benchmarks.http_connection import Connection
from benchmarks.traffic import CUSTOMERS, get, post

_EVENTS_EACH = 4
_NEIGHBOURHOODS = 50
_BATCH = 250

ProductId = int | str


@dataclass(frozen=True, slots=True)
class Audience:
    """Customers c0, c1, ... have a session each by now."""

    products: list[ProductId]
    """Products of the shop that are near to those it recommends; what is posted under load."""
    answer_bytes: int
    """Size of an answer with ten products."""


def give_sessions(port: int, customers: int = CUSTOMERS) -> Audience:
    """Post a session of a few views for each customer, over products that the shop shows beside each other."""
    rng = np.random.default_rng(1)
    connection = Connection(port).open()
    try:
        neighbourhoods = _neighbourhoods(connection, rng)
        for first in range(0, customers, _BATCH):
            events = [
                {"customer_id": f"c{customer}", "event_type": "view", "product_id": product}
                for customer in range(first, first + _BATCH)
                for product in _some(rng, neighbourhoods[customer % len(neighbourhoods)], _EVENTS_EACH)
            ]
            posted(connection, events)
        size = len(connection.exchange(get("c1", context="home", n=10)).body)
    finally:
        connection.close()
    return Audience(list({product for group in neighbourhoods for product in group}), size)


def asked(connection: Connection, request: bytes) -> list[ProductId]:
    """Return the products of an answer; raises `BenchmarkError` when it is none."""
    reply = connection.exchange(request)
    if reply.status != 200:
        raise BenchmarkError(f"a question was answered {reply.status}: {reply.body[:300]!r}")
    return [entry["product_id"] for entry in orjson.loads(reply.body)["recommendations"]]


def posted(connection: Connection, events: Sequence[Mapping[str, object]]) -> None:
    """Post a batch; raises `BenchmarkError` unless it was accepted."""
    reply = connection.exchange(post(orjson.dumps({"events": list(events)})))
    if reply.status != 202:
        raise BenchmarkError(f"a post was answered {reply.status}: {reply.body[:300]!r}")


def _neighbourhoods(connection: Connection, rng: np.random.Generator) -> list[list[ProductId]]:
    """Walk from what is popular to what is near it, and on from there."""
    known = asked(connection, get("walker", n=100))
    found: list[list[ProductId]] = []
    for _ in range(_NEIGHBOURHOODS):
        start = _some(rng, known, 1)[0]
        near = asked(connection, get("walker", context="browse", product_id=start, n=100))
        found.append([start, *near])
        known = [*known, *near]
    return found


def _some(rng: np.random.Generator, products: list[ProductId], n: int) -> list[ProductId]:
    return [products[i] for i in rng.integers(0, len(products), n).tolist()]
