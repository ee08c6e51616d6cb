"""The only place that chooses adapters and puts the parts of a service together: in one process, or in several."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

from active_customers.config.settings import Settings
from active_customers.core.attribution import TokenSigner
from active_customers.core.clock import Clock, SystemClock
from active_customers.models.artifacts import ArtifactStore
from active_customers.monitoring.metrics import LOG_POSITION, STORE_BYTES
from active_customers.realtime.access import Access
from active_customers.realtime.answers import AnswerEncoder
from active_customers.realtime.engine import Engine
from active_customers.realtime.hot_routes import Appender, HotRoutes
from active_customers.realtime.product_cards import ProductCards
from active_customers.serving.append_link import AppendLink
from active_customers.serving.committer import Committer
from active_customers.serving.health import Health
from active_customers.serving.updater import ModelFollower, Updater, Work
from active_customers.serving.writer_socket import WriterServer
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.embedded import EmbeddedStore
from active_customers.storage.keys import load_keys
from active_customers.storage.writer import DirectWriter


class Lifecycle(Protocol):
    """Something that is opened before a process works and closed after."""

    async def start(self) -> None:
        """Open it."""
        ...

    async def stop(self) -> None:
        """Finish what was accepted and close it."""
        ...


@dataclass(frozen=True, slots=True)
class Owner:
    """The owner of a data directory: the store, the committer, and what is done beside."""

    store: EmbeddedStore
    committer: Committer
    updater: Updater
    socket: WriterServer
    lock: int

    async def start(self) -> None:
        """Begin to commit, then to listen."""
        self.committer.start()
        self.updater.start()
        await self.socket.start()

    async def stop(self) -> None:
        """Drain what was accepted, then let go of the directory."""
        await self.socket.stop()
        await self.updater.stop()
        self.committer.stop()
        self.store.close()
        os.close(self.lock)


@dataclass(frozen=True, slots=True)
class Reader:
    """What a process of its own needs to answer: the store to read, and the link to the committer."""

    store: EmbeddedStore
    link: AppendLink
    updater: Updater

    async def start(self) -> None:
        """Load what answers need, and begin to pass events on."""
        self.link.start()
        self.updater.start()

    async def stop(self) -> None:
        """Stop passing events on, and close the store."""
        await self.updater.stop()
        await self.link.stop()
        self.store.close()


@dataclass(frozen=True, slots=True)
class Services:
    """What the ASGI application serves, and the parts that live as long as it does."""

    hot: HotRoutes
    access: Access
    health: Health
    parts: Lifecycle
    store: EmbeddedStore


def build(settings: Settings, directory: DataDirectory, clock: Clock | None = None) -> Services:
    """Put a whole service together in this process, as the only owner of the data directory.

    Raises `StoreLockedError` when another process owns it, `NewerDataError` when a newer version wrote it.
    """
    clock = clock or SystemClock()
    lock, store, writer = _own(settings, directory)
    answering, works = _answering(settings, directory, store, clock)
    committer = Committer(store.events, clock, settings.committer)
    owner = Owner(
        store,
        committer,
        Updater([*works, *_upkeep(settings, store, writer)]),
        WriterServer(directory.socket, writer, committer),
        lock,
    )
    return _services(settings, clock, answering, (committer, owner))


def build_owner(settings: Settings, directory: DataDirectory, beat: Work) -> Owner:
    """Put the committer's process together; raises as `build` does."""
    lock, store, writer = _own(settings, directory)
    committer = Committer(store.events, SystemClock(), settings.committer)
    updater = Updater([*_upkeep(settings, store, writer), beat])
    return Owner(store, committer, updater, WriterServer(directory.socket, writer, committer), lock)


def build_worker(settings: Settings, directory: DataDirectory, beat: Work) -> Services:
    """Put a process together that answers, over a data directory whose owner is another."""
    clock = SystemClock()
    store = EmbeddedStore(directory.store, settings.storage).open()
    answering, works = _answering(settings, directory, store, clock)
    link = AppendLink(directory.socket, settings.committer)
    return _services(settings, clock, answering, (link, Reader(store, link, Updater([*works, beat]))))


_Answering = tuple[EmbeddedStore, Engine, AnswerEncoder]


def _own(settings: Settings, directory: DataDirectory) -> tuple[int, EmbeddedStore, DirectWriter]:
    """Become the owner of a directory and complete what a crash interrupted."""
    directory.prepare()
    with ExitStack() as undo:
        lock = directory.lock()
        undo.callback(os.close, lock)
        load_keys(directory.keys)  # made here, by the one owner, where there are none yet
        store = EmbeddedStore(directory.store, settings.storage, writer=True).open()
        undo.callback(store.close)
        writer = DirectWriter(directory, store)
        writer.resume()
        undo.pop_all()
    return lock, store, writer


def _answering(
    settings: Settings, directory: DataDirectory, store: EmbeddedStore, clock: Clock
) -> tuple[_Answering, list[Work]]:
    """Return what answers are made with, and the work that keeps it up to date."""
    cards = ProductCards(store.catalog)
    engine = Engine(store, cards, clock)
    encoder = AnswerEncoder(cards, TokenSigner(load_keys(directory.keys)))
    follower = ModelFollower(ArtifactStore(directory.models), engine, clock)
    pause = settings.updater.poll_seconds
    works = [Work(follower.follow, pause, at_start=True), Work(cards.refresh, pause, at_start=True)]
    return (store, engine, encoder), works


def _upkeep(settings: Settings, store: EmbeddedStore, writer: DirectWriter) -> list[Work]:
    """Return the work that the owner does beside committing."""

    def measure() -> None:
        LOG_POSITION.set(store.events.next_position())
        STORE_BYTES.set(store.used_bytes())

    archive: Callable[[], None] = writer.archive_and_compact
    return [
        Work(measure, settings.updater.poll_seconds, at_start=True),
        Work(archive, settings.updater.archive_seconds),
    ]


def _services(
    settings: Settings, clock: Clock, answering: _Answering, appending: tuple[Appender, Lifecycle]
) -> Services:
    store, engine, encoder = answering
    appender, parts = appending
    access = Access(settings.access)
    hot = HotRoutes(access, clock, (engine, encoder), appender)
    return Services(hot, access, Health(store, engine, appender), parts, store)
