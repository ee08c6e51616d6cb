"""Running definitions on DuckDB."""

from __future__ import annotations

import duckdb
import ibis
import numpy as np
import pyarrow as pa
from ibis.expr.types import Table
from numpy.typing import NDArray


def sql_of(features: Table) -> str:
    """Return a definition in DuckDB's SQL."""
    # Compiled only: Ibis' own connection to DuckDB needs pandas, and calls what DuckDB 2 deprecates.
    return str(ibis.to_sql(features, dialect="duckdb"))


def as_columns(features: Table, acts: pa.Table, threads: int) -> dict[str, NDArray[np.generic]]:
    """Compute a definition over acts in memory; return its columns by name, in no order of rows."""
    with duckdb.connect(config={"threads": threads}) as connection:
        connection.register("acts", acts)
        found = connection.execute(sql_of(features)).fetchnumpy()
    return {name: np.asarray(column) for name, column in found.items()}
