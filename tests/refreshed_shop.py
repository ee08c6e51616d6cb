"""A simulated shop whose history comes in two parts, and refreshes of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from active_customers.batch.daily_refresh import ModelConfigs, Refresh, RefreshConfig
from active_customers.config.settings import Settings
from active_customers.core.clock import DAY, ManualClock, parse_time
from active_customers.evaluation.simulator import SimulatorConfig, simulate
from active_customers.importing.events import EventStore, import_events
from active_customers.importing.products import import_products
from active_customers.importing.request import ImportRequest
from active_customers.models.artifacts import ArtifactStore, Manifest
from active_customers.models.factorization import FactorizationConfig
from active_customers.models.hybrid_model import HybridConfig
from active_customers.models.linear import LinearConfig
from active_customers.models.session_knn import SessionKnnConfig
from active_customers.serving.writer_socket import open_for_writing
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.embedded import StorageConfig

END = "2025-02-01T00:00:00Z"
NEWEST_DAYS = 2

_SHORT = HybridConfig(label_windows=1, factorization=FactorizationConfig(passes=1))
SHORT = ModelConfigs(hybrid=_SHORT)
"""Settings that learn less and much faster: what is tested is what becomes of versions, not how good they are."""

WORSE = ModelConfigs(
    hybrid=_SHORT.model_copy(
        update={
            "session_knn": SessionKnnConfig(neighbours=1, sessions_per_product=1),
            "linear": LinearConfig(neighbours=1),
            "neighbours": 1,
            "query_depth": 1,
        }
    )
)
"""Settings with which every source has one product to propose."""


def write_history(folder: Path) -> tuple[Path, Path]:
    """Write what customers of a shop did: all but the newest days, and those."""
    simulate(SimulatorConfig(customers=700, products=120, days=14, end=END, pictures=False), folder)
    events = pq.read_table(folder / "events.parquet")
    is_old = pc.less(events["timestamp"].cast(pa.int64()), parse_time(END) - NEWEST_DAYS * DAY)
    pq.write_table(events.filter(is_old), folder / "old.parquet")
    pq.write_table(events.filter(pc.invert(is_old)), folder / "new.parquet")
    return folder / "old.parquet", folder / "new.parquet"


def nothing(_done: int, _total: int) -> None:
    """Show no progress."""


class Shop:
    """A data directory that events are imported to and refreshed from."""

    def __init__(self, root: Path) -> None:
        self.directory = DataDirectory(root)
        self.artifacts = ArtifactStore(self.directory.models)
        self.clock = ManualClock(parse_time(END))

    def take(self, file: Path) -> None:
        with open_for_writing(self.directory, StorageConfig()) as opened:
            store = EventStore(opened.writer, opened.store)
            request = ImportRequest([file], self.directory.root, None, Settings().imports)
            import_events(request, store, self.clock, nothing)

    def take_products(self, file: Path) -> None:
        with open_for_writing(self.directory, StorageConfig()) as opened:
            request = ImportRequest([file], self.directory.root, None, Settings().imports)
            import_products(request, opened.writer, self.clock)

    def numbers(self) -> dict[str, int]:
        """Return the numbers of the catalogue's products by id."""
        with open_for_writing(self.directory, StorageConfig()) as opened:
            return {product.product_id: number for number, product in opened.store.catalog.products()}

    def refresh(
        self,
        models: ModelConfigs | None = None,
        force: bool = False,
        progress: Callable[[int, int], None] = nothing,
        **config: object,
    ) -> Manifest:
        job = Refresh(self.directory, self.clock, RefreshConfig(**config), models or SHORT)
        with open_for_writing(self.directory, StorageConfig()) as opened:
            return job.run(opened.writer, progress, force=force, catalogue=dict(opened.store.catalog.products()))
