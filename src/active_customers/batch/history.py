"""The history that a refresh learns from: the newest acts of taste in the archive, and what it did not hold yet."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import duckdb
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from active_customers.core.config import Config
from active_customers.core.errors import StorageError
from active_customers.core.event import TASTE_TYPES
from active_customers.storage.archive import Archive, Part, check_part


class HistoryConfig(Config):
    """What a refresh reads, and how much of the machine that may take."""

    newest_acts: Annotated[int, Field(ge=1)] = 50_000_000
    """Acts that models learn from, newest by log position; a million take about 50 MB while training."""
    memory_mb: Annotated[int, Field(ge=64)] = 1024
    """Memory of the database that picks the acts; what goes beyond is on disk."""
    threads: Annotated[int, Field(ge=1)] = 2
    """Threads that pick."""


COLUMNS = ("session", "product", "event_type", "time", "customer")

_KINDS = ", ".join(str(int(kind)) for kind in TASTE_TYPES)
_NEWEST = f"""
SELECT {", ".join(COLUMNS)} FROM (
    SELECT position, {", ".join(COLUMNS)} FROM read_parquet(?, hive_partitioning = false)
    WHERE product IS NOT NULL AND event_type IN ({_KINDS}) AND customer NOT IN (SELECT unnest(?))
    ORDER BY position DESC LIMIT ?
) ORDER BY position
"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class History:
    """Acts by column (`COLUMNS`), in order of log position; `watermark` and `holes` as in a `Manifest`."""

    columns: Mapping[str, NDArray[Any]]
    watermark: int
    holes: list[tuple[int, int]]

    def __len__(self) -> int:
        return len(self.columns["product"])


def read_history(archive: Archive, config: HistoryConfig, scratch: Path, erased: Sequence[int] = ()) -> History:
    """Read the newest acts of taste but those of erased customers.

    `scratch` is a folder that does not exist and is there meanwhile.

    Raises `StorageError` when a part cannot be read or was altered, or there is no room for sorting.
    """
    parts = archive.parts()
    columns = _newest_acts(parts, config, scratch, erased) if parts else dict.fromkeys(COLUMNS, np.empty(0, np.int64))
    return History(columns, max((part.last + 1 for part in parts), default=1), holes_between(parts))


def holes_between(parts: Sequence[Part]) -> list[tuple[int, int]]:
    """Return the ranges of positions, both ends included, that parts in order of position leave out below their end.

    Positions that were reserved are missing until their import has ended, and for good if it was given up.
    """
    holes = []
    position = 1
    for part in parts:
        if part.first > position:
            holes.append((position, part.first - 1))
        position = max(position, part.last + 1)
    return holes


def _newest_acts(
    parts: Sequence[Part], config: HistoryConfig, scratch: Path, erased: Sequence[int]
) -> dict[str, NDArray[Any]]:
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{config.memory_mb}MB",
        "threads": config.threads,
        "temp_directory": str(scratch),
    }
    for part in parts:
        check_part(part.path, ("position", *COLUMNS))
    try:
        with duckdb.connect(config=settings) as connection:
            files = [str(part.path) for part in parts]
            found = connection.execute(_NEWEST, [files, np.array(erased, np.uint32), config.newest_acts]).fetchnumpy()
    except duckdb.Error as error:
        remedy = "see that the archive can be read and the disk has room, then refresh again"
        raise StorageError(f"the archive cannot be read ({error}): {remedy}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return {name: np.asarray(found[name]) for name in COLUMNS}
