"""What the customers of an experiment did after they were exposed, and before: folded from the log's archive."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import duckdb
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from active_customers.core.attribution import TokenSigner
from active_customers.core.clock import DAY
from active_customers.core.config import Config
from active_customers.core.errors import StorageError
from active_customers.core.event import EventType
from active_customers.experiments.definition import Experiment
from active_customers.experiments.exposed import Assignments, Exposures, People, assign
from active_customers.experiments.tokens import read_tokens
from active_customers.storage.archive import Archive, check_part


class OutcomesConfig(Config):
    """Which acts of an experiment's customers count."""

    conversion_days: Annotated[float, Field(gt=0, le=365)] = 14.0
    """Acts so many days after a customer was first exposed are outcomes; of a shorter time only what there was yet."""
    past_days: Annotated[float, Field(ge=0, le=365)] = 28.0
    """Acts so many days before say what the customer would have done anyway, which makes intervals narrower (CUPED)."""
    currency: Annotated[str, Field(pattern="^([A-Z]{3})?$")] = ""
    """What revenue is counted in, such as EUR; other currencies are left out. Empty for the one of most purchases."""
    memory_mb: Annotated[int, Field(ge=64)] = 1024
    """Memory of the database that counts; what goes beyond is on disk."""
    threads: Annotated[int, Field(ge=1)] = 2
    """Threads that count."""


FIGURES = (
    *("answers", "clicks", "carted", "bought", "unsubscribed", "revenue", "margin"),
    *("carted_before", "bought_before", "revenue_before"),
)
"""Columns of outcomes, one value for each customer; those that end in `before` are of the time before exposure."""

_CLICKS = (EventType.CLICK, EventType.EMAIL_CLICK, EventType.PUSH_CLICK)
_COLUMNS = ("position", "time", "event_type", "customer", "product", "quantity", "price", "order_id", "currency")
_NUMBERS: Mapping[str, str] = {
    **{kind.word: str(int(kind)) for kind in EventType},
    "clicks": ", ".join(str(int(kind)) for kind in _CLICKS),
}
_METADATA = "json_extract_string(details, '$.metadata.{}')"
_EXPOSURES = f"""
SELECT customer, time, CAST(position AS BIGINT) AS position,
       CAST(coalesce(list_position($2, {_METADATA.format("variant")}), 0) - 1 AS SMALLINT) AS variant
FROM read_parquet($1, hive_partitioning = false)
WHERE event_type = {_NUMBERS["exposure"]} AND {_METADATA.format("experiment")} = $3
AND TRY_CAST({_METADATA.format("version")} AS BIGINT) = $4 AND time <= $5
"""  # noqa: S608 - constants
_LOST = f"""
SELECT coalesce(sum(TRY_CAST({_METADATA.format("lost")} AS BIGINT)), 0) FROM read_parquet($1, hive_partitioning = false)
WHERE event_type = {_NUMBERS["exposure"]} AND {_METADATA.format("experiment")} = $2 AND time BETWEEN $3 AND $4
"""  # noqa: S608 - constants
_ACTS = """
CREATE TEMP TABLE acts AS
SELECT place, variant, event_type, product, quantity, price, order_id, currency, time >= since AS is_after,
       CASE WHEN event_type IN ({clicks}, {impression}) THEN json_extract_string(details, '$.recommendation_id') END
           AS token
FROM read_parquet($1, hive_partitioning = false) archived JOIN people ON people.number = archived.customer
WHERE event_type IN ({clicks}, {impression}, {cart_add}, {purchase}, {refund}, {unsubscribe})
AND time >= since - $2 AND time <= $4 AND (time < since + $3 OR event_type = {refund})
""".format_map(_NUMBERS)
_COUNTS = """
SELECT place,
    count(*) FILTER (event_type = {cart_add} AND is_after) > 0 AS carted,
    count(*) FILTER (event_type = {purchase} AND is_after) > 0 AS bought,
    count(*) FILTER (event_type = {unsubscribe} AND is_after) > 0 AS unsubscribed,
    count(*) FILTER (event_type = {cart_add} AND NOT is_after) > 0 AS carted_before,
    count(*) FILTER (event_type = {purchase} AND NOT is_after) > 0 AS bought_before
FROM acts GROUP BY place
""".format_map(_NUMBERS)
_CURRENCY = """
SELECT currency FROM acts WHERE event_type = {purchase} AND currency IS NOT NULL
GROUP BY currency ORDER BY count(*) DESC, currency LIMIT 1
""".format_map(_NUMBERS)
_LINES = """
CREATE TEMP TABLE lines AS
WITH bought AS (
    SELECT place, is_after, order_id, acts.product, sum(quantity) AS pieces, sum(quantity * price) AS revenue,
           sum(quantity * (price - cost)) FILTER (cost IS NOT NULL AND NOT isnan(cost)) AS margin
    FROM acts LEFT JOIN costs ON costs.product = acts.product
    WHERE event_type = {purchase} AND price IS NOT NULL AND coalesce(currency, $1) = $1
    GROUP BY place, is_after, order_id, acts.product
), refunded AS (
    SELECT place, order_id, product, sum(quantity) AS pieces FROM acts
    WHERE event_type = {refund} AND order_id IS NOT NULL AND product IS NOT NULL GROUP BY place, order_id, product
), whole AS (
    SELECT DISTINCT place, order_id FROM acts
    WHERE event_type = {refund} AND order_id IS NOT NULL AND product IS NULL
)
SELECT bought.place, is_after, revenue, margin,
       CASE WHEN whole.place IS NULL THEN 1 - least(1, coalesce(refunded.pieces, 0) / bought.pieces) ELSE 0 END AS kept
FROM bought LEFT JOIN refunded USING (place, order_id, product) LEFT JOIN whole USING (place, order_id)
""".format_map(_NUMBERS)
_MONEY = """
SELECT place, coalesce(sum(revenue * kept) FILTER (is_after), 0) AS revenue,
       coalesce(sum(margin * kept) FILTER (is_after), 0) AS margin,
       coalesce(sum(revenue * kept) FILTER (NOT is_after), 0) AS revenue_before
FROM lines GROUP BY place
"""
_LEFT_OUT = """
SELECT count(*) FILTER (event_type = {purchase} AND coalesce(currency, $1) <> $1) AS n_other_currency,
       count(*) FILTER (event_type = {purchase} AND price IS NULL) AS n_without_price,
       count(*) FILTER (event_type = {refund} AND NOT EXISTS (
           FROM acts bought WHERE bought.event_type = {purchase} AND bought.place = acts.place
           AND bought.order_id = acts.order_id
       )) AS n_refunds_unmatched
FROM acts WHERE is_after
""".format_map(_NUMBERS)
_SHOWN = """
SELECT place, count(DISTINCT token) AS answers, count(*) FILTER (event_type IN ({clicks})) AS clicks,
       count(*) FILTER (event_type = {impression}) AS impressions
FROM acts JOIN tokens USING (token)
WHERE is_after AND tokens.variant = acts.variant AND (event_type = {impression} OR list_contains(shown, product))
GROUP BY place
""".format_map(_NUMBERS)


class Source(NamedTuple):
    """Where outcomes are read from.

    `costs` is what the shop pays for products by number, nan where that is not known; None where it is known of none.
    `scratch` is a folder that does not exist and is there meanwhile.
    """

    archive: Archive
    people: People
    signer: TokenSigner
    scratch: Path
    costs: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Columns of an experiment's customers (`FIGURES`) beside their assignment, up to a time (microseconds).

    `answers` counts what was shown, where the shop posts impressions (`has_impressions`), else 1 for each customer.
    `left_out` counts purchases and refunds that revenue could not count, and tokens that were not ours or of another
    variant.
    """

    assignments: Assignments
    columns: Mapping[str, NDArray[np.float64]]
    as_of: int
    currency: str | None = None
    has_impressions: bool = False
    has_costs: bool = False
    left_out: Mapping[str, int] = field(default_factory=dict)
    n_lost: int = 0
    """Exposures of which the log knows that it did not get them, of this experiment or another at the same time."""

    def of_variant(self, name: str, place: int) -> NDArray[np.float64]:
        """Return a column's values for the customers of one variant."""
        values: NDArray[np.float64] = self.columns[name][self.assignments.variant == place]
        return values


def read_outcomes(experiment: Experiment, source: Source, config: OutcomesConfig, now: int) -> Outcomes:
    """Read what an experiment's customers did until now; whoever wants the newest moves the log to the archive before.

    Raises `StorageError` when a part cannot be read or was altered.
    """
    parts = source.archive.parts()
    files = [str(part.path) for part in parts]
    for part in parts:
        check_part(part.path, (*_COLUMNS, "details"))
    try:
        with _opened(config, source.scratch) as connection:
            exposures = _exposures(connection, experiment, files, now)
            assignments = assign(experiment, exposures, source.people)
            if not len(assignments):
                return Outcomes(assignments, {name: np.empty(0) for name in FIGURES}, now)
            n_lost = int(connection.execute(_LOST, [files, experiment.name, experiment.starts, now]).fetchall()[0][0])
            _gather(connection, (files, assignments, source.people), config, now)
            outcomes = _Counting(connection, assignments, config, now).outcomes(experiment, source)
            return replace(outcomes, n_lost=n_lost)
    except duckdb.Error as error:
        remedy = "see that the archive can be read and the disk has room, then ask again"
        raise StorageError(f"outcomes cannot be counted ({error}): {remedy}") from error
    finally:
        shutil.rmtree(source.scratch, ignore_errors=True)


@contextmanager
def _opened(config: OutcomesConfig, scratch: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{config.memory_mb}MB",
        "threads": config.threads,
        "temp_directory": str(scratch),
    }
    with duckdb.connect(config=settings) as connection:
        yield connection


def _exposures(
    connection: duckdb.DuckDBPyConnection, experiment: Experiment, files: Sequence[str], now: int
) -> Exposures:
    if not files:
        return Exposures(np.empty(0, np.uint32), np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int16))
    asked = [files, list(experiment.names), experiment.name, experiment.version, now]
    found = connection.execute(_EXPOSURES, asked).fetchnumpy()
    return Exposures(**{name: np.asarray(found[name]) for name in Exposures._fields})


def _gather(
    connection: duckdb.DuckDBPyConnection,
    whose: tuple[Sequence[str], Assignments, People],
    config: OutcomesConfig,
    now: int,
) -> None:
    """Make the table of acts of the customers, under whatever number they were theirs."""
    files, assignments, people = whose
    numbers, owners = people.joined.T if len(people.joined) else np.empty((2, 0), np.uint32)
    is_ours = np.isin(owners, assignments.customer)
    places = np.searchsorted(assignments.customer, owners[is_ours])
    everybody = np.r_[np.arange(len(assignments)), places]
    table = {
        "number": np.r_[assignments.customer, numbers[is_ours]],
        "place": everybody,
        "variant": assignments.variant[everybody].astype(np.int32),
        "since": assignments.since[everybody],
    }
    connection.register("people", table)
    window, past = int(config.conversion_days * DAY), int(config.past_days * DAY)
    connection.execute(_ACTS, [files, past, window, now])


class _Counting:
    """Counts the acts that were gathered, one value for each customer."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, assignments: Assignments, config: OutcomesConfig, now: int
    ) -> None:
        self._connection = connection
        self._assignments = assignments
        self._config = config
        self._now = now

    def outcomes(self, experiment: Experiment, source: Source) -> Outcomes:
        """Return all columns."""
        currency = self._currency()
        self._register_costs(source.costs)
        self._connection.execute(_LINES, [currency or ""])
        left_out = read_tokens(self._connection, experiment, source.signer)
        columns = {**self._columns(_COUNTS), **self._columns(_MONEY), **self._columns(_SHOWN)}
        has_impressions = bool(columns["impressions"].any())
        if not has_impressions:
            columns["answers"] = np.ones(len(self._assignments))
        left_out |= self._one_row(_LEFT_OUT, [currency or ""])
        return Outcomes(
            self._assignments,
            {name: columns[name] for name in FIGURES},
            self._now,
            currency=currency,
            has_impressions=has_impressions,
            has_costs=source.costs is not None and bool(np.isfinite(source.costs).any()),
            left_out=left_out,
        )

    def _currency(self) -> str | None:
        if self._config.currency:
            return self._config.currency
        found = self._connection.execute(_CURRENCY).fetchall()
        return str(found[0][0]) if found else None

    def _register_costs(self, costs: NDArray[np.float64] | None) -> None:
        known = np.empty(0) if costs is None else costs
        self._connection.register("costs", {"product": np.arange(len(known), dtype=np.uint32), "cost": known})

    def _columns(self, query: str) -> dict[str, NDArray[np.float64]]:
        """Return the columns of a query that has `place`, with 0 for customers whom it does not name."""
        found = self._connection.execute(query).fetchnumpy()
        places = np.asarray(found.pop("place"))
        columns = {}
        for name, values in found.items():
            columns[name] = np.zeros(len(self._assignments))
            columns[name][places] = np.asarray(values)
        return columns

    def _one_row(self, query: str, parameters: list[Any]) -> dict[str, int]:
        found = self._connection.execute(query, parameters).fetchnumpy()
        return {name: int(values[0]) for name, values in found.items()}
