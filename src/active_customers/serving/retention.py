"""What is kept for how long, and the upkeep that sees to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from active_customers.core.clock import DAY, HOUR, Clock, day_of
from active_customers.core.config import Config
from active_customers.importing.folder import clear_old, is_import_under_way
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.embedded import EmbeddedStore
from active_customers.storage.writer import DirectWriter

_STATES_PER_RUN = 10_000
_VISITS_PER_STEP = 1_000
"""Bounds one transaction to some milliseconds, so that live events pass in between."""
_PASSES_WITHIN_BOUND = 24


class RetentionConfig(Config):
    """What is kept for how long; the rejected rows of imports have `imports.rejects_days`."""

    erase_hours: Annotated[int, Field(ge=1, le=720)] = 24
    """Time within which the archive's rows of an erased customer are overwritten on disk. A running service begins at
    once; erasures that come within the next 24th of this time share one pass over the archive."""
    archive_days: Annotated[int, Field(ge=0)] = 0
    """Days that the archive goes back, by arrival; 0 keeps it for ever. What is gone can be neither learned from nor
    recognised when it is imported again."""
    state_days: Annotated[int, Field(ge=0)] = 90
    """Age of the latest act at which an anonymous customer, who never logged in and has bought and hidden nothing, is
    forgotten: session state and id; 0 keeps them for ever. Age counts from the newest act of the shop."""


@dataclass(slots=True)
class Retention:
    """The owner's upkeep of a data directory; `run` does a bounded piece, but for overwriting the archive."""

    writer: DirectWriter
    store: EmbeddedStore
    directory: DataDirectory
    config: RetentionConfig
    clock: Clock
    rejects_days: float
    _next_pass: int = 0

    def run(self) -> None:
        """Do what is due; last what a damaged file of the archive can keep from ending."""
        now = self.clock.now()
        while self.store.customers.end_visits(now, _VISITS_PER_STEP) == _VISITS_PER_STEP:
            pass
        if self.config.archive_days:
            self.writer.drop_days(day_of(max(now - self.config.archive_days * DAY, 0)))
        ages = (now - self.config.erase_hours * HOUR, now - int(self.rejects_days * DAY))
        clear_old(self.directory.imports, ages, self.store.events.imports_under_way())
        if self.config.state_days and not is_import_under_way(self.directory.imports):
            self.store.expiry.sweep(now, self.config.state_days * DAY, _STATES_PER_RUN)
        self._overwrite(now)

    def _overwrite(self, now: int) -> None:
        """Overwrite the rows of erased customers, unless that was done shortly before."""
        if now >= self._next_pass and self.store.erasures.n_pending():
            self._next_pass = now + self.config.erase_hours * HOUR // _PASSES_WITHIN_BOUND  # should this one fail, too
            self.writer.finish_erasures()
