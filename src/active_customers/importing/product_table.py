"""What many rows say of each product, brought down to one entry a product in a temporary database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import duckdb
import orjson
import pyarrow as pa

from active_customers.core.errors import InvalidValueError
from active_customers.core.product import FIELDS, Product
from active_customers.importing.preset import FieldMaps
from active_customers.importing.product_rows import SCHEMA

_CREATE = "CREATE TABLE rows AS SELECT 0::UINTEGER AS file, * FROM batch LIMIT 0"
_REPEATED = """
CREATE TABLE repeated AS SELECT * FROM (
    SELECT r.rowid AS place, file, "row", product_id, max(r.rowid) OVER (PARTITION BY product_id) AS latest
    FROM rows r SEMI JOIN (SELECT product_id FROM rows GROUP BY product_id HAVING count(*) > 1) USING (product_id)
) WHERE place <> latest
"""
_TAKE_REPEATED = "DELETE FROM rows WHERE rowid IN (SELECT place FROM repeated)"
_FIRST_REPEATED = 'SELECT count(*) OVER (), file, "row", product_id FROM repeated ORDER BY place LIMIT 1'
_LAST = "SELECT product_id, arg_max({field}, place) AS value FROM chunk_rows WHERE {field} IS NOT NULL GROUP BY ALL"
# Of values that are equally frequent the one that came last.
_MOST_FREQUENT = """
SELECT product_id, arg_max(value, (times, latest)) AS value FROM (
    SELECT product_id, {field} AS value, count(*) AS times, max(place) AS latest FROM chunk_rows
    WHERE {field} IS NOT NULL GROUP BY ALL
) GROUP BY product_id
"""
_IDS_AT_ONCE = 10_000
_SALE = ("sale_price", "sale_from", "sale_until")
_FIRSTS = """
CREATE TABLE firsts AS SELECT product_id, min(rowid) AS first FROM rows GROUP BY product_id ORDER BY first
"""
_COUNTS = "SELECT (SELECT count(*) FROM firsts), (SELECT count(*) FROM rows)"
_PRODUCTS = "(SELECT product_id, min(place) AS first FROM chunk_rows GROUP BY product_id) AS products"
_SOME = """
CREATE OR REPLACE TABLE chunk_rows AS SELECT rows.*, rows.rowid AS place FROM rows
SEMI JOIN (SELECT product_id FROM firsts WHERE rowid >= ? AND rowid < ?) AS those USING (product_id)
"""
_PRODUCTS_AT_ONCE = 20_000
"""Products that are put together from several rows at a time: with descriptions more do not fit into the memory."""


class Described(NamedTuple):
    """A product that rows describe, and those of its fields that they speak of."""

    product: Product
    said: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Repeated:
    """Rows whose product a later row has too: how many, and the first of them (files count from 0)."""

    count: int
    file: int
    row: int
    product_id: str


class ProductTable:
    """Rows of products in the staging database, and the products they make."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, maps: FieldMaps) -> None:
        self._connection = connection
        self._maps = maps
        connection.register("batch", SCHEMA.empty_table())
        connection.execute(_CREATE)
        connection.unregister("batch")
        connection.execute("CREATE TABLE named (product_id VARCHAR)")

    def add(self, rows: pa.RecordBatch, file: int) -> None:
        """Add rows (`product_rows.SCHEMA`) of the command's `file`-th file."""
        self._connection.register("batch", pa.table(rows))
        self._connection.execute("INSERT INTO rows SELECT ?, * FROM batch", [file])
        self._connection.unregister("batch")

    def name(self, product_ids: Sequence[str]) -> None:
        """Note products that files have in rows that cannot be read: they are not absent."""
        self._fill("named", product_ids)

    def take_repeated(self) -> Repeated | None:
        """Take out rows whose product a later row has too; return what they are, None where there are none."""
        self._connection.execute(_REPEATED)
        self._connection.execute(_TAKE_REPEATED)
        found = self._connection.execute(_FIRST_REPEATED).fetchone()
        return None if found is None else Repeated(*found)

    def products(self, count: int) -> Iterator[Sequence[Described]]:
        """Yield the products, at most about `count` at a time, in the order of their first rows.

        Memory does not grow with them: where each has one row these are read as they came.
        """
        [(n_products, n_rows)] = self._connection.execute(_FIRSTS).execute(_COUNTS).fetchall()
        if n_products == n_rows:
            yield from self._read('SELECT * EXCLUDE (file, "row") FROM rows', count)
            return
        for start in range(0, n_products, _PRODUCTS_AT_ONCE):
            self._connection.execute(_SOME, [start, start + _PRODUCTS_AT_ONCE])
            yield from self._read(self._joined(), count)

    def _read(self, query: str, count: int) -> Iterator[Sequence[Described]]:
        for batch in self._connection.sql(query).to_arrow_reader(count):
            yield [_described(row) for row in batch.to_pylist()]

    def _joined(self) -> str:
        """Return the query that makes one row a product of `chunk_rows`."""
        names = [name for name in FIELDS if name != "product_id"]
        joins = "".join(f" LEFT JOIN ({self._chosen(name)}) AS {name} USING (product_id)" for name in names)
        values = ", ".join(f"{name}.value AS {name}" for name in names)
        return f"SELECT product_id, {values} FROM {_PRODUCTS}{joins} ORDER BY first"  # noqa: S608 - names of ours

    def absent(self, known: Iterable[str]) -> tuple[int, list[str]]:
        """Return how many products are known, and which of them no row has, nor `name` was told of.

        Compared in the database, which keeps to its memory however many there are.
        """
        self._connection.execute("CREATE TABLE known (product_id VARCHAR)")
        n_known = self._fill("known", known)
        self._connection.execute("INSERT INTO named SELECT DISTINCT product_id FROM rows")
        lacking = self._connection.execute("SELECT product_id FROM known ANTI JOIN named USING (product_id)")
        return n_known, [product_id for (product_id,) in lacking.fetchall()]

    def _fill(self, table: str, product_ids: Iterable[str]) -> int:
        """Put ids into a table of one column; return how many they are."""
        remaining, count = iter(product_ids), 0
        while chunk := list(islice(remaining, _IDS_AT_ONCE)):
            self._connection.register("chunk", pa.table({"product_id": pa.array(chunk, pa.string())}))
            self._connection.execute(f"INSERT INTO {table} SELECT product_id FROM chunk")  # noqa: S608 - a name of ours
            self._connection.unregister("chunk")
            count += len(chunk)
        return count

    def _chosen(self, name: str) -> str:
        field = self._maps.fields.get(name)
        return (_LAST if field is None or field.choose == "last" else _MOST_FREQUENT).format(field=name)


def _described(row: dict[str, Any]) -> Described:
    """Return the product of a row; a sale whose price came from another row than the price may not hold."""
    said = {name: value for name, value in row.items() if value is not None}
    if "attributes" in said:
        said["attributes"] = orjson.loads(said["attributes"])
    try:
        return Described(Product.of(said).check(), said)
    except InvalidValueError:
        said = {name: value for name, value in said.items() if name not in _SALE}
        return Described(Product.of(said), said)
