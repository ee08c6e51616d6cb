"""What the shop's bandits chose and what came of it, read from archive and log for off-policy evaluation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
import orjson

from active_customers.batch.history import WhoIsWho
from active_customers.core.attribution import TokenSigner
from active_customers.core.clock import DAY
from active_customers.core.errors import InvalidValueError, NoDataError, StorageError, meant
from active_customers.core.event import EventType, LogEntry
from active_customers.core.identifiers import NO_NUMBER
from active_customers.evaluation.logged_choices import LoggedChoices
from active_customers.storage.archive import PART_REMEDY, Archive
from active_customers.storage.base import Store
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.embedded import EmbeddedStore, StorageConfig
from active_customers.storage.keys import load_keys
from active_customers.storage.passed_over import PassedOver
from active_customers.storage.simulated_clock import clock_of

REWARDS: Mapping[str, tuple[EventType, ...]] = {
    "click": (EventType.CLICK, EventType.EMAIL_CLICK, EventType.PUSH_CLICK),
    "cart_add": (EventType.CART_ADD,),
    "purchase": (EventType.PURCHASE,),
}
"""Acts that can be what a bandit is to bring about, by the name of the goal."""

_ENTRIES_PER_READ = 5_000
_ROWS = """
SELECT position, arrival, customer, product, details FROM read_parquet(?, hive_partitioning = false)
WHERE event_type IN (SELECT unnest(?)) AND contains(details, 'recommendation_id') ORDER BY position
"""


class Asked(NamedTuple):
    """Which choices, and what counts as their reward: an act within `window` microseconds of the choice.

    None stands for the only bandit that there is, and for its newest version.
    """

    bandit: str | None = None
    version: int | None = None
    reward: str = "click"
    window: int = DAY


@dataclass(frozen=True, slots=True)
class ChoiceHistory:
    """The choices of one version of a bandit, and what was left out of them.

    `n_open` are younger than the window, so that their rewards may still come; `n_passed_over` were made for robots and
    for customers who want no profile; `n_unreadable` do not say what a choice must. `n_unverified` acts named a choice
    but not a product that it showed, or came from another customer, or their token no longer verifies.
    """

    bandit: str
    version: int
    choices: LoggedChoices
    n_open: int
    n_passed_over: int
    n_unreadable: int
    n_unverified: int


def read_choices(root: Path, asked: Asked, config: StorageConfig | None = None) -> ChoiceHistory:
    """Return what a bandit of the shop in a data directory chose, beside a service or without one.

    Raises `NoDataError` for a directory that never served, which is left as it is, and what `ChoiceReader.read` does.
    """
    directory = DataDirectory(root)
    if not directory.keys.exists():
        raise NoDataError(f"{root} has no keys, so that nothing was ever answered there: see --data-dir")
    signer = TokenSigner(load_keys(directory.keys))
    with closing(EmbeddedStore(directory.store, config or StorageConfig()).open()) as store:
        return ChoiceReader(store, Archive(directory.archive), signer).read(asked, clock_of(directory).now())


class ChoiceReader:
    """Reads choices beside whoever writes."""

    def __init__(self, store: Store, archive: Archive, signer: TokenSigner) -> None:
        self._store = store
        self._archive = archive
        self._signer = signer

    def read(self, asked: Asked, now: int) -> ChoiceHistory:
        """Return the choices that are asked about as they are known at a time.

        Raises `NoDataError` where none was logged or all are too young, `InvalidValueError` for a bandit, a version or
        a reward that there is not, `StorageError` for an unreadable archive.
        """
        if asked.reward not in REWARDS:
            raise InvalidValueError("reward", asked.reward, meant(asked.reward, REWARDS))
        who = WhoIsWho(
            PassedOver(self._store.erasures, self._store.customers).customers(), self._store.customers.joined()
        )
        found = _Found.of(self._rows([EventType.CHOICE]))
        bandit, version = _which(found.counts, asked)
        chosen = found.by_version[bandit, version]
        passed_over = set(who.passed_over.tolist())
        kept = [choice for choice in chosen if choice.customer not in passed_over]
        due = [choice for choice in kept if choice.arrival <= now - asked.window]
        if not due:
            raise NoDataError(
                f"all {len(kept)} choices of {bandit} are younger than the window: ask later or shorten it"
            )
        owners = who.owners(np.array([choice.customer for choice in due], np.uint32))
        rewards, n_unverified = self._rewards(due, owners.tolist(), asked, who)
        return ChoiceHistory(
            bandit=bandit,
            version=version,
            choices=_columns(due, rewards, owners.tolist()),
            n_open=len(kept) - len(due),
            n_passed_over=len(chosen) - len(kept),
            n_unreadable=found.n_unreadable,
            n_unverified=n_unverified,
        )

    def _rewards(
        self, due: Sequence[_Choice], owners: Sequence[int], asked: Asked, who: WhoIsWho
    ) -> tuple[list[float], int]:
        """Return 1 for each choice that brought about what it was to, else 0, and how many acts were not believed."""
        rows = {choice.token: row for row, choice in enumerate(due)}
        rewards, n_unverified = [0.0] * len(due), 0
        for act in self._rows(REWARDS[asked.reward]):
            row = rows.get(act.details["recommendation_id"])
            if row is None or act.arrival - due[row].arrival > asked.window:
                continue
            [owner] = who.owners(np.array([act.customer], np.uint32)).tolist()
            shown = self._signer.verify(due[row].token)
            if owner != owners[row] or shown is None or not self._signer.shows(shown, act.product):
                n_unverified += 1
            else:
                rewards[row] = 1.0
        return rewards, n_unverified

    def _rows(self, kinds: Sequence[EventType]) -> Iterator[_Row]:
        """Yield what of some kinds names an answer, in the order of the log, once each."""
        logged = list(self._logged(kinds))  # before the archive is listed: what is trimmed meanwhile is in both
        positions = {entry.position for entry in logged}
        for row in self._archived(kinds):
            if row["position"] not in positions:
                product = NO_NUMBER if row["product"] is None else row["product"]
                yield _Row(row["arrival"], row["customer"], product, orjson.loads(row["details"]))
        for entry in logged:
            yield _Row(entry.arrival, entry.customer, entry.product, entry.event.details)

    def _logged(self, kinds: Sequence[EventType]) -> Iterator[LogEntry]:
        position = 1
        while entries := self._store.events.read(position, _ENTRIES_PER_READ):
            for entry in entries:
                if entry.event.event_type in kinds and "recommendation_id" in entry.event.details:
                    yield entry
            position = entries[-1].position + 1

    def _archived(self, kinds: Sequence[EventType]) -> Iterator[dict[str, Any]]:
        files = [str(part.path) for part in self._archive.parts()]
        if not files:
            return
        try:
            with duckdb.connect() as connection:
                numbers = [int(kind) for kind in kinds]
                for batch in connection.sql(_ROWS, params=[files, numbers]).to_arrow_reader(_ENTRIES_PER_READ):
                    yield from (row for row in batch.to_pylist() if '"recommendation_id"' in row["details"])
        except duckdb.Error as error:
            raise StorageError(f"the archive cannot be read ({error}): {PART_REMEDY}") from error


class _Row(NamedTuple):
    arrival: int
    customer: int
    product: int
    details: Mapping[str, Any]


class _Choice(NamedTuple):
    arrival: int
    customer: int
    token: str
    arm: str
    propensity: float
    features: tuple[float, ...]


@dataclass(slots=True)
class _Found:
    """Choices by bandit and version; of several for one answer, which a retry makes, the first one counts."""

    by_version: dict[tuple[str, int], list[_Choice]] = field(default_factory=dict)
    counts: Counter[tuple[str, int]] = field(default_factory=Counter)
    n_unreadable: int = 0

    @classmethod
    def of(cls, rows: Iterator[_Row]) -> _Found:
        """Sort rows into bandits."""
        found = cls()
        seen: set[tuple[str, int, str]] = set()
        for row in rows:
            read = _choice(row)
            if read is None or not found.takes(*read):
                found.n_unreadable += 1
            elif (*read[0], read[1].token) not in seen:
                seen.add((*read[0], read[1].token))
                found.by_version.setdefault(read[0], []).append(read[1])
                found.counts[read[0]] += 1
        return found

    def takes(self, key: tuple[str, int], choice: _Choice) -> bool:
        """Tell whether a choice has as many features as the others of its version."""
        others = self.by_version.get(key)
        return others is None or len(others[0].features) == len(choice.features)


def _choice(row: _Row) -> tuple[tuple[str, int], _Choice] | None:
    """Return bandit, version and choice of a row, or None where it does not say what it must."""
    try:
        said = row.details["metadata"]
        key = str(said["bandit"]), int(said["version"])
        propensity = float(said["propensity"])
        features = tuple(map(float, said.get("features") or ()))
        token = str(row.details["recommendation_id"])
        choice = _Choice(row.arrival, row.customer, token, str(said["arm"]), propensity, features)
    except (KeyError, TypeError, ValueError):
        return None
    return (key, choice) if 0 < propensity <= 1 and np.isfinite(features).all() else None


def _which(counts: Mapping[tuple[str, int], int], asked: Asked) -> tuple[str, int]:
    """Return the bandit and the version that are meant; errors name those that there are."""
    bandits = sorted({bandit for bandit, _ in counts})
    if not bandits:
        raise NoDataError("no bandit has chosen anything yet: see whether one is on and answers are asked for")
    if asked.bandit is None and len(bandits) > 1:
        raise InvalidValueError("bandit", None, f"name one of {', '.join(bandits)}")
    bandit = asked.bandit or bandits[0]
    if bandit not in bandits:
        raise InvalidValueError("bandit", bandit, meant(bandit, bandits))
    versions = sorted(version for name, version in counts if name == bandit)
    version = versions[-1] if asked.version is None else asked.version
    if version not in versions:
        raise InvalidValueError("version", version, f"{bandit} has chosen as {', '.join(map(str, versions))}")
    return bandit, version


def _columns(choices: Sequence[_Choice], rewards: Sequence[float], owners: Sequence[int]) -> LoggedChoices:
    names, arms = np.unique([choice.arm for choice in choices], return_inverse=True)
    features = np.array([choice.features for choice in choices], np.float64)
    return LoggedChoices(
        tuple(names.tolist()),
        arms,
        np.array(rewards),
        np.array([choice.propensity for choice in choices]),
        features=features if features.shape[1] else None,
        customers=np.array(owners, np.int64),
    )
