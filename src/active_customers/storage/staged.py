"""A staged import: everything that adopting it needs, in one folder, before anything else changes.

Files: `part-*.parquet` (rows of `archive.SCHEMA`, named by their range), `customers.npy` uint32[c] (numbers, each once,
ascending), `starts.npy` int64[c + 1], `acts.npy` int64[n, 6] (columns ACT_* of `core.session`, sessions assigned; the
acts of customer `i` are rows `starts[i]:starts[i + 1]`, by time), `keys.npy` uint8[k, 16] (the retry keys of events
that a shop may still post: those with an id of their own, not older than the log remembers keys), and `staged.json`
with the time of arrival and `since`, written last. `turns.jsonl`, where there is one, holds a `StagedTurn` a line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import orjson
from numpy.typing import NDArray

from active_customers.core.erasure import NAMES_ANOTHER
from active_customers.core.errors import StorageError
from active_customers.core.event import Event, EventType, LogEntry
from active_customers.core.identifiers import NO_NUMBER
from active_customers.storage.durable import write_whole

TURNS = "turns.jsonl"


class StagedTurn(NamedTuple):
    """What an imported row says of a customer beyond their acts, in the order of the rows.

    `said` is the other id of a login (empty where it names none), the level of a consent, the rule by which a robot was
    recognised (a `kind` of FORGOTTEN). `customer` is the number that `customer_id` had when the import was made.
    """

    customer: int
    customer_id: str
    kind: EventType
    said: str
    time: int
    other: int = NO_NUMBER
    """Of a login that names another id: the number that this one had when the import was made."""

    def without(self, is_forgotten: Callable[[int], bool]) -> StagedTurn | None:
        """Return what is left of it where customers were erased or forgotten since they were numbered."""
        if is_forgotten(self.customer):
            return None
        return self._replace(said="") if self.other != NO_NUMBER and is_forgotten(self.other) else self

    def entry(self, arrival: int) -> LogEntry:
        """Return it as the log's entries are that say such things."""
        name = "consent" if self.kind == EventType.CONSENT else NAMES_ANOTHER
        event = Event(self.customer_id, self.kind, self.time, details={name: self.said} if self.said else {})
        return LogEntry(0, arrival, self.customer, NO_NUMBER, 0, event)


def write_turns(folder: Path, turns: Sequence[StagedTurn]) -> None:
    """Write what an import says of customers beyond their acts."""
    if turns:
        write_whole(folder / TURNS, b"".join(orjson.dumps(tuple(turn)) + b"\n" for turn in turns))


@dataclass(frozen=True, slots=True)
class StagedImport:
    """The folder of one staged import, opened: arrays are mapped, not read."""

    folder: Path
    arrival: int
    customers: NDArray[np.uint32]
    starts: NDArray[np.int64]
    acts: NDArray[np.int64]
    keys: NDArray[np.uint8]
    turns: Sequence[StagedTurn] = ()
    since: int = 1
    """The log's next position when its customers were numbered: who was erased from there on is not to come back."""

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Map the arrays of a staged import; raises `StorageError` when the folder is incomplete."""
        try:
            facts: dict[str, Any] = orjson.loads((folder / "staged.json").read_bytes())
            customers, starts, acts, keys = (
                np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
                for name in ("customers", "starts", "acts", "keys")
            )
            turns = _read_turns(folder / TURNS)
        except (OSError, ValueError) as error:
            raise StorageError(f"{folder} holds no complete staged import ({error}): run the import again") from error
        return cls(folder, int(facts["arrival"]), customers, starts, acts, keys, turns, int(facts.get("since", 1)))

    def parts(self) -> list[Path]:
        """Return the archive parts that have not been moved into the archive yet."""
        return sorted(self.folder.glob("part-*.parquet"))


def _read_turns(path: Path) -> list[StagedTurn]:
    if not path.exists():
        return []
    rows = (orjson.loads(line) for line in path.read_bytes().splitlines())
    return [StagedTurn(customer, name, EventType(kind), *said) for customer, name, kind, *said in rows]


def seal(folder: Path, arrival: int, since: int = 1) -> None:
    """Mark a staged import as complete; call it when every other file is written."""
    write_whole(folder / "staged.json", orjson.dumps({"arrival": arrival, "since": since}))
