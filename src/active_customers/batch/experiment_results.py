"""What the shop's experiments prove so far: read from the archive, the newest events included."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

import numpy as np
from numpy.typing import NDArray

from active_customers.core.attribution import TokenSigner
from active_customers.core.errors import InvalidValueError
from active_customers.experiments.analysis import AnalysisConfig, analyse
from active_customers.experiments.definition import Experiment
from active_customers.experiments.experiment_report import ExperimentReport
from active_customers.experiments.exposed import People
from active_customers.experiments.outcomes import OutcomesConfig, Source, read_outcomes
from active_customers.storage.archive import Archive
from active_customers.storage.base import CatalogStore, Store
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.keys import load_keys
from active_customers.storage.passed_over import PassedOver

_SCRATCH = ".experiment-"
COST = "cost"
"""The attribute of a product that says what the shop pays for it."""


@dataclass(frozen=True, slots=True)
class ExperimentResults:
    """Reads results over an open store.

    `archive_log` has the log moved to the archive by whoever owns the store; without it the newest events, of the last
    `updater.archive_seconds`, are not known: each move leaves a file, so that who looks again and again does without.
    """

    store: Store
    directory: DataDirectory
    counting: OutcomesConfig
    reading: AnalysisConfig
    archive_log: Callable[[], None] | None = None

    def of(self, experiment: Experiment, now: int) -> ExperimentReport:
        """Return what an experiment proves until now.

        Raises `StorageError` where the archive cannot be read, and `InvalidValueError` for a bandit: customers have no
        variant there, so that only its choices can be compared.
        """
        if experiment.bandit is not None:
            raise not_for_bandits(experiment)
        if self.archive_log is not None:
            self.archive_log()
        store = self.store
        source = Source(
            Archive(self.directory.archive),
            People(store.customers.joined(), PassedOver(store.erasures, store.customers).customers()),
            TokenSigner(load_keys(self.directory.keys)),
            self._scratch(),
            costs_of(store.catalog),
        )
        return analyse(experiment, read_outcomes(experiment, source, self.counting, now), self.reading)

    def _scratch(self) -> Path:
        return self.directory.root / f"{_SCRATCH}{os.getpid()}-{os.urandom(4).hex()}"


def clear_scratch(directory: DataDirectory) -> None:
    """Remove what looks that were killed have left behind."""
    for folder in directory.root.glob(f"{_SCRATCH}*"):
        rmtree(folder, ignore_errors=True)


def not_for_bandits(experiment: Experiment) -> InvalidValueError:
    """Return the error that says where the variants of a bandit are judged."""
    remedy = f"it is a bandit: `active-customers off-policy --bandit {experiment.name}` judges its variants"
    return InvalidValueError("name", experiment.name, remedy)


def costs_of(catalogue: CatalogStore) -> NDArray[np.float64] | None:
    """Return what the shop pays by product number, nan where it does not say; None where it says nothing at all."""
    said = ((number, product.attributes.get(COST)) for number, product in catalogue.products())
    known = {number: float(cost) for number, cost in said if isinstance(cost, int | float)}
    if not known:
        return None
    costs = np.full(max(known) + 1, np.nan)
    costs[list(known)] = list(known.values())
    return costs
