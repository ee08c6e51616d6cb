"""Compiles every kernel by running the whole job once, in small, so that no request and no command waits for it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlencode

import numpy as np
import orjson

from active_customers.batch.daily_refresh import Refresh
from active_customers.config.settings import Settings
from active_customers.core.clock import SystemClock
from active_customers.core.event import Channel, Context
from active_customers.core.product import Product
from active_customers.evaluation.simulator import SimulatorConfig, simulate
from active_customers.experiments.bandits import ThompsonConfig, make_policy
from active_customers.experiments.linear_bandits import LinearThompsonConfig, LinUcbConfig
from active_customers.experiments.request_features import FEATURES, features_of
from active_customers.importing.events import EventStore, import_events
from active_customers.importing.products import import_products
from active_customers.importing.request import ImportRequest
from active_customers.realtime.hot_routes import Receive
from active_customers.realtime.schemas import SERVED_CONTEXTS, Query
from active_customers.serving.writer_socket import open_for_writing
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.embedded import EmbeddedStore
from active_customers.terminal import Report
from active_customers.wiring import build, build_live

_STEPS = 5


def compile_kernels(report: Report) -> None:
    """Simulate, import, refresh and answer on a shop of a few customers, in a folder that is removed afterwards."""
    settings, clock = Settings(), SystemClock()
    with TemporaryDirectory(prefix="active-customers-") as folder:
        directory = DataDirectory(Path(folder) / "data")
        shop = Path(folder) / "shop"
        simulate(SimulatorConfig(customers=40, products=30, days=3), shop)
        report(1, _STEPS)
        with open_for_writing(directory, settings.storage) as opened:
            request = ImportRequest([shop / "events.parquet"], directory.root, None, settings.imports)
            store = EventStore(opened.writer, opened.store)
            import_events(request, store, clock)
            report(2, _STEPS)
            import_products(replace(request, files=[shop / "products.jsonl"]), opened.writer, clock)
            job = Refresh(directory, clock, settings.refresh, settings.models)
            catalogue = dict(opened.store.catalog.products())
            job.run(opened.writer, lambda _done, _total: None, catalogue=catalogue)
            report(3, _STEPS)
        _learn(settings, directory)
        _choose()
        report(4, _STEPS)
        asyncio.run(_answer(settings, directory))
        report(5, _STEPS)


def _learn(settings: Settings, directory: DataDirectory) -> None:
    """Fill the live index from the archive, then again from its checkpoint."""
    store = EmbeddedStore(directory.store, settings.storage).open()
    for _ in range(2):
        live, _works = build_live(settings, directory, store)
        live.follow()
        live.close()
    store.close()


def _choose() -> None:
    """Choose by each kind of policy, as publication and answers do."""
    features = features_of(Channel.WEB, None, 0)
    for config in (
        ThompsonConfig(),
        LinUcbConfig(features=len(FEATURES)),
        LinearThompsonConfig(features=len(FEATURES)),
    ):
        policy = make_policy(config, 2)
        policy.update(0, 1.0, features, 0)
        policy.publish(np.random.default_rng(0))
        policy.pull(features, 0.5)


async def _answer(settings: Settings, directory: DataDirectory) -> None:
    services = build(settings, directory)
    await services.parts.start()
    try:
        product = services.store.catalog.product_id(0) or ""
        event = {"customer_id": "warm-up", "event_type": "cart_add", "product_id": product}
        await services.hot.events({"headers": []}, _receive(orjson.dumps(event)))
        services.shelves.shelves.storefront.words.follow()
        entry = services.store.catalog.product(0) or Product(product)
        for context in SERVED_CONTEXTS:
            about = {Context.CATEGORY: {"category": entry.category}, Context.SEARCH: {"query": entry.name}}
            fields = {"customer_id": "warm-up", "context": context.word, "product_id": product, "exclude": product}
            query = urlencode(fields | about.get(context, {}))
            for asked in (query, f"{query}&n=100&filter=not attributes.nothing = 1"):
                await services.hot.recommendations({"headers": [], "query_string": asked.encode()}, _receive(b""))
        services.explainer.account(Query("warm-up"), product or "")
        await services.shelves.homepage({"headers": [], "query_string": b"customer_id=warm-up"}, _receive(b""))
        shelves = services.shelves.shelves
        for answer in (shelves.similar, shelves.bought_together):
            answer(entry.product_id, 1, Channel.WEB)
        shelves.trending(None, 1, Channel.WEB)
        shelves.recently_viewed("warm-up", 1, Channel.WEB)
    finally:
        await services.parts.stop()


def _receive(body: bytes) -> Receive:
    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body}

    return receive
