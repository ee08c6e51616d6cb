"""The history that a refresh learns from: the newest acts of taste in the archive, and what it did not hold yet."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

import duckdb
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from active_customers.core.config import Config
from active_customers.core.errors import StorageError
from active_customers.core.event import TASTE_TYPES, EventType
from active_customers.core.product import Product
from active_customers.models.base import SessionLog
from active_customers.models.product_features import ProductFeatures, features_of, tokens_of
from active_customers.storage.archive import Archive, Part, check_part
from active_customers.storage.base import StoreWriter


class HistoryConfig(Config):
    """What a refresh reads, and how much of the machine that may take."""

    newest_acts: Annotated[int, Field(ge=1)] = 50_000_000
    """Acts that models learn from, newest by log position; a million take about 50 MB while training."""
    memory_mb: Annotated[int, Field(ge=64)] = 1024
    """Memory of the database that picks the acts; what goes beyond is on disk."""
    threads: Annotated[int, Field(ge=1)] = 2
    """Threads that pick."""


COLUMNS = ("session", "product", "event_type", "time", "customer", "channel")
"""Of acts; a channel is one more than its number, 0 where none was named."""

_KINDS = ", ".join(str(int(kind)) for kind in TASTE_TYPES)
_OF_TASTE = f"product IS NOT NULL AND event_type IN ({_KINDS}) AND customer NOT IN (SELECT unnest(?))"
_GIVEN_BACK = f"""
WITH acts AS (
    SELECT position, coalesce(joined.owner, customer) AS customer, product, event_type, quantity, time
    FROM read_parquet($1, hive_partitioning = false) LEFT JOIN joined ON joined.number = customer
    WHERE event_type IN ({int(EventType.PURCHASE)}, {int(EventType.REFUND)}) AND product IS NOT NULL
)
SELECT position FROM (
    SELECT bought.position, refunded.pieces, sum(bought.quantity) OVER (
        PARTITION BY bought.customer, bought.product ORDER BY bought.time DESC, bought.position DESC
    ) AS pieces_since
    FROM acts bought JOIN (
        SELECT customer, product, sum(quantity) AS pieces, max(time) AS latest
        FROM acts WHERE event_type = {int(EventType.REFUND)} GROUP BY customer, product
    ) refunded ON bought.customer = refunded.customer AND bought.product = refunded.product
    WHERE bought.event_type = {int(EventType.PURCHASE)} AND bought.time <= refunded.latest
) WHERE pieces_since <= pieces
"""  # noqa: S608 - constants
"""Purchases that were given back in full; where fewer pieces came back than were bought, the newest count first."""
_GIVEN = ", ".join((*COLUMNS[:-1], "coalesce(channel + 1, 0)::UTINYINT AS channel"))
_NEWEST = f"""
SELECT position, {", ".join(COLUMNS)} FROM (
    SELECT position, {_GIVEN} FROM read_parquet($1, hive_partitioning = false)
    WHERE {_OF_TASTE.replace("?", "$2")}
    ORDER BY position DESC LIMIT $3
) ORDER BY position
"""  # noqa: S608 - constants
_COUNT_SINCE = f"""
SELECT count(*) FROM read_parquet(?, hive_partitioning = false) WHERE {_OF_TASTE} AND position >= ?
"""  # noqa: S608 - constants


class WhoIsWho(NamedTuple):
    """Numbers of customers whose acts teach nothing, and number and owner of those whose acts are another's.

    Shapes: passed_over uint32[n], joined uint32[m, 2], by number.
    """

    passed_over: NDArray[np.uint32]
    joined: NDArray[np.uint32]

    @classmethod
    def of(cls, writer: StoreWriter) -> Self:
        """Ask the owner of a store."""
        return cls(writer.passed_over(), writer.joined())

    def owners(self, customers: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Return whose acts those of some customers are."""
        if not len(self.joined):
            return customers
        numbers, owners = self.joined.T
        places = np.minimum(np.searchsorted(numbers, customers), len(numbers) - 1)
        return np.where(numbers[places] == customers, owners[places], customers)


EVERYBODY = WhoIsWho(np.empty(0, np.uint32), np.empty((0, 2), np.uint32))
"""Everybody teaches, and is somebody of their own."""


@dataclass(frozen=True, slots=True)
class History:
    """Acts by column (`COLUMNS`), in order of log position; `watermark` and `holes` as in a `Manifest`.

    A purchase that was given back in full is a view: it says what the customer looked at, and not what they keep. The
    last `n_unseen` of them stand at or above the watermark that was asked about; `first` is the first one's
    position. `features` says what the catalogue knows of products, acted on or not.
    """

    columns: Mapping[str, NDArray[Any]]
    watermark: int
    holes: list[tuple[int, int]]
    n_unseen: int = 0
    first: int = 1
    features: ProductFeatures | None = None

    def __len__(self) -> int:
        return len(self.columns["product"])

    @property
    def n_products(self) -> int:
        """A number above those of all products, acted on or described."""
        described = 0 if self.features is None else self.features.n_products
        return max(described, int(self.columns["product"].max(initial=0)) + 1)

    def described(self, catalogue: Mapping[int, Product], now: int) -> Self:
        """Return the same with what is said of products by number, but of those that are on sale only after `now`."""
        said = ((number, tokens_of(entry)) for number, entry in catalogue.items() if (entry.released or 0) <= now)
        features = features_of(said, max(self.n_products, max(catalogue, default=-1) + 1))
        return replace(self, features=features) if features.n_tokens else self

    def log(self, as_of: int, rows: NDArray[np.bool_] | None = None) -> SessionLog:
        """Return all rows, or some, as sessions."""
        columns = self.columns if rows is None else {name: column[rows] for name, column in self.columns.items()}
        return replace(SessionLog.from_rows(columns, self.n_products, as_of), features=self.features)


def read_history(
    archive: Archive, config: HistoryConfig, scratch: Path, who: WhoIsWho = EVERYBODY, seen: int = 1
) -> History:
    """Read the newest acts of taste but those of customers who are passed over; joined customers are one.

    `scratch` is a folder that does not exist and is there meanwhile; `seen` is the watermark of a version, above which
    acts count as unseen.

    Raises `StorageError` when a part cannot be read or was altered, or there is no room for sorting.
    """
    parts = archive.parts()
    if not parts:
        return History(dict.fromkeys(COLUMNS, np.empty(0, np.int64)), 1, [])
    wanted = _Wanted([str(part.path) for part in parts], who, config.newest_acts, seen)
    columns, n_unseen = _newest_acts(parts, config, scratch, wanted)
    columns["customer"] = who.owners(columns["customer"])
    positions = columns.pop("position")[:1].tolist()
    watermark = max(part.last + 1 for part in parts)
    return History(columns, watermark, holes_between(parts), n_unseen, *positions)


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


class _Wanted(NamedTuple):
    """What is asked of the archive."""

    files: list[str]
    who: WhoIsWho
    newest_acts: int
    seen: int


def _newest_acts(
    parts: Sequence[Part], config: HistoryConfig, scratch: Path, wanted: _Wanted
) -> tuple[dict[str, NDArray[Any]], int]:
    """Return the acts by column, their positions too, and how many of them are unseen."""
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{config.memory_mb}MB",
        "threads": config.threads,
        "temp_directory": str(scratch),
    }
    for part in parts:
        check_part(part.path, ("position", "quantity", *COLUMNS))
    try:
        with duckdb.connect(config=settings) as connection:
            found = connection.execute(_NEWEST, [wanted.files, wanted.who.passed_over, wanted.newest_acts]).fetchnumpy()
            connection.register(
                "joined", dict(zip(("number", "owner"), np.ascontiguousarray(wanted.who.joined.T), strict=True))
            )
            given_back = connection.execute(_GIVEN_BACK, [wanted.files]).fetchnumpy()["position"]
            [(n_unseen,)] = connection.execute(
                _COUNT_SINCE, [wanted.files, wanted.who.passed_over, wanted.seen]
            ).fetchall()
    except duckdb.Error as error:
        remedy = "see that the archive can be read and the disk has room, then refresh again"
        raise StorageError(f"the archive cannot be read ({error}): {remedy}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    columns = {name: np.asarray(found[name]) for name in ("position", *COLUMNS)}
    columns["event_type"] = np.where(
        np.isin(columns["position"], given_back), np.uint8(EventType.VIEW), columns["event_type"]
    )
    return columns, min(int(n_unseen), len(columns["product"]))
