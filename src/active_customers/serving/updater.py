"""The updater: follows what is published and what is logged, beside the answers, never in front of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from active_customers.core.clock import SECOND, Clock
from active_customers.core.config import Config
from active_customers.core.errors import ActiveCustomersError
from active_customers.models.artifacts import ArtifactStore
from active_customers.monitoring.metrics import MODEL_AGE, MODEL_INFO
from active_customers.realtime.engine import Engine
from active_customers.realtime.session_recommender import SessionRecommender

_log = logging.getLogger(__name__)


class UpdaterConfig(Config):
    """How often the updater looks."""

    poll_seconds: Annotated[float, Field(gt=0)] = 1.0
    """Pause between looks for a new model or a changed catalogue."""
    archive_seconds: Annotated[float, Field(gt=0)] = 60.0
    """Pause between moves of the log to the archive."""


class ModelFollower:
    """Puts each newly published model in force; a version that cannot be read is refused and the old one stays."""

    def __init__(self, artifacts: ArtifactStore, engine: Engine, clock: Clock) -> None:
        self._artifacts = artifacts
        self._engine = engine
        self._clock = clock
        self._seen: str | None = None
        self._in_force: str | None = None

    def follow(self) -> None:
        """Load the current version if it is another than the last one seen; call it from any one thread."""
        current = self._artifacts.current()
        if current is not None and current != self._seen:
            self._seen = current
            try:
                self._engine.recommender = SessionRecommender(*self._artifacts.load(current))
            except (ActiveCustomersError, KeyError, ValueError):  # the last two: of models that this version knows not
                _log.exception("model %s is refused, the one before stays in force", current)
            else:
                if self._in_force is not None:
                    MODEL_INFO.labels(self._in_force).set(0)
                MODEL_INFO.labels(current).set(1)
                self._in_force = current
                _log.info("model %s is in force", current)
        recommender = self._engine.recommender
        created = recommender.manifest.created if recommender else None
        MODEL_AGE.set(-1 if created is None else (self._clock.now() - created) / SECOND)


@dataclass(frozen=True, slots=True)
class Work:
    """Something to do again and again, with a pause in between."""

    run: Callable[[], None]
    seconds: float
    at_start: bool = False
    """Whether it is done once before the service answers."""


class Updater:
    """Periodic work beside the answers, each kind in a thread while it runs."""

    def __init__(self, works: Sequence[Work]) -> None:
        self._works = works
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()

    def start(self) -> None:
        """Do what is to be done before the first answer; then go on in the background of the running loop."""
        for work in self._works:
            if work.at_start:
                work.run()
        self._tasks = [asyncio.create_task(self._every(work)) for work in self._works]

    async def stop(self) -> None:
        """End the background work; what is under way is finished first, since it uses the store."""
        self._stopping.set()
        await asyncio.gather(*self._tasks)

    async def _every(self, work: Work) -> None:
        """Do some work in a thread, again and again until `stop`; what goes wrong is logged and does not end it."""
        while not await self._stops_within(work.seconds):
            try:
                await asyncio.to_thread(work.run)
            except Exception:  # noqa: BLE001 - the libraries below have errors of their own
                _log.exception("%s failed and will be tried again in %s s", work.run.__qualname__, work.seconds)

    async def _stops_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
        return self._stopping.is_set()
