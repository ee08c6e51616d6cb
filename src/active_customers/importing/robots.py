"""The rules of `storage.robots` over the rows of an import: the same, for all customers at once."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import orjson

from active_customers.core.clock import MINUTE, SECOND
from active_customers.storage.robots import LOOKS, RATE, TIRELESS, USER_AGENT, RobotConfig, RobotWatch

_LOOKS = ", ".join(str(int(kind)) for kind in sorted(LOOKS))

_TOO_FAST = f"""
WITH minutes AS (
    SELECT customer_id, "time" // {MINUTE} AS minute FROM fresh GROUP BY ALL HAVING count(*) > ?
), runs AS (
    SELECT customer_id, minute - row_number() OVER (PARTITION BY customer_id ORDER BY minute) AS run FROM minutes
)
SELECT DISTINCT customer_id FROM (SELECT customer_id FROM runs GROUP BY customer_id, run HAVING count(*) >= ?)
"""  # noqa: S608 - constants

_TIRELESS = f"""
WITH looks AS (
    SELECT customer_id, "time", product_id, rowid AS place FROM fresh
    WHERE event_type IN ({_LOOKS}) AND product_id IS NOT NULL
), busy AS (
    SELECT * FROM looks
    WHERE customer_id IN (SELECT customer_id FROM looks GROUP BY ALL HAVING count(*) >= $most)
), beside AS (
    SELECT *, lag("time", 1, "time") OVER by_time AS "before", lag(product_id) OVER by_time AS last FROM busy
    WINDOW by_time AS (PARTITION BY customer_id ORDER BY "time", place)
), numbered AS (
    SELECT customer_id, product_id IS DISTINCT FROM last AS changed, sum(("time" - "before" > $pause)::INTEGER)
        OVER (PARTITION BY customer_id ORDER BY "time", place ROWS UNBOUNDED PRECEDING) AS run
    FROM beside
)
SELECT DISTINCT customer_id FROM (
    SELECT customer_id FROM numbered GROUP BY customer_id, run HAVING count_if(changed) >= $most
)
"""  # noqa: S608 - constants

_NAMED = "SELECT DISTINCT customer_id, details FROM fresh WHERE contains(details, 'user_agent')"


def robots_among(connection: duckdb.DuckDBPyConnection, config: RobotConfig) -> dict[str, str]:
    """Return the ids of customers in the table `fresh` whom a rule takes for robots, each with its rule."""
    found: dict[str, str] = {}
    if config.products_without_pause:
        wanted = {"most": config.products_without_pause, "pause": config.pause_seconds * SECOND}
        found |= dict.fromkeys(_ids(connection.execute(_TIRELESS, wanted)), TIRELESS)
    if config.events_per_minute:
        rows = connection.execute(_TOO_FAST, [config.events_per_minute, config.minutes])
        found |= dict.fromkeys(_ids(rows), RATE)
    watch = RobotWatch(config)
    for customer_id, details in _rows(connection.execute(_NAMED)):
        metadata = orjson.loads(details).get("metadata")
        if isinstance(metadata, dict) and watch.names_robot(metadata.get("user_agent")):
            found[customer_id] = USER_AGENT
    return found


def _ids(cursor: duckdb.DuckDBPyConnection) -> Iterator[str]:
    return (customer_id for (customer_id,) in _rows(cursor))


def _rows(cursor: duckdb.DuckDBPyConnection) -> Iterator[tuple[str, ...]]:
    while rows := cursor.fetchmany(10_000):
        yield from rows
