"""The updater: follows what is published and what is logged, beside the answers, never in front of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from active_customers.core.clock import SECOND, Clock
from active_customers.core.config import Config
from active_customers.core.errors import ActiveCustomersError, ArtifactError
from active_customers.models.artifacts import DamagedArtifactError
from active_customers.models.trained import TrainedModels
from active_customers.monitoring.metrics import MODEL_AGE, MODEL_INFO, UPDATE_FAILURES
from active_customers.realtime.engine import Engine
from active_customers.realtime.live_reader import LiveReader
from active_customers.realtime.session_recommender import SessionRecommender, load_models

_log = logging.getLogger(__name__)

_LONGEST_PAUSE = 60.0
"""Seconds until work that fails again and again is tried at the latest, unless it is done less often anyway."""


class UpdaterConfig(Config):
    """How often the updater looks."""

    poll_seconds: Annotated[float, Field(gt=0)] = 1.0
    """Pause between looks for a new model, and for prices and releases whose time has come."""
    archive_seconds: Annotated[float, Field(gt=0)] = 60.0
    """Pause between moves of the log to the archive."""


class ModelFollower:
    """Puts each newly published model in force; a version that cannot be read is refused and the old one stays.

    Where there is no old one, the newest published version that can be read steps in. A version that is damaged is
    refused for good, one that could not be read is tried again with each look. When a customer has been erased the
    version in force is loaded again, without them.
    """

    def __init__(self, artifacts: TrainedModels, engine: Engine, clock: Clock, live: LiveReader | None = None) -> None:
        self._artifacts = artifacts
        self._engine = engine
        self._clock = clock
        self._live = live
        self._in_force: str | None = None
        self._n_erased = 0
        self._damaged: set[str] = set()
        self._complaint = ""

    def follow(self) -> None:
        """Load the current version if it is not in force, and look at the live index; for any one thread."""
        current = self._artifacts.current()
        if self._in_force is not None and self._n_erased != self._artifacts.n_erased():
            self._load_again(self._in_force)
        if current is not None and current != self._in_force:
            error = self._put_in_force(current)
            if error is not None:
                self._complain(current, error, self._in_force or self._step_in(current))
        self._engine.recommender.refresh(self._clock.now())
        manifest = self._engine.recommender.manifest
        MODEL_AGE.set(-1 if manifest is None else (self._clock.now() - manifest.created) / SECOND)

    def _load_again(self, version: str) -> None:
        """Load the version in force without those erased since; where that fails it must not go on as it is."""
        error = self._put_in_force(version)
        if error is not None:
            self._engine.recommender = SessionRecommender(live=self._live)
            self._in_force = None
            self._complain(version, error, self._step_in(version))

    def _put_in_force(self, version: str) -> Exception | None:
        """Load a version; return what speaks against it, if anything."""
        if version in self._damaged:
            return DamagedArtifactError(f"model {version} was refused before")
        n_erased = self._artifacts.n_erased()
        try:
            recommender = SessionRecommender(load_models(*self._artifacts.load(version)), self._live)
        except (ActiveCustomersError, KeyError, ValueError) as error:  # the last two: models of another program version
            if isinstance(error, DamagedArtifactError) or not isinstance(error, ArtifactError):
                self._damaged.add(version)
            return error
        recommender.refresh(self._clock.now())
        self._engine.recommender = recommender
        self._n_erased = n_erased
        if self._in_force != version:
            self._announce(version)
        return None

    def _announce(self, version: str) -> None:
        if self._in_force is not None:
            MODEL_INFO.labels(self._in_force).set(0)
        MODEL_INFO.labels(version).set(1)
        self._in_force = version
        _log.info("model %s is in force", version)

    def _step_in(self, refused: str) -> str | None:
        """Put the newest other version that can be read in force; return which one, if any."""
        others = (version for version in reversed(self._artifacts.versions()) if version != refused)
        return next((version for version in others if self._put_in_force(version) is None), None)

    def _complain(self, refused: str, error: Exception, taken: str | None) -> None:
        """Log what was refused and which version answers instead; the same complaint is made once, not at each look."""
        complaint = f"model {refused} is refused, {taken or 'no other'} is in force: {error}"
        if complaint != self._complaint:
            _log.error("%s", complaint, exc_info=None if isinstance(error, ActiveCustomersError) else error)
            self._complaint = complaint


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
        # A thread for each, so that no work, and least of all the beat, waits for another one or for a command.
        self._threads = ThreadPoolExecutor(max(len(works), 1), thread_name_prefix="work")

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
        self._threads.shutdown()

    async def _every(self, work: Work) -> None:
        """Do some work in a thread of its own, again and again until `stop`; after failures with longer pauses."""
        pause, loop = work.seconds, asyncio.get_running_loop()
        while not await self._stops_within(pause):
            succeeded = await loop.run_in_executor(self._threads, _succeeds, work)
            pause = work.seconds if succeeded else max(work.seconds, min(2 * pause, _LONGEST_PAUSE))

    async def _stops_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
        return self._stopping.is_set()


def _succeeds(work: Work) -> bool:
    """Do some work; when it fails, count that, log the remedy, and return False."""
    name = work.run.__qualname__
    try:
        work.run()
    except Exception as error:  # noqa: BLE001 - the libraries below have errors of their own
        UPDATE_FAILURES.labels(name).inc()
        told = None if isinstance(error, ActiveCustomersError) else error
        _log.error("%s failed and will be tried again: %s", name, error, exc_info=told)
        return False
    return True
