"""A service over a data directory of its own, in this process."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import asynccontextmanager

import pytest
from tests.conftest import NOW

from active_customers.batch.daily_refresh import ModelConfigs, Refresh, RefreshConfig
from active_customers.config.settings import Settings
from active_customers.core.clock import ManualClock
from active_customers.core.event import Event, EventType
from active_customers.serving.updater import UpdaterConfig
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.embedded import EmbeddedStore
from active_customers.storage.writer import DirectWriter
from active_customers.wiring import build


@pytest.fixture
def directory(tmp_path) -> DataDirectory:
    return DataDirectory(tmp_path / "data")


def publish(directory: DataDirectory, writer: DirectWriter, clock: ManualClock) -> str:
    """Train on what is there and return the version."""
    job = Refresh(directory, clock, RefreshConfig(), ModelConfigs())
    return job.run(writer, lambda _done, _total: None).version


@pytest.fixture(scope="session")
def published(tmp_path_factory) -> DataDirectory:
    """A data directory with a few sessions and a published model; for reading only."""
    directory = DataDirectory(tmp_path_factory.mktemp("published") / "data")
    directory.prepare()
    store = EmbeddedStore(directory.store, writer=True).open()
    store.events.append(
        [
            Event(f"c{i}", EventType.VIEW, NOW - i, f"p{j}", dedup_key=bytes([i, j]) * 8)
            for i in range(6)
            for j in range(3)
        ],
        NOW,
    )
    publish(directory, DirectWriter(directory, store), ManualClock(NOW))
    store.close()
    return directory


@pytest.fixture
def trained(directory, published) -> DataDirectory:
    """A copy of it, for changing."""
    shutil.copytree(published.root, directory.root)
    return directory


@asynccontextmanager
async def running(directory: DataDirectory, clock: ManualClock, poll_seconds: float = 0.02):
    """Yield the parts of a started service."""
    settings = Settings(updater=UpdaterConfig(poll_seconds=poll_seconds, archive_seconds=poll_seconds))
    services = build(settings, directory, clock)
    await services.parts.start()
    try:
        yield services
    finally:
        await services.parts.stop()


async def until(condition) -> None:
    """Wait for something that happens in the background; the test's own time limit ends a vain wait."""
    while not condition():
        await asyncio.sleep(0.005)
