"""What `active-customers experiment-plan` and `experiment-results` do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from active_customers.config.settings import Settings
from active_customers.core.attribution import TokenSigner
from active_customers.experiments.analysis import analyse
from active_customers.experiments.assignments import People
from active_customers.experiments.experiment_file import read_experiment_file
from active_customers.experiments.experiment_report import ExperimentReport
from active_customers.experiments.outcomes import Source, read_outcomes
from active_customers.experiments.planning import Design, Usual, detectable_effect, duration
from active_customers.serving.writer_socket import OpenStore
from active_customers.storage.archive import Archive
from active_customers.storage.base import CatalogStore
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.keys import load_keys

COST = "cost"
"""The attribute of a product that says what the shop pays for it."""


def results(path: Path, opened: OpenStore, directory: DataDirectory, settings: Settings) -> ExperimentReport:
    """Return what a test in a file proves so far, the newest events included; a running service goes on."""
    file = read_experiment_file(path)
    experiment = file.experiment()
    opened.writer.archive_log()
    source = Source(
        Archive(directory.archive),
        People(opened.writer.joined(), opened.writer.passed_over()),
        TokenSigner(load_keys(directory.keys)),
        directory.root / f".experiment-{os.getpid()}",
        costs_of(opened.store.catalog),
    )
    outcomes = read_outcomes(experiment, source, settings.experiment_outcomes, opened.clock.now())
    return analyse(experiment, outcomes, settings.experiment_analysis, file.watched())


def costs_of(catalogue: CatalogStore) -> NDArray[np.float64] | None:
    """Return what the shop pays by product number, nan where it does not say; None where it says nothing at all."""
    said = ((number, product.attributes.get(COST)) for number, product in catalogue.products())
    known = {number: float(cost) for number, cost in said if isinstance(cost, int | float)}
    if not known:
        return None
    costs = np.full(max(known) + 1, np.nan)
    costs[list(known)] = list(known.values())
    return costs


def plan(usual: Usual, effect: float, daily_customers: float, design: Design) -> Iterator[str]:
    """Yield how long a test takes, looked at once or at any time, and what other durations can find."""
    found = duration(usual, effect, daily_customers, design)
    how = "looked at any time" if design.sequential else "looked at once, at its end"
    yield f"{found.customers:,} customers of variant and control together, {found.days:,} days, {how}"
    low, high = found.interval
    yield f"an effect of {effect:+.1%} will then be told as {low:+.1%} to {high:+.1%}"
    yield f"for settings: experiment_analysis.planned_customers: {found.customers}"
    for days in (7, 14, 28):
        least = detectable_effect(usual, max(2, int(days * daily_customers)), design)
        yield f"{days} days find an effect of {least:.1%}"
