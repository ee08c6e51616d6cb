"""kill -9 at every step of what a service does beside answering: nothing is lost or doubled, the next run ends it."""

from __future__ import annotations

import shutil
from itertools import count
from pathlib import Path

import pytest
from tests.conftest import NOW
from tests.e2e.conftest import stored_keys
from tests.e2e.fault_points import deaths
from tests.e2e.test_erasure import traces
from tests.live_folds import assert_same_counts, assert_same_sessions, rebuilt

from active_customers.batch.daily_refresh import ModelConfigs, Refresh, RefreshConfig
from active_customers.core.clock import DAY, HOUR, ManualClock, SystemClock
from active_customers.core.event import Event, EventType, key_of_event_id
from active_customers.importing.events import EventStore, import_events
from active_customers.importing.request import ImportRequest
from active_customers.models.artifacts import ArtifactStore
from active_customers.realtime.live_index import LiveIndex
from active_customers.serving.live_feed import LiveFeed
from active_customers.serving.live_updater import LiveUpdater
from active_customers.serving.writer_socket import open_for_writing
from active_customers.storage.archive import Archive
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.embedded import EmbeddedStore, StorageConfig
from active_customers.storage.writer import DirectWriter

CUSTOMERS = ("ada", "bob", "eve-who-is-erased")
EVENTS = 60


def views(first: int, n: int) -> list[Event]:
    """Return views of a few customers, each with an id of its own."""
    return [
        Event(CUSTOMERS[i % 3], EventType.VIEW, NOW + i, f"p{i % 7}", dedup_key=key_of_event_id(f"view-{i}"))
        for i in range(first, first + n)
    ]


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Path:
    """A data directory: two days in several parts, a third in the log, and a published model."""
    directory = DataDirectory(tmp_path_factory.mktemp("kill") / "shop")
    directory.prepare()
    store = EmbeddedStore(directory.store, writer=True).open()
    writer = DirectWriter(directory, store)
    for part in range(4):
        store.events.append(views(10 * part, 10), NOW - (2 - part // 2) * DAY)
        writer.archive_log()
    store.events.append(views(40, 20), NOW)
    store.close()
    refresh(directory.root)
    store = EmbeddedStore(directory.store, writer=True).open()
    store.events.append(views(60, 10), NOW + HOUR)
    store.close()
    return directory.root


@pytest.fixture
def fresh(shop, tmp_path):
    """Makes copies of the shop."""
    numbers = count()
    return lambda: shutil.copytree(shop, tmp_path / f"data-{next(numbers)}")


def opened(root: Path):
    return open_for_writing(DataDirectory(root), StorageConfig())


def assert_all_there(root: Path, *more: str) -> None:
    """Check that every event is stored, and none twice."""
    ids = [f"view-{i}" for i in range(70)] + list(more)
    keys = [key for key in stored_keys(root) if any(key)]  # those of shops
    assert sorted(keys) == sorted(key_of_event_id(event_id) for event_id in ids)


def archive_and_compact(root: Path) -> None:
    directory = DataDirectory(root)
    store = EmbeddedStore(directory.store, writer=True).open()
    DirectWriter(directory, store, ManualClock(NOW + HOUR)).archive_and_compact()
    store.close()


def test_killed_while_it_archives_and_compacts(fresh):
    """What was in two places or half merged is there once, and the next run leaves one part a day."""
    for root in deaths(archive_and_compact, fresh):
        assert_all_there(root)
        archive_and_compact(root)
        assert_all_there(root)
        assert [part.day for part in Archive(DataDirectory(root).archive).parts()][:2] == ["2025-01-13", "2025-01-14"]


def refresh(root: Path) -> None:
    directory = DataDirectory(root)
    job = Refresh(directory, SystemClock(), RefreshConfig(keep_versions=2), ModelConfigs())
    with opened(root) as store:
        job.run(store.writer, lambda _done, _total: None)


def test_killed_while_it_publishes(fresh, shop):
    """There is always a model in force that can be read whole, and the next refresh publishes and tidies up."""
    before = ArtifactStore(shop / "models").current()
    for root in deaths(refresh, fresh):
        models = ArtifactStore(root / "models")
        models.load(models.current())
        refresh(root)
        assert models.current() not in (before, None)
        assert len(models.versions()) <= 3
        assert not list((root / "models").glob(".*.tmp"))
        assert_all_there(root)


def erase(root: Path) -> None:
    with opened(root) as store:
        store.writer.erase("eve-who-is-erased")
        store.writer.finish_erasures()


def test_killed_while_it_erases(fresh):
    """Asked again, nothing is left of the customer, and of the others everything."""
    others = {key_of_event_id(f"view-{i}") for i in range(70) if i % 3 != 2}
    for root in deaths(erase, fresh):
        erase(root)
        assert traces(root, "eve-who") == []
        keys = [key for key in stored_keys(root) if any(key)]
        assert sorted(keys) == sorted(others)


def join(root: Path) -> None:
    directory = DataDirectory(root)
    store = EmbeddedStore(directory.store, writer=True).open()
    details = {"other_customer_id": "bob"}
    events = [Event("known", EventType.LOGIN, NOW + HOUR, details=details, dedup_key=key_of_event_id("login"))]
    events.append(Event("bob", EventType.VIEW, NOW + HOUR, "p0", dedup_key=key_of_event_id("later")))
    store.events.append(events, NOW + HOUR)
    store.close()


def test_killed_while_it_joins_two_customers(fresh, shop):
    """Either nothing of it happened or all: the same customer owns states, numbers and what is done later."""
    calm = fresh()
    join(calm)
    for root in deaths(join, fresh):
        assert joined_picture(root) in (joined_picture(shop), joined_picture(calm))
        join(root)
        assert joined_picture(root) == joined_picture(calm)
        assert_all_there(root, "login", "later")


def joined_picture(root: Path) -> list[object]:
    """Return what a login changes."""
    store = EmbeddedStore(DataDirectory(root).store, writer=True).open()
    states = [store.sessions.state(customer) for customer in ("bob", "known")]
    picture = [None if state is None else state.tolist() for state in states]
    found = [*picture, store.customers.joined().tolist(), store.customers.ids("bob"), store.events.next_position()]
    store.close()
    return found


def learn(root: Path) -> None:
    directory = DataDirectory(root)
    store = EmbeddedStore(directory.store).open()
    index = LiveIndex(directory.live)
    live = LiveUpdater(directory.live, index, LiveFeed(store, Archive(directory.archive), index))
    for _ in range(2):
        live.follow()
        live.checkpoint()
    live.close()
    store.close()


def test_killed_while_it_learns_and_saves(fresh):
    """The next start of the live index is what archive and log make."""
    for root in deaths(learn, fresh):
        learn(root)
        directory = DataDirectory(root)
        store = EmbeddedStore(directory.store).open()
        index, calm = LiveIndex(directory.live).open(), rebuilt(directory, store, LiveIndex(root / "calm"))
        assert index.watermark == store.events.next_position()
        assert_same_sessions(index, calm)
        assert_same_counts(index, calm)
        store.close()


def bring_in(root: Path) -> None:
    path = root.parent / "history.jsonl"
    path.write_text(
        "".join(
            f'{{"customer_id": "ada", "event_type": "view", "product_id": "p", "event_id": "import-{i}", '
            f'"timestamp": "2025-01-0{i + 1}T00:00:00Z"}}\n'
            for i in range(3)
        )
    )
    with opened(root) as store:
        events = EventStore(store.writer, store.store)
        import_events(ImportRequest([path], root, None), events, SystemClock())


def test_killed_while_it_imports(fresh):
    """Run again, everything is there once, whether the killed one had been sealed or not."""
    for root in deaths(bring_in, fresh):
        bring_in(root)
        assert_all_there(root, *(f"import-{i}" for i in range(3)))
