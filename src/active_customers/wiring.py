"""The only place that chooses adapters and puts the parts of a service together: in one process, or in several."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from active_customers.batch.customer_export import CustomerExport
from active_customers.batch.experiment_results import clear_scratch
from active_customers.batch.refresh_reports import RefreshWatch
from active_customers.batch.schedule import Schedule
from active_customers.catalog.products import Products
from active_customers.catalog.table import CatalogTable, TableReader
from active_customers.config.settings import Settings
from active_customers.core.attribution import TokenSigner
from active_customers.core.clock import Clock, SystemClock, format_time
from active_customers.core.erasure import Erasure
from active_customers.core.errors import SettingsError
from active_customers.experiments.bandit_files import BanditFiles
from active_customers.experiments.experiment_schema import readable
from active_customers.models.artifacts import ArtifactStore
from active_customers.models.trained import TrainedModels
from active_customers.monitoring.metrics import ERASURES, LOG_POSITION, STORE_BYTES
from active_customers.realtime.access import Access
from active_customers.realtime.answers import AnswerEncoder
from active_customers.realtime.engine import Engine
from active_customers.realtime.experiment_changes import ExperimentChanges
from active_customers.realtime.explain import Explainer
from active_customers.realtime.exposures import Exposures
from active_customers.realtime.free_delivery import FreeDelivery
from active_customers.realtime.hot_routes import Appender, Counts, HotRoutes
from active_customers.realtime.languages import load_languages
from active_customers.realtime.live_index import LiveIndex
from active_customers.realtime.live_reader import LiveReader
from active_customers.realtime.placements import Placements
from active_customers.realtime.product_cards import ProductCards
from active_customers.realtime.rotation import Rotation
from active_customers.realtime.rule_changes import RuleChanges
from active_customers.realtime.rules import Rulebook
from active_customers.realtime.session_recommender import SessionRecommender
from active_customers.realtime.shelf_routes import ShelfRoutes
from active_customers.realtime.shelves import Shelves
from active_customers.realtime.storefront import Storefront
from active_customers.realtime.stream import Streams
from active_customers.realtime.trials import Trials
from active_customers.serving.append_link import AppendLink
from active_customers.serving.append_server import AppendServer
from active_customers.serving.bandit_updater import BanditUpdater
from active_customers.serving.clock_control import ClockControl
from active_customers.serving.committer import Committer
from active_customers.serving.eraser import Eraser
from active_customers.serving.experiment_guard import Guard, GuardTask, proof_of
from active_customers.serving.health import Health
from active_customers.serving.live_feed import LiveFeed
from active_customers.serving.live_updater import LiveUpdater
from active_customers.serving.live_watch import LiveWatch
from active_customers.serving.readiness import Readiness
from active_customers.serving.refresh_process import RefreshTask
from active_customers.serving.retention import Retention
from active_customers.serving.robot_counts import RobotCounts
from active_customers.serving.updater import ModelFollower, Updater, Work
from active_customers.serving.writer_socket import (
    WriterServer,
    change_products_remotely,
    change_records_remotely,
    erase_remotely,
)
from active_customers.storage.admission import CustomerRules
from active_customers.storage.archive import Archive
from active_customers.storage.base import ChangeRecords
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.embedded import EmbeddedStore
from active_customers.storage.keys import load_keys
from active_customers.storage.passed_over import PassedOver
from active_customers.storage.simulated_clock import SimulatedClock, clock_of
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
    committer: Committer | AppendServer
    updater: Updater
    socket: WriterServer
    schedule: Schedule
    guard: Guard
    lock: int
    live: LiveUpdater | None = None
    """The writer of the live index, where no other process is."""

    async def start(self) -> None:
        """Begin to commit, then to listen."""
        self.committer.start()
        self.updater.start()
        await self.socket.start()

    async def stop(self) -> None:
        """End a refresh that runs, drain what was accepted, then let go of the directory."""
        self.schedule.close()
        self.guard.close()
        await self.socket.stop()
        await self.updater.stop()
        self.committer.stop()
        if self.live is not None:
            self.live.close()
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
        self.updater.start()

    async def stop(self) -> None:
        """Stop passing events on, and close the store."""
        await self.updater.stop()
        await self.link.stop()
        self.store.close()


@dataclass(frozen=True, slots=True)
class Learner:
    """What a process of its own needs to write the live index: the store to read, and what is done again and again."""

    store: EmbeddedStore
    updater: Updater
    live: LiveUpdater

    async def start(self) -> None:
        """Begin to learn."""
        self.updater.start()

    async def stop(self) -> None:
        """Save what was learned."""
        await self.updater.stop()
        self.live.close()
        self.store.close()


@dataclass(frozen=True, slots=True)
class Services:
    """What the ASGI application serves, and the parts that live as long as it does."""

    hot: HotRoutes
    access: Access
    health: Health
    parts: Lifecycle
    store: EmbeddedStore
    eraser: Eraser
    export: CustomerExport
    clock: ClockControl
    products: Products
    rules: RuleChanges
    experiments: ExperimentChanges
    prove: Callable[[str, int], dict[str, Any]]
    explainer: Explainer
    placements: Placements
    streams: Streams
    readiness: Readiness
    shelves: ShelfRoutes


def service_clock(settings: Settings, directory: DataDirectory) -> Clock:
    """Return the one clock that every process of a service goes by.

    Raises `SettingsError` when the directory was simulated before and is now to go by the machine's clock: what is
    stored has times that may be far ahead.
    """
    if settings.server.clock == "simulated":
        return SimulatedClock(directory.clock).open(SystemClock().now())
    clock = clock_of(directory)
    if isinstance(clock, SimulatedClock):
        raise SettingsError(
            "server.clock",
            settings.server.clock,
            f"{directory.root} was simulated, it is {format_time(clock.now())} there: use `--clock simulated`, or "
            "name another --data-dir",
        )
    return clock


def build(settings: Settings, directory: DataDirectory, clock: Clock | None = None) -> Services:
    """Put a whole service together in this process, as the only owner of the data directory.

    Raises `StoreLockedError` when another process owns it, `NewerDataError` when a newer version wrote it.
    """
    lock, store, writer, table = _own(settings, directory, clock)
    clock = writer.clock
    answering, works = _answering(settings, directory, store, clock)
    live, learning = build_live(settings, directory, store)
    committer = Committer(store.events, clock, settings.committer)
    schedule, refreshing = _scheduled(settings, directory, store)
    guard, guarding = _guarded(settings, directory, store)
    owner = Owner(
        store,
        committer,
        Updater(
            [
                *_kept(settings, table),
                *works,
                *_upkeep(settings, (directory, store, writer)),
                *refreshing,
                *guarding,
                *learning,
            ]
        ),
        WriterServer(directory.socket, writer),
        schedule,
        guard,
        lock,
        live,
    )
    care = (
        build_eraser(settings, directory, store, writer.erase),
        _export(directory, store),
        _prove(settings, directory),
    )
    changing = Products(store.catalog, writer.change_products, clock), writer.change_records
    return _services(settings, answering, (committer, owner), care, changing)


def build_owner(settings: Settings, directory: DataDirectory, beat: Work) -> Owner:
    """Put the committer's process together; raises as `build` does."""
    lock, store, writer, table = _own(settings, directory)
    committer = AppendServer(directory.appends, store.events, writer.clock, settings.committer)
    schedule, refreshing = _scheduled(settings, directory, store)
    guard, guarding = _guarded(settings, directory, store)
    upkeep = _upkeep(settings, (directory, store, writer))
    updater = Updater([*_kept(settings, table), *upkeep, *refreshing, *guarding, beat])
    return Owner(store, committer, updater, WriterServer(directory.socket, writer), schedule, guard, lock)


def build_updater(settings: Settings, directory: DataDirectory, beat: Work) -> Learner:
    """Put the process together that writes the live index, over a data directory whose owner is another."""
    store = EmbeddedStore(directory.store, settings.storage).open()
    live, works = build_live(settings, directory, store)
    return Learner(store, Updater([*works, beat]), live)


def build_live(settings: Settings, directory: DataDirectory, store: EmbeddedStore) -> tuple[LiveUpdater, list[Work]]:
    """Return the writer of the live index over an open store, and the work that it is."""
    index = LiveIndex(directory.live, settings.live_index, settings.models.popularity)
    feed = LiveFeed(store, Archive(directory.archive), index)
    live, pauses = LiveUpdater(directory.live, index, feed), settings.live_updater
    signer = TokenSigner(load_keys(directory.keys))
    bandits = BanditUpdater(store, BanditFiles(directory.bandits), signer, clock_of(directory))
    return live, [
        Work(live.follow, pauses.poll_seconds),
        Work(live.checkpoint, pauses.checkpoint_seconds),
        Work(bandits.follow, settings.experiments.poll_seconds),
        Work(bandits.checkpoint, pauses.checkpoint_seconds),
    ]


def build_worker(settings: Settings, directory: DataDirectory, beat: Work) -> Services:
    """Put a process together that answers, over a data directory whose owner is another."""
    clock = service_clock(settings, directory)
    store = EmbeddedStore(directory.store, settings.storage).open()
    answering, works = _answering(settings, directory, store, clock)
    link = AppendLink(directory.appends, settings.committer)
    reader = Reader(store, link, Updater([*works, beat]))
    care = (
        build_eraser(settings, directory, store, partial(erase_remotely, directory)),
        _export(directory, store),
        _prove(settings, directory),
    )
    products = Products(store.catalog, partial(change_products_remotely, directory), clock)
    changing = products, partial(change_records_remotely, directory)
    return _services(settings, answering, (link, reader), care, changing)


def build_explainer(settings: Settings, directory: DataDirectory) -> tuple[EmbeddedStore, Explainer]:
    """Put together what explains answers, over a directory that another process may own; the store is to be closed."""
    store = EmbeddedStore(directory.store, settings.storage).open()
    (_, engine, encoder, _, _), works = _answering(settings, directory, store, clock_of(directory))
    for work in (*works, *works):  # what filters ask about is read the second time
        work.run()
    return store, Explainer(engine, store.catalog, encoder.cards)


def build_eraser(
    settings: Settings, directory: DataDirectory, store: EmbeddedStore, erase: Callable[[str], Erasure | None]
) -> Eraser:
    """Return what erases customers of a directory through whoever owns the store."""
    rejects_days, checkpoint_seconds = settings.imports.rejects_days, settings.live_updater.checkpoint_seconds
    return Eraser(erase, store.erasures, directory.models, settings.retention, rejects_days, checkpoint_seconds)


def _export(directory: DataDirectory, store: EmbeddedStore) -> CustomerExport:
    return CustomerExport(store, Archive(directory.archive))


def _prove(settings: Settings, directory: DataDirectory) -> Callable[[str, int], dict[str, Any]]:
    """Return what says what an experiment proves, by name and version."""
    task = _guard_task(settings, directory)
    return lambda name, version: proof_of(task.model_copy(update={"name": name, "version": version}).command())


def _guard_task(settings: Settings, directory: DataDirectory) -> GuardTask:
    return GuardTask(
        data_dir=directory.root.resolve(),
        storage=settings.storage,
        counting=settings.experiment_outcomes,
        reading=settings.experiment_analysis,
    )


_Care = tuple[Eraser, CustomerExport, Callable[[str, int], dict[str, Any]]]
_Answering = tuple[EmbeddedStore, Engine, AnswerEncoder, Counts, ShelfRoutes]


_Owned = tuple[int, EmbeddedStore, DirectWriter, CatalogTable]


def _own(settings: Settings, directory: DataDirectory, clock: Clock | None = None) -> _Owned:
    """Become the owner of a directory and complete what a crash interrupted."""
    directory.prepare()
    with ExitStack() as undo:
        lock = directory.lock()
        undo.callback(os.close, lock)
        load_keys(directory.keys)  # made here, by the one owner, where there are none yet
        rules = CustomerRules(settings.consent, settings.robots)
        store = EmbeddedStore(directory.store, settings.storage, writer=True, rules=rules).open()
        undo.callback(store.close)
        store.sessions.load_fold()
        clock = clock or service_clock(settings, directory)
        table = CatalogTable(directory.catalog_table, store.catalog, clock)
        writer = DirectWriter(directory, store, clock, table.update)
        writer.resume()
        clear_scratch(directory)
        undo.pop_all()
    return lock, store, writer, table


def _kept(settings: Settings, table: CatalogTable) -> list[Work]:
    """Return the work that keeps the table of products true; before it is done once, nothing is answered."""
    return [Work(table.follow, settings.updater.poll_seconds, at_start=True)]


def _answering(
    settings: Settings, directory: DataDirectory, store: EmbeddedStore, clock: Clock
) -> tuple[_Answering, list[Work]]:
    """Return what answers are made with, and the work that keeps it up to date."""
    cards = ProductCards(store.catalog, TableReader(directory.catalog_table), load_languages(settings.texts))
    rules = Rulebook(store, cards.table, clock, settings.rules)
    engine = Engine(store, cards, clock, rules=rules)
    engine.storefront = Storefront(store.catalog, cards.table, settings.storefront)
    engine.rotation = Rotation(settings.rotation)
    bandits = BanditFiles(directory.bandits)
    engine.trials = Trials(store, clock, settings.experiments, bandits, settings.shop.time_zone)
    if settings.shop.free_delivery_from:
        engine.delivery = FreeDelivery(settings.shop, cards.prices_of)
    signer = TokenSigner(load_keys(directory.keys))
    encoder = AnswerEncoder(cards, signer)
    shelves = Shelves(store, cards, engine, clock, settings.shelves)
    live = LiveReader(directory.live, settings.models.hybrid.session_knn, settings.models.popularity)
    engine.recommender = SessionRecommender(live=live)
    unlearned = PassedOver(store.erasures, store.customers)
    follower = ModelFollower(TrainedModels(ArtifactStore(directory.models), unlearned), engine, clock, live)
    pause = settings.updater.poll_seconds
    watch = LiveWatch(directory.live, store.events, settings.live_updater.behind_seconds)

    def look() -> None:
        engine.standing = watch.look()

    counts = Counts()
    routes = ShelfRoutes(Access(settings.access), shelves, cards, signer)
    kinds, words = engine.storefront.kinds, engine.storefront.words
    works = [
        Work(work, pause, at_start=True)
        for work in (follower.follow, look, counts.publish, routes.counts.publish, kinds.follow, words.follow)
    ]
    works.append(Work(engine.follow_trials, settings.experiments.poll_seconds, at_start=True))
    works.append(Work(rules.follow, settings.rules.poll_seconds, at_start=True))
    return (store, engine, encoder, counts, routes), works


def _upkeep(settings: Settings, owned: tuple[DataDirectory, EmbeddedStore, DirectWriter]) -> list[Work]:
    """Return the work that the owner does beside committing."""
    directory, store, writer = owned
    robots = RobotCounts(store.customers)

    def measure() -> None:
        LOG_POSITION.set(store.events.next_position())
        STORE_BYTES.set(store.used_bytes())
        pending = store.erasures.n_pending()
        ERASURES.labels("pending").set(pending)
        ERASURES.labels("done").set(store.erasures.count() - pending)
        robots.publish()

    archive: Callable[[], None] = writer.archive_and_compact
    rejects_days = settings.imports.rejects_days
    retention = Retention(writer, store, directory, settings.retention, writer.clock, rejects_days)
    return [
        Work(measure, settings.updater.poll_seconds, at_start=True),
        Work(archive, settings.updater.archive_seconds),
        Work(retention.run, settings.updater.archive_seconds),
    ]


def _scheduled(settings: Settings, directory: DataDirectory, store: EmbeddedStore) -> tuple[Schedule, list[Work]]:
    """Return who refreshes by itself, and the work that this is and that shows what came of it."""
    artifacts = ArtifactStore(directory.models)
    task = RefreshTask(
        data_dir=directory.root.resolve(),
        storage=settings.storage,
        refresh=settings.refresh,
        models=settings.models,
        shop=settings.shop,
    )
    news = store.events.next_position, store.catalog.catalog_version
    schedule = Schedule(settings.refresh, artifacts, task.command(), *news)
    works = [RefreshWatch(artifacts).look, *([schedule.look] if settings.refresh.every_minutes else [])]
    return schedule, [Work(work, settings.updater.poll_seconds) for work in works]


def _guarded(settings: Settings, directory: DataDirectory, store: EmbeddedStore) -> tuple[Guard, list[Work]]:
    """Return who looks whether running experiments do harm, and the work that this is."""
    task = _guard_task(settings, directory)
    every, records = settings.experiments.guard_minutes, store.records["experiments"]
    clock = clock_of(directory)

    def is_needed() -> bool:
        return any(experiment.is_running(clock.now()) for experiment in readable(records.all()))

    guard = Guard(task.command(), every, is_needed)
    return guard, [Work(guard.look, settings.updater.poll_seconds)] if every else []


def _services(
    settings: Settings,
    answering: _Answering,
    appending: tuple[Appender, Lifecycle],
    care: _Care,
    changing: tuple[Products, ChangeRecords],
) -> Services:
    store, engine, encoder, counts, shelves = answering
    appender, parts = appending
    products, change_records = changing
    clock = products.clock
    access = Access(settings.access)
    eraser, export, prove = care
    engine.trials.exposures = Exposures(appender)
    hot = HotRoutes(access, clock, (engine, encoder), appender, counts)
    health, control = Health(store, engine, appender), ClockControl(clock, store.events)
    rules = RuleChanges(store.rules, change_records, engine.rules)

    def take_up() -> None:
        engine.follow_trials()
        engine.rules.follow()

    experiments = ExperimentChanges(store.records, change_records, clock, take_up)
    explainer = Explainer(engine, store.catalog, encoder.cards)
    placements = Placements(access, (engine, encoder))
    streams = Streams(access, (engine, encoder), store, settings.stream)
    return Services(
        hot,
        access,
        health,
        parts,
        store,
        eraser,
        export,
        control,
        products,
        rules,
        experiments,
        prove,
        explainer,
        placements,
        streams,
        Readiness(store, engine),
        shelves,
    )


def build_readiness(settings: Settings, directory: DataDirectory, store: EmbeddedStore) -> Readiness:
    """Return what looks at an open store from outside, beside its service or without one."""
    clock = clock_of(directory)
    engine = Engine(store, ProductCards(store.catalog, TableReader(directory.catalog_table)), clock)
    live = LiveReader(directory.live, settings.models.hybrid.session_knn, settings.models.popularity)
    engine.recommender = SessionRecommender(live=live)
    ModelFollower(
        TrainedModels(ArtifactStore(directory.models), PassedOver(store.erasures, store.customers)), engine, clock, live
    ).follow()
    return Readiness(store, engine)
