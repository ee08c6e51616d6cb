"""Consents over the rows of an import: what a customer said in the store, and in the file before a row, counts."""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from active_customers.core.consent import PROFILE
from active_customers.core.event import EventType

_SAID = f"""
CREATE OR REPLACE TEMP TABLE consents_said AS
SELECT f.rowid AS place, c.number, json_extract_string(f.details, '$.consent') AS consent
FROM fresh f JOIN customer_numbers c ON c.id = f.customer_id
WHERE f.event_type = {int(EventType.CONSENT)} AND consent IS NOT NULL
"""  # noqa: S608 - constants
_MAY_BE_REFUSED = """
SELECT EXISTS (SELECT 1 FROM consents_said) OR EXISTS (SELECT 1 FROM customer_numbers SEMI JOIN refused USING (number))
"""
_REFUSED = f"""
CREATE OR REPLACE TEMP TABLE refused_rows AS
WITH asked AS (SELECT number FROM refused UNION SELECT number FROM consents_said),
own AS (
    SELECT f.rowid AS place, c.number, f.details
    FROM fresh f JOIN customer_numbers c ON c.id = f.customer_id SEMI JOIN asked ON asked.number = c.number
    WHERE f.event_type <> {int(EventType.CONSENT)}
)
SELECT own.place
FROM own ASOF LEFT JOIN consents_said said ON own.number = said.number AND own.place >= said.place
LEFT JOIN refused ON refused.number = own.number
WHERE coalesce(said.consent, CASE WHEN refused.number IS NULL THEN '{PROFILE}' END, '') <> '{PROFILE}'
AND coalesce(json_extract_string(own.details, '$.consent'), '') <> '{PROFILE}'
"""  # noqa: S608 - constants
_DROP = (
    "CREATE TABLE kept AS SELECT * FROM fresh ANTI JOIN refused_rows r ON r.place = fresh.rowid ORDER BY fresh.rowid",
    "DROP TABLE fresh",
    "ALTER TABLE kept RENAME TO fresh",
)


def drop_refused(connection: duckdb.DuckDBPyConnection, refused: NDArray[np.uint32]) -> int:
    """Drop the rows of table `fresh` whose customer had agreed to less than a profile; return how many.

    `refused` are the numbers (`customer_numbers`) of those who did so in the store. The latest consent before a row
    counts instead, and what the row says for itself before all; rows that say nothing where nothing was said stay.
    """
    connection.register("refused", pa.table({"number": pa.array(refused, pa.uint32())}))
    connection.execute(_SAID)
    [(may_be_refused,)] = connection.execute(_MAY_BE_REFUSED).fetchall()
    if not may_be_refused:
        return 0
    connection.execute(_REFUSED)
    [(dropped,)] = connection.execute("SELECT count(*) FROM refused_rows").fetchall()
    if dropped:
        for step in _DROP:
            connection.execute(step)
    return int(dropped)
