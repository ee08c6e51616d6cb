"""`build`: the only place that chooses adapters and puts the parts of a service together."""

from __future__ import annotations

import os
from dataclasses import dataclass

from active_customers.config.settings import Settings
from active_customers.core.attribution import TokenSigner
from active_customers.core.clock import Clock, SystemClock
from active_customers.models.artifacts import ArtifactStore
from active_customers.realtime.access import Access
from active_customers.realtime.answers import AnswerEncoder
from active_customers.realtime.engine import Engine
from active_customers.realtime.hot_routes import HotRoutes
from active_customers.realtime.product_cards import ProductCards
from active_customers.serving.committer import Committer
from active_customers.serving.health import Health
from active_customers.serving.updater import ModelFollower, Updater
from active_customers.serving.writer_socket import WriterServer
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.embedded import EmbeddedStore
from active_customers.storage.keys import load_keys
from active_customers.storage.writer import DirectWriter


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of a running service; `start` opens them in order, `stop` closes them in reverse."""

    hot: HotRoutes
    access: Access
    health: Health
    committer: Committer
    updater: Updater
    socket: WriterServer
    store: EmbeddedStore
    lock: int

    async def start(self) -> None:
        """Start the parts that work in the background."""
        self.committer.start()
        self.updater.start()
        await self.socket.start()

    async def stop(self) -> None:
        """Drain what was accepted, then close everything."""
        await self.socket.stop()
        await self.updater.stop()
        self.committer.stop()
        self.store.close()
        os.close(self.lock)


def build(settings: Settings, directory: DataDirectory, clock: Clock | None = None) -> Services:
    """Open a data directory as its only owner and put a service together over it.

    Raises `StoreLockedError` when another process owns it, `NewerDataError` when a newer version wrote it.
    """
    clock = clock or SystemClock()
    directory.prepare()
    lock = directory.lock()
    store = EmbeddedStore(directory.store, settings.storage, writer=True).open()
    writer = DirectWriter(directory, store)
    writer.resume()
    cards = ProductCards(store.catalog)
    engine = Engine(store, cards, clock)
    encoder = AnswerEncoder(cards, TokenSigner(load_keys(directory.keys)))
    committer = Committer(store.events, clock, settings.committer)
    follower = ModelFollower(ArtifactStore(directory.models), engine, clock)
    access = Access(settings.access)
    return Services(
        hot=HotRoutes(access, clock, (engine, encoder), committer),
        access=access,
        health=Health(store, engine, committer),
        committer=committer,
        updater=Updater(follower, cards, (store, writer), settings.updater),
        socket=WriterServer(directory.socket, writer),
        store=store,
        lock=lock,
    )
