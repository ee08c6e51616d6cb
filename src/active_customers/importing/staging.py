"""Rows on their way into the archive, in a temporary database on disk: duplicates out, the rest in the order of time.

Memory is bounded whatever the number of rows, logins and consents excepted, which are held (some 600 bytes each); what
does not fit is on disk beside the database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from active_customers.core.event import EventType
from active_customers.core.identifiers import NO_NUMBER
from active_customers.importing.consents import drop_refused
from active_customers.importing.event_rows import SCHEMA
from active_customers.importing.robots import robots_among
from active_customers.importing.turns import TURNS, Turns
from active_customers.storage.base import Customers
from active_customers.storage.customer_book import is_of_a_shop
from active_customers.storage.robots import RobotConfig
from active_customers.storage.staged import StagedTurn

_IDS_PER_CALL = 20_000

_TABLE = """
CREATE TABLE staged (
    file UINTEGER, "row" BIGINT, customer_id VARCHAR, event_type UTINYINT, product_id VARCHAR, "time" BIGINT,
    session_id VARCHAR, quantity INTEGER, price DOUBLE, context UTINYINT, channel UTINYINT, named BOOLEAN,
    order_id VARCHAR, currency VARCHAR, details VARCHAR, key UUID
)
"""

# Rows without an event_id that agree in everything are told apart by their number among their like in the file: the
# first keeps the key of the content, the others get one made of it and the number. Of rows that have one key then
# (an event_id twice, or equal rows of two files), the first counts.
_REPEATED = """
CREATE TABLE repeated AS
WITH keys AS (SELECT key FROM staged GROUP BY key HAVING count(*) > 1),
numbered AS (
    SELECT s.rowid AS place, s.key, s.named, row_number() OVER (PARTITION BY s.file, s.key ORDER BY s.rowid) AS nth
    FROM staged s SEMI JOIN keys USING (key)
),
keyed AS (
    SELECT place, CASE WHEN named OR nth = 1 THEN key ELSE md5(key::VARCHAR || '-' || nth)::UUID END AS key
    FROM numbered
)
SELECT place, key, row_number() OVER (PARTITION BY key ORDER BY place) > 1 AS again FROM keyed
"""

_FRESH = """
CREATE TABLE fresh AS
WITH own AS (
    SELECT s.* EXCLUDE (file, "row", key), s.rowid AS place, coalesce(r.key, s.key) AS key
    FROM staged s LEFT JOIN repeated r ON r.place = s.rowid
    WHERE r.again IS NOT TRUE
)
SELECT * EXCLUDE (place) FROM own {unknown} ORDER BY "time", place
"""
_UNKNOWN = (
    "ANTI JOIN (SELECT dedup_key::UUID AS key FROM read_parquet([{parts}], hive_partitioning = false)) USING (key)"
)

_FACTS = 'SELECT count(*), count(DISTINCT customer_id), count(DISTINCT product_id), min("time"), max("time") FROM fresh'

_ACTS = """
SELECT c.number AS customer, f.event_type, p.number AS product, f."time", f.quantity, f.session_id, f.rowid AS place
FROM fresh f JOIN customer_numbers c ON c.id = f.customer_id LEFT JOIN product_numbers p ON p.id = f.product_id
ORDER BY c.number, f."time", f.rowid
"""
_ROWS = """
SELECT rowid AS place, "time", event_type, quantity, price, context, channel, key::BLOB AS dedup_key, session_id,
       order_id, currency, details
FROM fresh
"""


_KEYS = 'SELECT key::BLOB AS key FROM fresh WHERE named AND "time" >= {since} ORDER BY fresh.key'


_SPELLS = pa.schema([("id", pa.string()), ("first", pa.int64()), ("owner", pa.string())])
_NUMBERS = pa.schema([("id", pa.string()), ("number", pa.uint32())])
_WHOSE = (
    "INSERT INTO customer_numbers SELECT * FROM owner_numbers ANTI JOIN customer_numbers USING (id)",
    """
    CREATE TABLE whose AS
    SELECT own.place, spells.owner
    FROM (SELECT rowid AS place, customer_id FROM fresh SEMI JOIN spells ON spells.id = customer_id) own
    ASOF JOIN spells ON own.customer_id = spells.id AND own.place >= spells."first"
    """,
    "UPDATE fresh SET customer_id = whose.owner FROM whose WHERE fresh.rowid = whose.place",
)
_SAID = """
SELECT f.rowid, c.number, f."time" FROM fresh f
JOIN places p ON p.place = f.rowid JOIN customer_numbers c ON c.id = f.customer_id ORDER BY f.rowid
"""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rows that are new amount to."""

    rows: int
    customers: int
    products: int
    first_time: int | None
    last_time: int | None


class Staging:
    """The rows of one import in a scratch database."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        connection.execute(_TABLE)

    def add(self, file: int, events: pa.RecordBatch, keys: pa.FixedSizeBinaryArray) -> None:
        """Add events (`event_rows.SCHEMA`) of the command's `file`-th file, with their keys."""
        columns = {name: events[name] for name in SCHEMA.names if name != "event_id"}
        columns |= {"file": pa.repeat(file, len(events)), "named": events["event_id"].is_valid()}
        columns["key"] = pa.ExtensionArray.from_storage(pa.uuid(), keys)  # 16 bytes that compare as one number
        self._connection.register("batch", pa.table(columns))
        self._connection.execute("INSERT INTO staged BY NAME SELECT * FROM batch")
        self._connection.unregister("batch")

    def settle(self, parts: Sequence[Path]) -> Facts:
        """Take out duplicates, those of rows in the archive's `parts` among them, and put the rest in order."""
        self._connection.execute(_REPEATED)
        quoted = ", ".join("'" + str(path).replace("'", "''") + "'" for path in parts)
        self._connection.execute(_FRESH.format(unknown=_UNKNOWN.format(parts=quoted) if parts else ""))
        self._connection.execute("DROP TABLE staged")
        return self.facts()

    def number(self, what: str, number: Callable[[Sequence[str]], list[int]]) -> None:
        """Ask for the numbers of all "customer" or "product" ids, each once, in the order of their first event."""
        ids = f"SELECT {what}_id AS id FROM fresh WHERE id IS NOT NULL GROUP BY id ORDER BY min(rowid)"  # noqa: S608 - our word
        self._connection.execute(f"CREATE TABLE {what}_numbers (id VARCHAR, number UINTEGER)")
        cursor = self._connection.cursor()
        for batch in self._read(ids, _IDS_PER_CALL):
            numbers = number(batch["id"].to_pylist())
            cursor.register("batch", pa.table({"id": batch["id"], "number": pa.array(numbers, pa.uint32())}))
            cursor.execute(f"INSERT INTO {what}_numbers SELECT id, number FROM batch")  # noqa: S608 - our word
            cursor.unregister("batch")
        cursor.close()

    def drop_refused(self, refused: NDArray[np.uint32]) -> int:
        """Drop rows of who agreed to less than a profile (see `consents.drop_refused`); return how many."""
        return drop_refused(self._connection, refused)

    def facts(self) -> Facts:
        """Return what the rows amount to."""
        return Facts(*self._connection.execute(_FACTS).fetchall()[0])

    def turns(self, customers: Customers, number: Callable[[Sequence[str]], list[int]]) -> list[StagedTurn]:
        """Give rows to the customers whose they are by the logins among them; call it when customers have numbers.

        Returns what the store is to note of logins and consents when it adopts the import.
        """
        turns = Turns(customers.known_as, customers.consent)
        for batch in self._read(TURNS, _IDS_PER_CALL):
            turns.read(batch.to_pylist())
        owners = list(dict.fromkeys(owner for _, _, owner in turns.spells))
        numbers = _numbered(owners, number)
        self._register("spells", zip(*turns.spells, strict=True) if turns.spells else ([], [], []), _SPELLS)
        self._register("owner_numbers", (list(numbers), list(numbers.values())), _NUMBERS)
        for step in _WHOSE if turns.spells else ():
            self._connection.execute(step)
        return self._staged(turns, number)

    def _register(self, name: str, columns: Iterable[Sequence[object]], schema: pa.Schema) -> None:
        arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
        self._connection.register(name, pa.table(arrays, schema=schema))

    def _staged(self, turns: Turns, number: Callable[[Sequence[str]], list[int]]) -> list[StagedTurn]:
        """Return what turns said with numbers and times."""
        places = {said[0]: said for said in turns.said}
        if not places:
            return []
        self._connection.register("places", pa.table({"place": pa.array(places, pa.int64())}))
        rows = self._connection.execute(_SAID).fetchall()
        others = sorted({said for _, _, kind, said in turns.said if kind == EventType.LOGIN and is_of_a_shop(said)})
        numbers = _numbered(others, number)
        return [
            StagedTurn(customer, *places[place][1:], time, numbers.get(places[place][3], NO_NUMBER))
            for place, customer, time in rows
        ]

    def robots(self, config: RobotConfig) -> list[StagedTurn]:
        """Return which customers are robots, for the store to note."""
        found = robots_among(self._connection, config)
        if not found:
            return []
        self._connection.register("found", pa.table({"id": pa.array(found, pa.string())}))
        rows = self._connection.execute("SELECT id, number FROM customer_numbers SEMI JOIN found USING (id)").fetchall()
        return [StagedTurn(number, name, EventType.FORGOTTEN, found[name], 0) for name, number in rows]

    def acts(self, batch_rows: int) -> Iterator[pa.RecordBatch]:
        """Yield customer, event_type, product (null: none), time, quantity, session_id and place.

        Rows are ordered by customer, time and place; the place is the row's number from 0 in the order of time.
        """
        return self._read(_ACTS, batch_rows)

    def rows(self, batch_rows: int) -> Iterator[pa.RecordBatch]:
        """Yield the columns of the archive that need no numbers, by place."""
        return self._read(_ROWS, batch_rows)

    def keys(self, since: int, batch_rows: int) -> Iterator[pa.RecordBatch]:
        """Yield the `key` of each event with an id of its own that happened at `since` or later, in their order."""
        return self._read(_KEYS.format(since=since), batch_rows)

    def _read(self, query: str, batch_rows: int) -> Iterator[pa.RecordBatch]:
        yield from self._connection.sql(query).to_arrow_reader(batch_rows)


def _numbered(ids: Sequence[str], number: Callable[[Sequence[str]], list[int]]) -> dict[str, int]:
    """Return the numbers of ids, asked for in calls of bounded length."""
    numbers: dict[str, int] = {}
    for first in range(0, len(ids), _IDS_PER_CALL):
        asked = ids[first : first + _IDS_PER_CALL]
        numbers |= zip(asked, number(asked), strict=True)
    return numbers
