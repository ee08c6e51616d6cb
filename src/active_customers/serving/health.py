"""Whether the parts of a service run, and what it cannot do at the moment."""

from __future__ import annotations

from pydantic import BaseModel

from active_customers.realtime.engine import NO_MODEL, Engine
from active_customers.realtime.hot_routes import Appender
from active_customers.storage.base import Store

DISK_FULL = "disk_full"


class HealthReport(BaseModel):
    """What `/healthz` and `/readyz` say."""

    alive: bool
    """Every part of the service runs."""
    ready: bool
    """Requests can be sent here."""
    degraded: list[str]
    """What is missing: committer, disk_full (events cannot be stored, answers go on), no_model, live_index."""
    model_version: str
    events: int
    """Log positions given so far, imports included."""
    products: int
    """Products known from the catalogue or from events."""


class Health:
    """Looks at the parts of a service."""

    def __init__(self, store: Store, engine: Engine, appender: Appender) -> None:
        self._store = store
        self._engine = engine
        self._appender = appender

    def report(self) -> HealthReport:
        """Return how things are now."""
        commits = self._appender.is_running
        manifest = self._engine.recommender.manifest
        return HealthReport(
            alive=commits,
            ready=commits,
            degraded=[
                *([] if commits else ["committer"]),
                *([DISK_FULL] if self._appender.is_full else []),
                *([] if manifest else ["no_model"]),
                *self._engine.standing,
            ],
            model_version=manifest.version if manifest else NO_MODEL,
            events=self._store.events.next_position() - 1,
            products=self._store.catalog.n_products(),
        )
