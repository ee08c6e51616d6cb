"""A small shop in memory, whose answers are known by construction."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import cache
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any
from urllib.parse import urlencode
from weakref import finalize

import numpy as np
import orjson
import pytest
from tests.conftest import NOW

from active_customers.batch.daily_refresh import ModelConfigs
from active_customers.catalog.table import CatalogTable, TableReader
from active_customers.core.attribution import TokenSigner
from active_customers.core.clock import HOUR, SECOND, ManualClock, format_time
from active_customers.core.event import TASTE_TYPES, Event, Receipt
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.product import Product
from active_customers.models.artifacts import Manifest
from active_customers.models.base import Arrays, SessionLog
from active_customers.models.hybrid_model import Hybrid
from active_customers.models.item_knn import ItemKnn
from active_customers.models.popularity import Popularity, PopularityConfig
from active_customers.models.product_features import features_of, tokens_of
from active_customers.realtime.access import Access, AccessConfig
from active_customers.realtime.answers import AnswerEncoder
from active_customers.realtime.engine import Engine
from active_customers.realtime.explain import Account, Explainer
from active_customers.realtime.explain_routes import parse_explain
from active_customers.realtime.hot_routes import HotRoutes
from active_customers.realtime.problems import Reply
from active_customers.realtime.product_cards import ProductCards
from active_customers.realtime.schemas import RecommendationAnswer
from active_customers.realtime.session_recommender import SessionRecommender, load_models
from active_customers.realtime.shelf_routes import HomepageAnswer, ShelfRoutes
from active_customers.realtime.shelves import Shelves
from active_customers.storage.memory import MemoryStore

KITCHEN = ["k0", "k1", "k2", "k3", "k4"]
GARDEN = ["g0", "g1", "g2", "g3", "g4"]
SIGNER = TokenSigner({0: b"k" * 32})


CONFIGS = ModelConfigs(popularity=PopularityConfig(popular_sessions=3))


def fitted(log: SessionLog) -> dict[str, Arrays]:
    """Return what each model learns from a log."""
    models = {
        "popularity": Popularity(CONFIGS.popularity),
        "item_knn": ItemKnn(CONFIGS.item_knn),
        "hybrid": Hybrid(CONFIGS.hybrid),
    }
    for model in models.values():
        model.fit(log)
    return {name: model.arrays() for name, model in models.items()}


class Shop:
    """A service without a server: post events, train, ask, on a clock that stands still."""

    def __init__(self, access: AccessConfig | None = None) -> None:
        self.clock = ManualClock(NOW)
        self.store = MemoryStore()
        folder = Path(mkdtemp(prefix="active-customers-test-"))
        finalize(self, rmtree, folder)
        self.table = CatalogTable(folder, self.store.catalog, self.clock)
        self.table.follow()
        self.cards = ProductCards(self.store.catalog, TableReader(folder))
        self.engine = Engine(self.store, self.cards, self.clock)
        encoder = AnswerEncoder(self.cards, SIGNER)
        self.explainer = Explainer(self.engine, self.store.catalog, self.cards)
        checked = Access(access or AccessConfig())
        self.hot = HotRoutes(checked, self.clock, (self.engine, encoder), self)
        self.shelves = Shelves(self.store, self.cards, self.engine, self.clock)
        self.pages = ShelfRoutes(checked, self.shelves, self.cards, SIGNER)
        self.engine.rules.follow()
        self.hot.rehearse()  # as a service does at its start: else the first answer is late

    async def append(self, events: list[Event]) -> list[Receipt]:
        return self.store.events.append(events, self.clock.now())

    def reply_to_post(self, body: object, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Reply:
        raw = body if isinstance(body, bytes) else orjson.dumps(body)

        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": raw}

        return asyncio.run(self.hot.events({"headers": headers}, receive))

    def post(self, body: object) -> tuple[int, Any]:
        """Return the status and the document that a body is answered with."""
        reply = self.reply_to_post(body)
        return reply.status, orjson.loads(reply.body)

    def act(self, customer: object, kind: str, product: object = None, **fields: object) -> None:
        """Post one event that must be accepted."""
        fields.setdefault("event_id", f"act-{self.store.events.next_position()}")
        event = {"customer_id": customer, "event_type": kind, **fields}
        status, document = self.post(event if product is None else event | {"product_id": product})
        assert (status, document["status"]) == (202, "accepted"), document

    def reply_to_get(self, query: str | bytes, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Reply:
        raw = query if isinstance(query, bytes) else query.encode()
        return asyncio.run(self.hot.recommendations({"headers": headers, "query_string": raw}, None))

    def ask(self, customer: object, **parameters: object) -> dict[str, Any]:
        """Return the answer to a query, which must be a good one in the declared shape."""
        reply = self.reply_to_get(urlencode({"customer_id": customer, **parameters}, doseq=True))
        assert reply.status == 200, reply.body
        RecommendationAnswer.model_validate_json(reply.body, strict=True)
        return orjson.loads(reply.body)

    def explain(self, customer: object, product: object, **parameters: object) -> Account:
        """Return the account of a product in the answer to a query."""
        given = {"customer_id": customer, "product_id": product, **parameters}
        query, product_id = parse_explain(urlencode(given, doseq=True).encode())
        return self.explainer.account(query, product_id)

    def products(self, customer: object, **parameters: object) -> list[object]:
        """Return the ids in the answer to a query, in order."""
        return [shown["product_id"] for shown in self.ask(customer, **parameters)["recommendations"]]

    def sell(self, *products: Product) -> None:
        """Put products into the catalogue."""
        self.store.catalog.put_products(products)
        self.table.update([product.product_id for product in products])
        self.look_through()

    def look_through(self) -> None:
        """Let the indexes of the catalogue know what changed, as a service does every second."""
        self.engine.storefront.kinds.follow()
        self.engine.storefront.words.follow()

    def page(self, customer: object, **parameters: object) -> dict[str, Any]:
        """Return a page, which must be in the declared shape."""
        reply = self.pages.answer([], urlencode({"customer_id": customer, **parameters}).encode())
        assert reply.status == 200, reply.body
        HomepageAnswer.model_validate_json(reply.body, strict=True)
        return orjson.loads(reply.body)

    def shelf(self, customer: object, code: str, **parameters: object) -> list[object]:
        """Return the ids on one shelf of a page, in order; none where it is left out."""
        shelves = self.page(customer, shelves=10, **parameters)["shelves"]
        return [row["product_id"] for shelf in shelves if shelf["code"] == code for row in shelf["products"]]

    def session(self, number: int, products: list[str], kind: str = "view") -> None:
        """Post a session of a customer of its own; higher numbers lie further back."""
        for place, product in enumerate(products):
            at = format_time(NOW - number * HOUR - (len(products) - place) * SECOND)
            self.act(f"shopper-{number}-{kind}", kind, product, timestamp=at)

    def learn(self, version: str = "v1") -> None:
        """Train on everything posted so far and put it in force."""
        self.put_in_force(version, fitted(self.history()))

    def put_in_force(self, version: str, arrays: dict[str, Arrays]) -> None:
        """Answer by models that were fitted before."""
        manifest = Manifest(version, NOW, 1, self.store.catalog.n_products(), CONFIGS.model_dump(mode="json"), {}, {})
        self.engine.recommender = SessionRecommender(load_models(manifest, arrays))

    def history(self) -> SessionLog:
        entries = [e for e in self.store.events.read(1, 10**6) if e.product != NO_NUMBER]
        entries = [entry for entry in entries if entry.event.event_type in TASTE_TYPES]
        columns = {
            "session": [entry.session for entry in entries],
            "product": [entry.product for entry in entries],
            "event_type": [int(entry.event.event_type) for entry in entries],
            "time": [entry.event.time for entry in entries],
            "customer": [entry.customer for entry in entries],
        }
        arrays = {name: np.array(values, np.int64) for name, values in columns.items()}
        n_products, catalog = self.store.catalog.n_products(), self.store.catalog.products()
        features = features_of(((number, tokens_of(product)) for number, product in catalog), n_products)
        return replace(SessionLog.from_rows(arrays, n_products, NOW), features=features)


def _untrained() -> Shop:
    """Kitchen and garden products that never meet in a session; whoever buys k0 buys k4; one product is rare."""
    shop = Shop()
    for number in range(1, 11):
        shop.session(number, KITCHEN[number % 5 :] + KITCHEN[: number % 5])
        shop.session(number + 20, GARDEN[number % 5 :] + GARDEN[: number % 5])
    for number in range(1, 6):
        shop.session(number + 50, ["k0", "k4"], "purchase")
    shop.session(70, ["rare"])
    shop.sell(Product("k1", name="Pan"), Product("g1", name="Rake", replenishable=True))
    return shop


@cache
def _learned() -> dict[str, Arrays]:
    return fitted(_untrained().history())


def two_worlds() -> Shop:
    """The shop of `_untrained` with the models of its history, which are fitted once: nothing writes into them."""
    shop = _untrained()
    shop.put_in_force("v1", _learned())
    return shop


@pytest.fixture
def empty_shop() -> Shop:
    return Shop()


@pytest.fixture
def shop() -> Shop:
    return two_worlds()
