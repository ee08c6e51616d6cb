"""What is asked of a service under load, as bytes that are ready to be sent."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

import orjson

KEY = "benchmark-key-0123456789"
"""API keys are on in every benchmark."""

CUSTOMERS = 10_000
"""Customers who take turns, each with a session of its own."""

_HEAD = f"Host: localhost\r\nX-API-Key: {KEY}\r\n"


def get(customer: str, **parameters: object) -> bytes:
    """Return a GET of recommendations; `parameters` are those of the query."""
    query = "".join(f"&{name}={quote(str(value))}" for name, value in parameters.items())
    return get_path(f"/api/v1/recommendations?customer_id={customer}{query}")


def get_path(path: str) -> bytes:
    """Return a GET of any address of the service."""
    return f"GET {path} HTTP/1.1\r\n{_HEAD}\r\n".encode()


def post(body: bytes) -> bytes:
    """Return a POST of an event, or of a batch."""
    head = (
        f"POST /api/v1/events HTTP/1.1\r\n{_HEAD}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Traffic:
    """A stream of requests by number: customers in turn, every `post_every`-th one a view that is posted (0: none).

    `run` makes the ids of its events differ from those of every other run.
    """

    def __init__(self, post_every: int, products: Sequence[int | str], run: str) -> None:
        self._post_every = post_every
        self._gets = [get(f"c{customer}", context="home", n=10) for customer in range(CUSTOMERS)]
        self._products = [orjson.dumps(product) for product in products]
        self._run = run.encode()

    def request(self, number: int) -> bytes:
        """Return the request of a number, always the same one."""
        customer = (number + number // 5) % CUSTOMERS  # so that those who post are asked for, too
        if not self._post_every or number % self._post_every:
            return self._gets[customer]
        product = self._products[number * 7919 % len(self._products)]
        event = b'{"event_id":"%b-%d","customer_id":"c%d","event_type":"view","product_id":%b}'
        return post(event % (self._run, number, customer, product))
