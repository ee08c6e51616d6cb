"""`refresh`: read the history, fit the models, check them, publish them as one version."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from active_customers.batch.history import History, HistoryConfig, read_history
from active_customers.core.clock import Clock
from active_customers.core.config import Config
from active_customers.core.errors import ArtifactError, MissingLibraryError, NoDataError
from active_customers.core.session import SessionQuery
from active_customers.models.artifacts import ArtifactStore, Manifest
from active_customers.models.base import Arrays, Candidates, Model, SessionLog
from active_customers.models.hybrid_model import Hybrid, HybridConfig
from active_customers.models.item_knn import ItemKnnConfig
from active_customers.models.popularity import PopularityConfig
from active_customers.models.registry import MODELS
from active_customers.storage.archive import Archive
from active_customers.storage.base import StoreWriter
from active_customers.storage.data_dir import DataDirectory

Progress = Callable[[int, int], None]

CHECKED_SESSIONS = 32
"""Sessions of the log that a fitted model is asked about before it is published."""


class RefreshConfig(HistoryConfig):
    """What a refresh reads and keeps."""

    keep_versions: Annotated[int, Field(ge=1)] = 5
    """Published versions that stay on disk."""


class ModelConfigs(Config):
    """Parameters of the models that a refresh fits."""

    popularity: PopularityConfig = PopularityConfig()
    item_knn: ItemKnnConfig = ItemKnnConfig()
    hybrid: HybridConfig = HybridConfig()

    def by_name(self) -> dict[str, dict[str, Any]]:
        """Return the parameters of every model by its name, those of the hybrid's sources too."""
        models = self.model_dump(mode="json")
        sources = {name: models["hybrid"][name] for name in ("session_knn", "linear", "factorization")}
        return {**sources, **models}


class Refresh:
    """One run of training on a data directory."""

    def __init__(self, directory: DataDirectory, clock: Clock, config: RefreshConfig, models: ModelConfigs) -> None:
        self._archive = Archive(directory.archive)
        self._artifacts = ArtifactStore(directory.models)
        self._clock = clock
        self._config = config
        self._scratch = directory.models / ".scratch"
        self._models: Mapping[str, Model] = {name: entry.make(getattr(models, name)) for name, entry in MODELS.items()}
        self._configs = models.model_dump(mode="json")

    def run(self, writer: StoreWriter, progress: Progress) -> Manifest:
        """Train on everything logged so far and publish; return what the new version says about itself.

        Raises `NoDataError` when there is nothing to learn from, `ArtifactError` when a model fails its check,
        `StorageError` when the archive cannot be read, `StoreLockedError` at once when another refresh is running; then
        nothing is published and the version in force stays.
        """
        with self._artifacts.exclusive():
            return self._run(writer, progress)

    def _run(self, writer: StoreWriter, progress: Progress) -> Manifest:
        started = time.perf_counter()
        steps = len(self._models) + 2
        progress(0, steps)
        writer.archive_log()
        history = read_history(self._archive, self._config, self._scratch, writer.erased_customers())
        log = self._log(history)
        progress(1, steps)
        fitted: dict[str, Arrays] = {}
        notes: list[str] = []
        for step, (name, model) in enumerate(self._models.items(), 2):
            notes += _fitted(model, log)
            check(name, model, log)
            fitted[name] = model.arrays()
            progress(step, steps)
        manifest = self._manifest(log, history, notes, time.perf_counter() - started)
        self._artifacts.publish(manifest, fitted)
        self._artifacts.prune(self._config.keep_versions)
        progress(steps, steps)
        return manifest

    def _log(self, history: History) -> SessionLog:
        if not len(history):
            raise NoDataError(
                "there are no events on products yet: post some, or run import-events, then refresh again"
            )
        return SessionLog.from_rows(history.columns, int(history.columns["product"].max()) + 1, self._clock.now())

    def _manifest(self, log: SessionLog, history: History, notes: list[str], seconds: float) -> Manifest:
        now = self._clock.now()
        return Manifest(
            version=self._artifacts.next_version(now),
            created=now,
            watermark=history.watermark,
            holes=history.holes,
            n_products=log.n_products,
            configs=self._configs,
            hashes={},
            facts={
                "acts": len(log.products),
                "sessions": log.n_sessions,
                "customers": len(np.unique(log.customers)),
                "products": len(np.unique(log.products)),
                "seconds": round(seconds, 2),
                "notes": notes,
            },
        )


def _fitted(model: Model, log: SessionLog) -> list[str]:
    """Fit a model; return what was done without."""
    try:
        model.fit(log)
    except MissingLibraryError as error:
        if not isinstance(model, Hybrid):
            raise
        model.fit_sources(log)
        return [f"without trees, answers are the sum of their sources: {error}"]
    return []


def check(name: str, model: Model, log: SessionLog) -> None:
    """Ask a fitted model about sessions from all over the log; raises `ArtifactError` when an answer is not sane."""
    for session in np.unique(np.linspace(0, log.n_sessions - 1, CHECKED_SESSIONS).astype(np.int64)).tolist():
        rows = slice(log.offsets[session], log.offsets[session + 1])
        query = SessionQuery(log.products[rows], log.event_types[rows], log.times[rows], log.as_of)
        if not _is_sane(model.candidates(query, 20), log.n_products):
            raise ArtifactError(f"{name} gave an answer that cannot be right and was not published: please report this")


def _is_sane(candidates: Candidates, n_products: int) -> bool:
    products, scores = candidates.products, candidates.scores
    return (
        len(np.unique(products)) == len(products)
        and bool(np.all(products < n_products))
        and bool(np.all(np.isfinite(scores)) and np.all(scores > 0) and np.all(np.diff(scores) <= 0))
    )
