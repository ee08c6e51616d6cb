"""A simulated shop whose history comes in two parts, and refreshes of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from active_customers.batch.daily_refresh import ModelConfigs, Refresh, RefreshConfig
from active_customers.config.settings import Settings
from active_customers.core.clock import DAY, ManualClock, parse_time
from active_customers.evaluation.simulator import SimulatorConfig, simulate
from active_customers.importing.events import EventStore, import_events
from active_customers.importing.request import ImportRequest
from active_customers.models.artifacts import ArtifactStore, Manifest
from active_customers.serving.writer_socket import open_for_writing
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.embedded import StorageConfig

END = "2025-02-01T00:00:00Z"
NEWEST_DAYS = 2


@pytest.fixture(scope="session")
def simulated(tmp_path_factory) -> tuple[Path, Path]:
    """What customers of a shop did: all but the newest days, and those."""
    folder = tmp_path_factory.mktemp("shop")
    simulate(SimulatorConfig(customers=700, products=120, days=14, end=END, pictures=False), folder)
    events = pq.read_table(folder / "events.parquet")
    is_old = pc.less(events["timestamp"].cast(pa.int64()), parse_time(END) - NEWEST_DAYS * DAY)
    pq.write_table(events.filter(is_old), folder / "old.parquet")
    pq.write_table(events.filter(pc.invert(is_old)), folder / "new.parquet")
    return folder / "old.parquet", folder / "new.parquet"


class Shop:
    """A data directory that events are imported to and refreshed from."""

    def __init__(self, root: Path) -> None:
        self.directory = DataDirectory(root)
        self.artifacts = ArtifactStore(self.directory.models)
        self.clock = ManualClock(parse_time(END))

    def take(self, file: Path) -> None:
        with open_for_writing(self.directory, StorageConfig()) as opened:
            store = EventStore(opened.writer, opened.store.sessions.state_of_number)
            request = ImportRequest([file], self.directory.root, None, Settings().imports)
            import_events(request, store, self.clock, lambda _done, _total: None)

    def refresh(self, models: ModelConfigs | None = None, force: bool = False, **config: object) -> Manifest:
        job = Refresh(self.directory, self.clock, RefreshConfig(**config), models or ModelConfigs())
        with open_for_writing(self.directory, StorageConfig()) as opened:
            return job.run(opened.writer, lambda _done, _total: None, force=force)


@pytest.fixture
def shop(tmp_path, simulated) -> Iterator[Shop]:
    """The shop with a model of all but the newest days, which have been logged since."""
    shop = Shop(tmp_path / "data")
    shop.take(simulated[0])
    shop.refresh()
    shop.take(simulated[1])
    return shop
