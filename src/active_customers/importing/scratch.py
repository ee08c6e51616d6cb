"""A temporary database on disk, for what does not fit in memory while an import runs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from active_customers.core.config import Config
from active_customers.core.errors import DiskFullError, StorageError
from active_customers.storage.archive import PART_REMEDY


class ScratchConfig(Config):
    """How much of the machine an import may take."""

    memory_mb: int = 512
    """Memory of the database that sorts the rows; what goes beyond is on disk."""
    threads: int = 2
    """Threads that sort."""


@contextmanager
def scratch_database(folder: Path, config: ScratchConfig) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a database in a folder and remove it afterwards.

    Raises `DiskFullError` and `StorageError` for what goes wrong inside.
    """
    scratch = folder / "scratch"
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{config.memory_mb}MB",
        "threads": config.threads,
        "temp_directory": str(scratch / "spill"),
        "preserve_insertion_order": True,
        "force_compression": "uncompressed",  # read once and thrown away: packing it costs more than it saves
    }
    scratch.mkdir()
    try:
        with duckdb.connect(str(scratch / "rows.duckdb"), config=settings) as connection:
            yield connection
    except duckdb.OutOfMemoryException as error:
        raise StorageError(f"the import needs more memory than its limit of {config.memory_mb} MB ({error})") from error
    except (duckdb.IOException, duckdb.TransactionException, duckdb.FatalException) as error:
        raise DiskFullError(f"the import cannot write to {folder} ({error}): free some space there") from error
    except duckdb.InvalidInputException as error:
        raise StorageError(f"the archive cannot be read ({error}): {PART_REMEDY}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
