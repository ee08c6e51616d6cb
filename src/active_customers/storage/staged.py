"""A staged import: everything that adopting it needs, in one folder, before anything else changes.

Files: `part-*.parquet` (rows of `archive.SCHEMA`, named by their range), `customers.npy` uint32[c] (numbers, each once,
ascending), `starts.npy` int64[c + 1], `acts.npy` int64[n, 6] (columns ACT_* of `core.session`, sessions assigned; the
acts of customer `i` are rows `starts[i]:starts[i + 1]`, by time), `keys.npy` uint8[k, 16] (the retry keys of events
that a shop may still post: those with an id of their own, not older than the log remembers keys), and `staged.json`
with the time of arrival, written last.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import orjson
from numpy.typing import NDArray

from active_customers.core.errors import StorageError
from active_customers.storage.durable import write_whole


@dataclass(frozen=True, slots=True)
class StagedImport:
    """The folder of one staged import, opened: arrays are mapped, not read."""

    folder: Path
    arrival: int
    customers: NDArray[np.uint32]
    starts: NDArray[np.int64]
    acts: NDArray[np.int64]
    keys: NDArray[np.uint8]

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Map the arrays of a staged import; raises `StorageError` when the folder is incomplete."""
        try:
            facts: dict[str, Any] = orjson.loads((folder / "staged.json").read_bytes())
            customers, starts, acts, keys = (
                np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
                for name in ("customers", "starts", "acts", "keys")
            )
        except (OSError, ValueError) as error:
            raise StorageError(f"{folder} holds no complete staged import ({error}): run the import again") from error
        return cls(folder, int(facts["arrival"]), customers, starts, acts, keys)

    def parts(self) -> list[Path]:
        """Return the archive parts that have not been moved into the archive yet."""
        return sorted(self.folder.glob("part-*.parquet"))


def seal(folder: Path, arrival: int) -> None:
    """Mark a staged import as complete; call it when every other file is written."""
    write_whole(folder / "staged.json", orjson.dumps({"arrival": arrival}))
