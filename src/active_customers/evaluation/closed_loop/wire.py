"""What simulated customers send and are answered, as bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

import numpy as np
import orjson
from numpy.typing import NDArray

from active_customers.core.clock import format_time
from active_customers.core.event import Channel, Context, EventType
from active_customers.core.identifiers import json_id
from active_customers.evaluation.closed_loop.http_connection import Reply
from active_customers.evaluation.simulator import Shop, customer_id, product_id
from active_customers.evaluation.simulator.catalogue import CURRENCY
from active_customers.evaluation.simulator.journal import NONE, Column
from active_customers.evaluation.simulator.naming import FIRST_ID
from active_customers.evaluation.simulator.searches import search_texts
from active_customers.evaluation.simulator.visits import Visits

Integers = NDArray[np.int64]

EVENTS = "/api/v1/events"
HOMEPAGE = "/api/v1/homepage"
RECOMMENDATIONS = "/api/v1/recommendations"
SHELVES = 3
"""Of a homepage, that are asked for; its products are read shelf by shelf, and all shelves have about `n` together."""
_ABOUT_PRODUCT = (int(Context.BROWSE), int(Context.OUT_OF_STOCK))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a customer was shown: rows of the catalogue, and what the service said of the answer."""

    products: list[int]
    tokens: list[str | None]
    """The `recommendation_id` of each product's list: shelves have their own."""
    model_version: str
    strategy: str | None
    variants: dict[str, str]

    @classmethod
    def of(cls, reply: Reply, n_products: int) -> Answer | None:
        """Return a reply as an answer, without products that the shop does not know; None for a failure."""
        if reply.status != 200:
            return None
        body = orjson.loads(reply.body)
        told = body["metadata"]
        if "shelves" in body:
            lists = [(shelf["recommendation_id"], shelf["products"]) for shelf in body["shelves"]]
        else:
            lists = [(told.get("recommendation_id"), body["recommendations"])]
        shown = [(int(row["product_id"]) - FIRST_ID, token) for token, rows in lists for row in rows]
        shown = [(row, token) for row, token in shown if 0 <= row < n_products]
        return cls(
            products=[row for row, _ in shown],
            tokens=[token for _, token in shown],
            model_version=str(told["model_version"]),
            strategy=told.get("strategy"),
            variants=told.get("experiments") or told.get("variants") or {},
        )

    def seen(self, n: int) -> dict[str | None, list[int]]:
        """Return the first `n` products by the token of their list."""
        lists: dict[str | None, list[int]] = {}
        for product, token in zip(self.products[:n], self.tokens, strict=False):
            lists.setdefault(token, []).append(product)
        return lists

    def token_of(self, product: int) -> str | None:
        """Return the token of the list in which a product was shown."""
        return self.tokens[self.products.index(product)]


class Wire:
    """Writes requests; with a key when the service asks for one."""

    def __init__(self, key: str | None) -> None:
        self._head = "Host: localhost\r\n" + (f"X-API-Key: {key}\r\n" if key else "")

    def get(self, path: str) -> bytes:
        """Return a GET."""
        return f"GET {path} HTTP/1.1\r\n{self._head}\r\n".encode()

    def post(self, path: str, body: object) -> bytes:
        """Return a POST of a JSON document."""
        content = orjson.dumps(body)
        head = f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        return f"POST {path} HTTP/1.1\r\n{self._head}{head}".encode() + content


class Questions:
    """Writes what pages ask for."""

    def __init__(self, shop: Shop, n: int, *, has_homepage: bool) -> None:
        assortment = shop.catalogue.assortment
        anonymous = shop.customers.is_anonymous.tolist()
        self._customers = [customer_id(i, is_anonymous) for i, is_anonymous in enumerate(anonymous)]
        self._categories = [quote(category.path) for category in assortment.categories]
        self._searches = [quote(text) for text in search_texts(assortment)[: len(assortment.kinds)]]
        self._n = n
        self._home = f"{HOMEPAGE}?shelves={SHELVES}&n={max(1, n // SHELVES)}" if has_homepage else ""

    def paths(self, visits: Visits, rows: Integers, source: Integers) -> list[str]:
        """Return the path of the request of each page; `source` (`Context`, int64[s]) says which page it is."""
        columns = (visits.customer, visits.channel, visits.current, visits.needs.category, visits.needs.kind)
        taken = zip(source.tolist(), *(column[rows].tolist() for column in columns), strict=True)
        return [self._path(*row) for row in taken]

    def _path(self, source: int, *page: int) -> str:
        customer, channel, current, category, kind = page
        if source == Context.HOME and self._home:
            return f"{self._home}&customer_id={self._customers[customer]}&channel={Channel(channel).word}"
        path = (
            f"{RECOMMENDATIONS}?customer_id={self._customers[customer]}&n={self._n}"
            f"&context={Context(source).word}&channel={Channel(channel).word}"
        )
        if source in _ABOUT_PRODUCT and current != NONE:
            return f"{path}&product_id={product_id(current)}"
        if source == Context.CATEGORY:
            return f"{path}&category={self._categories[category]}"
        return f"{path}&query={self._searches[kind]}" if source == Context.SEARCH else path


class Acts:
    """Writes what customers did as events that can be posted, and numbers them."""

    def __init__(self, shop: Shop) -> None:
        assortment = shop.catalogue.assortment
        anonymous = shop.customers.is_anonymous.tolist()
        self._customers = [json_id(customer_id(i, is_anonymous)) for i, is_anonymous in enumerate(anonymous)]
        self._queries = search_texts(assortment)
        self._categories = [category.path for category in assortment.categories]
        self._written = 0
        self.answers: dict[int, Answer] = {}
        """By number: what customers act on, for the tokens that go with their acts."""

    def in_order(self, columns: dict[str, Column]) -> Iterator[tuple[int, dict[str, object]]]:
        """Yield customer and event of each row of `journal.COLUMNS`."""
        for values in zip(*(column.tolist() for column in columns.values()), strict=True):
            row = dict(zip(columns, values, strict=True))
            for event in self._events(row):
                yield row["customer"], event

    def by_customer(self, columns: dict[str, Column]) -> list[list[dict[str, object]]]:
        """Return the events of each customer, in the order of the rows."""
        batches: dict[int, list[dict[str, object]]] = {}
        for customer, event in self.in_order(columns):
            batches.setdefault(customer, []).append(event)
        return list(batches.values())

    def _events(self, row: dict[str, int]) -> Iterator[dict[str, object]]:
        """Yield a row as an event; what was seen of several lists as one each."""
        answer = self.answers.get(row["answer"])
        if answer is None:
            yield self._event(row)
        elif row["event_type"] == EventType.IMPRESSION:
            for token, products in answer.seen(row["quantity"]).items():
                shown = [FIRST_ID + product for product in products]
                yield {**self._event(row), "product_ids": shown, "recommendation_id": token}
        else:
            yield {**self._event(row), "recommendation_id": answer.token_of(row["product"])}

    def _event(self, row: dict[str, int]) -> dict[str, object]:
        self._written += 1
        event: dict[str, object] = {
            "event_id": f"loop-{self._written}",
            "customer_id": self._customers[row["customer"]],
            "event_type": EventType(row["event_type"]).word,
            "timestamp": format_time(row["time"]),
        }
        if row["product"] != NONE:
            event["product_id"] = FIRST_ID + row["product"]
        if row["session"] != NONE:
            event["session_id"] = f"s{row['session']}"
            event["channel"] = Channel(row["channel"]).word
        if row["context"] != NONE:
            event["context"] = Context(row["context"]).word
        self._add_rare(event, row)
        return event

    def _add_rare(self, event: dict[str, object], row: dict[str, int]) -> None:
        """Add what few events have."""
        if row["price"] == row["price"]:
            event |= {"price": row["price"], "currency": CURRENCY, "quantity": row["quantity"]}
        if row["order"] != NONE:
            event["order_id"] = f"o{row['order']}"
        if row["query"] != NONE:
            event["query"] = self._queries[row["query"]]
        if row["category"] != NONE:
            event["category"] = self._categories[row["category"]]
