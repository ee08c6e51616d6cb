"""Running definitions on DuckDB."""

from __future__ import annotations

import duckdb
import ibis
import numpy as np
import pyarrow as pa
from ibis.expr.types import IntegerValue, Table
from numpy.typing import NDArray


@ibis.udf.scalar.builtin  # type: ignore[untyped-decorator]
def getvariable(variable: str) -> int:  # type: ignore[empty-body]
    """DuckDB's function of that name, which Ibis calls and nobody here."""


def number(name: str) -> IntegerValue:
    """Return a number that is said when a definition runs: `say`. Compiling takes far longer than a small shop's acts.

    DuckDB puts it in before it plans, so that it is as fast as a literal.
    """
    found: IntegerValue = getvariable(name)
    return found


def say(connection: duckdb.DuckDBPyConnection, **numbers: int) -> None:
    """Say the numbers that definitions run on a connection ask for."""
    for name, value in numbers.items():
        connection.execute(f"SET VARIABLE {name} = CAST({value} AS BIGINT)")


def sql_of(features: Table) -> str:
    """Return a definition in DuckDB's SQL."""
    # Compiled only: Ibis' own connection to DuckDB needs pandas, and calls what DuckDB 2 deprecates.
    return str(ibis.to_sql(features, dialect="duckdb"))


def as_columns(sql: str, acts: pa.Table, threads: int, **numbers: int) -> dict[str, NDArray[np.generic]]:
    """Run a compiled definition over acts in memory; return its columns by name, in no order of rows."""
    with duckdb.connect(config={"threads": threads}) as connection:
        connection.register("acts", acts)
        say(connection, **numbers)
        found = connection.execute(sql).fetchnumpy()
    return {name: np.asarray(column) for name, column in found.items()}
