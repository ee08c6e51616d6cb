"""The updater: follows what is published and what is logged, beside the answers, never in front of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated

from pydantic import Field

from active_customers.core.clock import SECOND, Clock
from active_customers.core.config import Config
from active_customers.core.errors import ActiveCustomersError
from active_customers.models.artifacts import ArtifactStore
from active_customers.monitoring.metrics import LOG_POSITION, MODEL_AGE, MODEL_INFO, STORE_BYTES
from active_customers.realtime.engine import Engine
from active_customers.realtime.product_cards import ProductCards
from active_customers.realtime.session_recommender import SessionRecommender
from active_customers.storage.embedded import EmbeddedStore
from active_customers.storage.writer import DirectWriter

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
                MODEL_INFO.clear()
                MODEL_INFO.labels(current).set(1)
                _log.info("model %s is in force", current)
        recommender = self._engine.recommender
        created = recommender.manifest.created if recommender else None
        MODEL_AGE.set(-1 if created is None else (self._clock.now() - created) / SECOND)


class Updater:
    """Periodic work of a service: models, catalogue, archive, gauges."""

    def __init__(
        self,
        follower: ModelFollower,
        cards: ProductCards,
        owned: tuple[EmbeddedStore, DirectWriter],
        config: UpdaterConfig,
    ) -> None:
        self._follower = follower
        self._cards = cards
        self._store, self._writer = owned
        self._config = config
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()

    def start(self) -> None:
        """Look once, so that the first answer has its model; then go on in the background of the running loop."""
        self._look()
        self._tasks = [
            asyncio.create_task(self._every(self._config.poll_seconds, self._look)),
            asyncio.create_task(self._every(self._config.archive_seconds, self._archive)),
        ]

    async def stop(self) -> None:
        """End the background work; what is under way is finished first, since it uses the store."""
        self._stopping.set()
        await asyncio.gather(*self._tasks)

    def _look(self) -> None:
        self._follower.follow()
        self._cards.refresh()
        LOG_POSITION.set(self._store.events.next_position())
        STORE_BYTES.set(self._store.used_bytes())

    def _archive(self) -> None:
        self._writer.archive_log()
        self._writer.compact()

    async def _every(self, seconds: float, work: Callable[[], None]) -> None:
        """Do some work in a thread, again and again until `stop`; what goes wrong is logged and does not end it."""
        while not await self._stops_within(seconds):
            try:
                await asyncio.to_thread(work)
            except Exception:  # noqa: BLE001 - the libraries below have errors of their own
                _log.exception("%s failed and will be tried again in %s s", work.__qualname__, seconds)

    async def _stops_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
        return self._stopping.is_set()
