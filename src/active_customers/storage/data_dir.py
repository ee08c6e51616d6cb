"""The data directory: where everything of one shop lives, whose version it is, and who may write to it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import orjson

from active_customers.core.errors import NewerDataError, StorageError
from active_customers.storage.durable import make_folder, write_whole
from active_customers.storage.lock import take_lock

FORMAT = 4
"""Version of the layout on disk; raised when an older program could not read what a newer one wrote. A directory of an
older version is taken as it is. 2: the newest retry keys stand in `recent-keys`. 3: catalogue entries have more fields,
or are empty where they were deleted. 4: customers are joined, and the log says so."""


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """Paths of one data directory. Making the object touches nothing; `prepare` creates it or checks its version."""

    root: Path

    @property
    def store(self) -> Path:
        """The LMDB environment: log, session state, catalogue, numbers."""
        return self.root / "store"

    @property
    def archive(self) -> Path:
        """Parquet, by day of arrival."""
        return self.root / "archive"

    @property
    def models(self) -> Path:
        """Published model versions."""
        return self.root / "models"

    @property
    def live(self) -> Path:
        """The live index and its checkpoints: nothing that is not in the log."""
        return self.root / "live"

    @property
    def bandits(self) -> Path:
        """What bandits have learned: nothing that is not in the log."""
        return self.root / "bandits"

    @property
    def catalog_table(self) -> Path:
        """What is true of every product now: nothing that is not in the catalogue."""
        return self.root / "catalog"

    @property
    def imports(self) -> Path:
        """Imports under way, and the rejected rows of finished ones."""
        return self.root / "imports"

    @property
    def feeds(self) -> Path:
        """Which versions of feeds were fetched from their addresses and imported."""
        return self.root / "feeds.json"

    @property
    def keys(self) -> Path:
        """Signing keys; readable by the owner only."""
        return self.root / "keys.json"

    @property
    def evaluations(self) -> Path:
        """Which test parts were asked about, when and how: a line for each evaluation."""
        return self.root / "evaluations.jsonl"

    @property
    def clock(self) -> Path:
        """The time of a simulated service; no other directory has it."""
        return self.root / "clock"

    @property
    def socket(self) -> Path:
        """Where the process that owns the store takes requests of other processes."""
        return self.root / "committer.sock"

    @property
    def appends(self) -> Path:
        """Where the committer's process takes events from workers."""
        return self.root / "appends.sock"

    def prepare(self) -> None:
        """Create the directory, or check that this version can work with it.

        Raises `NewerDataError` for one written by a newer version, `StorageError` where it cannot be created.
        """
        path = self.root / "format.json"
        try:
            make_folder(self.root)
            if not path.exists():
                write_whole(path, orjson.dumps({"format": FORMAT}))
            found = int(orjson.loads(path.read_bytes())["format"])
            if found < FORMAT:
                write_whole(path, orjson.dumps({"format": FORMAT}))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StorageError(f"{self.root} cannot be used as a data directory ({error}): name another one") from error
        if found > FORMAT:
            raise NewerDataError(
                f"{self.root} was written by a newer version (format {found}, this one reads up to {FORMAT}): "
                "upgrade active-customers, or name another --data-dir"
            )

    def lock(self) -> int:
        """Become the only writer; return the descriptor whose closing (or the process's end) gives that up.

        Raises `StoreLockedError` when another process is the writer, `StorageError` when nobody may write there.
        """
        refusal = (
            f"{self.root} is in use by another process, such as a service, an import or a refresh: "
            "stop it or wait for its end, or name another --data-dir"
        )
        try:
            return take_lock(self.root / "lock", refusal)
        except OSError as error:
            raise StorageError(f"{self.root} cannot be written to ({error}): see who owns it") from error

    def check_free(self) -> None:
        """Raise what `prepare` and `lock` raise when this process could not own the directory."""
        self.prepare()
        os.close(self.lock())
