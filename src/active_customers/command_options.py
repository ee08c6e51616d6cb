"""What several commands share: their options, their settings, and the data directory they work on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from active_customers.config.settings import LoadedSettings, Settings, load_settings
from active_customers.core.clock import Clock, format_time
from active_customers.serving.writer_socket import OpenStore, open_for_writing
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.simulated_clock import SimulatedClock

DataDir = Annotated[
    Path, typer.Option("--data-dir", envvar="ACTIVE_CUSTOMERS_DATA_DIR", help="Where everything of the shop is kept.")
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", envvar="ACTIVE_CUSTOMERS_CONFIG", help="A YAML file of settings.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Report what would happen, and change nothing.")]

DEFAULT_DATA = Path("data")


def loaded(config: Path | None, data_dir: Path, flags: dict[str, object] | None = None) -> LoadedSettings:
    """Return the settings; `config.yaml` in the data directory is read when no file is named."""
    own = data_dir / "config.yaml"
    return load_settings(config or (own if own.exists() else None), flags=flags)


@contextmanager
def opened_directory(directory: DataDirectory, settings: Settings) -> Iterator[OpenStore]:
    """Yield a data directory to write to; says so where its time is not the machine's and no service shows that."""
    with open_for_writing(directory, settings.storage) as store:
        if not store.is_served:
            say_simulated(directory, store.clock)
        yield store


def say_simulated(directory: DataDirectory, clock: Clock) -> None:
    """Say on the terminal that a directory goes by a time of its own, where it does."""
    if isinstance(clock, SimulatedClock):
        sys.stderr.write(f"{directory.root} was simulated: it is {format_time(clock.now())} there\n")
