"""What a command asks an import to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from active_customers.core.config import Config
from active_customers.core.errors import InvalidValueError
from active_customers.importing.download import DownloadConfig
from active_customers.importing.preset import DEFAULT, Preset, check_columns, preset_named
from active_customers.importing.readers import BATCH_ROWS, reader_for
from active_customers.importing.scratch import ScratchConfig
from active_customers.storage.admission import DEFAULT_RULES, CustomerRules
from active_customers.storage.data_dir import DataDirectory

Progress = Callable[[int, int], None]
"""Told how many bytes of all files have been read, and how many there are; sorting and writing come after."""


class ImportConfig(Config):
    """How an import goes about its work."""

    scratch: ScratchConfig = Field(default=ScratchConfig())
    """The database that sorts the rows."""
    download: DownloadConfig = Field(default=DownloadConfig())
    """Feeds that are fetched from an address."""
    batch_rows: int = BATCH_ROWS
    """Rows that are worked on at a time."""
    part_rows: int = 500_000
    """Rows in a file of the archive, about."""
    rejects_kept: int = 100_000
    """Rejected rows that are written down; all are counted."""
    most_withdrawn_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of the available products that a full feed may lack; one that lacks more is refused as likely cut off."""
    most_rejected_share: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of the rows that may be rejected; above it the command fails, and a full feed withdraws nothing."""
    rejects_days: Annotated[float, Field(gt=0)] = 7.0
    """For how long rejected rows are kept; they may say what customers did."""


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What to import: files, in the order given, by a preset (None: native), into a data directory."""

    files: Sequence[Path]
    data_dir: Path
    preset: str | None = None
    config: ImportConfig = field(default_factory=ImportConfig)
    full: bool = False
    """Whether the files hold the whole catalogue: what is absent becomes unavailable."""
    force: bool = False
    """Whether a full feed is believed however much it lacks."""
    merge: bool = False
    """Whether entries keep the fields that the files say nothing of."""
    rules: CustomerRules = DEFAULT_RULES
    """What of customers may be kept, and who is a robot."""

    @property
    def directory(self) -> DataDirectory:
        """The data directory."""
        return DataDirectory(self.data_dir)

    def choose_preset(self, kind: Literal["events", "products"]) -> Preset:
        """Return the preset, having checked that every file is there, of a known format, and has the needed columns."""
        return chosen_preset(self.files, self.preset, kind)


def chosen_preset(files: Sequence[Path], name: str | None, kind: Literal["events", "products"]) -> Preset:
    """Return the preset that reads these files; raises `InvalidValueError` that says what fails and what would fit."""
    if not files:
        raise InvalidValueError("FILE", "", "name at least one file")
    preset = preset_named(name or DEFAULT)
    for path in files:
        names = reader_for(path).column_names(path)
        if names:  # a file of JSON lines may have no object to tell
            check_columns(path.name, names, kind, preset)
    return preset


def no_progress(done: int, total: int) -> None:
    """Tell nobody."""
    del done, total
