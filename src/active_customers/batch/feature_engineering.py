"""Features of products, customers and pairs, computed over the archive and published beside the models."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from active_customers.batch.history import EVERYBODY, History, HistoryConfig, WhoIsWho
from active_customers.core.errors import StorageError
from active_customers.core.product import Product
from active_customers.models.artifacts import Manifest
from active_customers.models.trained import FEATURES
from active_customers.storage.archive import Archive, check_part

if TYPE_CHECKING:
    from ibis.expr.types import Table

PRODUCTS, CUSTOMERS, PAIRS, TASTES = "products", FEATURES, "pairs", "tastes"
"""Names of the tables."""

_ORDERS = {PRODUCTS: "product", CUSTOMERS: "customer", PAIRS: "customer, product", TASTES: "customer, attribute, value"}

_ACTS = """
CREATE TEMP VIEW acts AS
SELECT CAST(position AS BIGINT) AS position, session, product, event_type, time,
       coalesce(joined.owner, archive.customer) AS customer, quantity, price
FROM archive LEFT JOIN joined ON joined.customer = archive.customer
WHERE product IS NOT NULL AND position >= {first} AND position < {watermark} {but_holes}
AND archive.customer NOT IN (SELECT customer FROM passed_over)
"""


@dataclass(frozen=True, slots=True)
class Reading:
    """What of the archive a version had read: positions from `first` to below `watermark`, but those in `holes`.

    Definitions take of these the acts before `as_of`, which lies just after the newest act of taste.
    """

    first: int
    watermark: int
    holes: Sequence[tuple[int, int]]
    as_of: int
    n_products: int

    @classmethod
    def of_history(cls, history: History) -> Self:
        """Return what a history that is not empty was read from."""
        as_of = int(history.columns["time"].max()) + 1
        return cls(history.first, history.watermark, history.holes, as_of, history.n_products)

    @classmethod
    def of_version(cls, manifest: Manifest) -> Self | None:
        """Return what a published version was made from; None for one without features."""
        noted = manifest.facts.get("features")
        if noted is None:
            return None
        holes = [(first, last) for first, last in manifest.holes]
        return cls(noted["first"], manifest.watermark, holes, noted["as_of"], manifest.n_products)

    def noted(self) -> dict[str, int]:
        """Return what of it a manifest does not say elsewhere."""
        return {"first": self.first, "as_of": self.as_of}


class FeatureEngineering:
    """Computes the tables; `scratch` is a folder that is there only meanwhile."""

    def __init__(self, archive: Archive, config: HistoryConfig, scratch: Path) -> None:
        self._archive = archive
        self._config = config
        self._scratch = scratch

    @contextmanager
    def tables(
        self, reading: Reading, catalogue: Mapping[int, Product], who: WhoIsWho = EVERYBODY
    ) -> Iterator[list[Path]]:
        """Yield the tables as Parquet files, which are gone when the block ends unless they were moved away.

        Raises `StorageError` when the archive cannot be read or the disk has no room.
        """
        with self._computing(reading, catalogue, who) as connection:
            files = []
            for name, definition in definitions().items():
                files.append(self._scratch / f"{name}.parquet")
                connection.sql(definition).order(_ORDERS[name]).write_parquet(str(files[-1]), compression="zstd")
            yield files

    def products(self, reading: Reading, who: WhoIsWho = EVERYBODY) -> dict[str, NDArray[Any]]:
        """Return the table of products by column, in order of product number; raises as `tables` does."""
        with self._computing(reading, {}, who) as connection:
            found = connection.sql(definitions()[PRODUCTS]).order(_ORDERS[PRODUCTS]).fetchnumpy()
            return {name: np.asarray(column) for name, column in found.items()}

    @contextmanager
    def _computing(
        self, reading: Reading, catalogue: Mapping[int, Product], who: WhoIsWho
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        from active_customers.features.compute import say  # noqa: PLC0415 - whoever serves does without Ibis

        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": f"{self._config.memory_mb}MB",
            "threads": self._config.threads,
            "temp_directory": str(self._scratch / "spilled"),
        }
        parts = self._archive.parts()
        for part in parts:
            check_part(part.path, ("quantity", "price"))
        self._scratch.mkdir(parents=True)
        holes = "".join(f" AND NOT position BETWEEN {first} AND {last}" for first, last in reading.holes)
        try:
            with duckdb.connect(config=settings) as connection:
                _register(connection, who)
                connection.register("products", _as_table(catalogue))
                connection.read_parquet([str(part.path) for part in parts], hive_partitioning=False).create_view(
                    "archive"
                )
                connection.execute(_ACTS.format(first=reading.first, watermark=reading.watermark, but_holes=holes))
                say(connection, as_of=reading.as_of, n_products=reading.n_products)
                yield connection
        except duckdb.Error as error:
            remedy = "see that the archive can be read and the disk has room, then try again"
            raise StorageError(f"features cannot be computed ({error}): {remedy}") from error
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)


def _register(connection: duckdb.DuckDBPyConnection, who: WhoIsWho) -> None:
    numbers, owners = np.ascontiguousarray(who.joined.T)
    connection.register("joined", pa.table({"customer": numbers, "owner": owners}))
    connection.register("passed_over", pa.table({"customer": who.passed_over}))


@cache
def definitions() -> dict[str, str]:
    """Return the SQL of each table, which asks for the numbers `as_of` and `n_products`."""
    from active_customers.features import customer, product  # noqa: PLC0415 - whoever serves does without Ibis
    from active_customers.features.acts import acts_table, products_table  # noqa: PLC0415
    from active_customers.features.compute import number, sql_of  # noqa: PLC0415

    acts, as_of, n = acts_table(), number("as_of"), number("n_products")
    facts, profile = product.product_facts(acts, as_of, n), product.product_profile(acts, as_of, n)
    tables: dict[str, Table] = {
        PRODUCTS: facts.join(profile, "product"),
        CUSTOMERS: customer.customer_features(acts, as_of),
        PAIRS: customer.pair_features(acts, as_of),
        TASTES: customer.customer_taste(acts, products_table(), as_of),
    }
    return {name: sql_of(table) for name, table in tables.items()}


def _as_table(catalogue: Mapping[int, Product]) -> pa.Table:
    """Return the catalogue as `features.acts.PRODUCTS`."""
    products = catalogue.values()
    return pa.table(
        {
            "product": pa.array(catalogue, pa.uint32()),
            "category": pa.array([product.category for product in products], pa.string()),
            "brand": pa.array([product.brand for product in products], pa.string()),
            "price": pa.array([product.price for product in products], pa.float64()),
        }
    )
