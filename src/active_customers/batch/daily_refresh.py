"""`refresh`: read the history, fit the models, check them, publish them as one version."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Annotated

import numpy as np
from pydantic import Field

from active_customers.core.clock import Clock
from active_customers.core.config import Config
from active_customers.core.errors import ArtifactError, NoDataError
from active_customers.core.event import TASTE_TYPES
from active_customers.core.session import SessionQuery
from active_customers.models.artifacts import ArtifactStore, Manifest
from active_customers.models.base import Arrays, Model, SessionLog
from active_customers.models.item_knn import ItemKnn, ItemKnnConfig
from active_customers.models.popularity import Popularity, PopularityConfig
from active_customers.models.session_knn import SessionKnn, SessionKnnConfig
from active_customers.storage.archive import Archive
from active_customers.storage.base import StoreWriter
from active_customers.storage.data_dir import DataDirectory

Progress = Callable[[int, int], None]

_COLUMNS = ("session", "product", "event_type", "time", "customer")


class RefreshConfig(Config):
    """What a refresh reads and keeps."""

    newest_acts: Annotated[int, Field(ge=1)] = 50_000_000
    """Acts that models learn from, newest by log position; a million take about 50 MB while training."""
    keep_versions: Annotated[int, Field(ge=1)] = 5
    """Published versions that stay on disk."""


class ModelConfigs(Config):
    """Parameters of the models that a refresh fits."""

    popularity: PopularityConfig = PopularityConfig()
    item_knn: ItemKnnConfig = ItemKnnConfig()
    session_knn: SessionKnnConfig = SessionKnnConfig()


class Refresh:
    """One run of training on a data directory."""

    def __init__(self, directory: DataDirectory, clock: Clock, config: RefreshConfig, models: ModelConfigs) -> None:
        self._archive = Archive(directory.archive)
        self._artifacts = ArtifactStore(directory.models)
        self._clock = clock
        self._config = config
        self._models: Mapping[str, Model] = {
            "popularity": Popularity(models.popularity),
            "item_knn": ItemKnn(models.item_knn),
            "session_knn": SessionKnn(models.session_knn),
        }
        self._configs = models.model_dump(mode="json")

    def run(self, writer: StoreWriter, progress: Progress) -> Manifest:
        """Train on everything logged so far and publish; return what the new version says about itself.

        Raises `NoDataError` when there is nothing to learn from, `ArtifactError` when a model fails its check (then
        nothing is published and the version in force stays).
        """
        started = time.perf_counter()
        steps = len(self._models) + 2
        progress(0, steps)
        writer.archive_log()
        watermark = self._archive.end()
        log = self._history()
        progress(1, steps)
        fitted: dict[str, Arrays] = {}
        for step, (name, model) in enumerate(self._models.items(), 2):
            model.fit(log)
            check(name, model, log)
            fitted[name] = model.arrays()
            progress(step, steps)
        manifest = self._manifest(log, watermark, time.perf_counter() - started)
        self._artifacts.publish(manifest, fitted)
        self._artifacts.prune(self._config.keep_versions)
        progress(steps, steps)
        return manifest

    def _history(self) -> SessionLog:
        kinds = ", ".join(str(int(kind)) for kind in TASTE_TYPES)
        columns = self._archive.columns(_COLUMNS, f"product IS NOT NULL AND event_type IN ({kinds})")
        if not len(columns["product"]):
            raise NoDataError(
                "there are no events on products yet: post some, or run import-events, then refresh again"
            )
        columns = {name: column[-self._config.newest_acts :] for name, column in columns.items()}
        return SessionLog.from_rows(columns, int(columns["product"].max()) + 1, self._clock.now())

    def _manifest(self, log: SessionLog, watermark: int, seconds: float) -> Manifest:
        now = self._clock.now()
        return Manifest(
            version=self._artifacts.next_version(now),
            created=now,
            watermark=watermark,
            n_products=log.n_products,
            configs=self._configs,
            hashes={},
            facts={
                "acts": len(log.products),
                "sessions": log.n_sessions,
                "customers": len(np.unique(log.customers)),
                "products": len(np.unique(log.products)),
                "seconds": round(seconds, 2),
            },
        )


def check(name: str, model: Model, log: SessionLog) -> None:
    """Ask a fitted model about the newest session; raises `ArtifactError` when its answer is not sane."""
    start, end = log.offsets[-2], log.offsets[-1]
    session = SessionQuery(log.products[start:end], log.event_types[start:end], log.times[start:end], log.as_of)
    candidates = model.candidates(session, 20)
    scores = candidates.scores
    sane = (
        len(np.unique(candidates.products)) == len(candidates.products)
        and bool(np.all(candidates.products < log.n_products))
        and bool(np.all(np.isfinite(scores)) and np.all(scores > 0) and np.all(np.diff(scores) <= 0))
    )
    if not sane:
        raise ArtifactError(f"{name} gave an answer that cannot be right and was not published: please report this")
