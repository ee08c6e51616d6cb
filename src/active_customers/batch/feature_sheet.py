"""The features of the version in force, for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from active_customers.batch.feature_engineering import (
    CUSTOMERS,
    PAIRS,
    PRODUCTS,
    TASTES,
    FeatureEngineering,
    Reading,
)
from active_customers.batch.history import WhoIsWho
from active_customers.batch.skew import Skew, compare
from active_customers.core.errors import ArtifactError, InvalidValueError, NoDataError, UnknownCustomerError
from active_customers.core.identifiers import NO_NUMBER
from active_customers.models.artifacts import ArtifactStore
from active_customers.storage.embedded import EmbeddedStore
from active_customers.storage.passed_over import PassedOver

Row = dict[str, Any]


class FeatureSheet:
    """Reads beside whoever writes. Erased customers have no number any more, so nothing of theirs is found."""

    def __init__(self, artifacts: ArtifactStore, store: EmbeddedStore) -> None:
        self._artifacts = artifacts
        self._store = store

    def rows(self, customer_id: str | None, product_id: str | None) -> Iterator[Row]:
        """Yield what is asked for, as `of_customer` and `of_product` do.

        Raises `InvalidValueError` unless one of the two is given, `NoDataError` before the first version,
        `ArtifactError` where the version in force has no features.
        """
        if customer_id is not None and product_id is None:
            yield from self.of_customer(customer_id)
        elif product_id is not None and customer_id is None:
            yield from self.of_product(product_id)
        else:
            raise InvalidValueError("--customer", customer_id, "give one of --customer ID, --product ID and --skew")

    def of_customer(self, customer_id: str) -> Iterator[Row]:
        """Yield a customer's features, tastes, and the products they met, each an object for JSON.

        Raises `UnknownCustomerError` for one that nothing is known about, and as `rows` does.
        """
        number, _ = self._store.sessions.find(customer_id)
        if number == NO_NUMBER:
            raise UnknownCustomerError(f"nothing is held about customer {customer_id!r}")
        for table in (CUSTOMERS, TASTES, PAIRS):
            for row in self._rows(table, "customer", number):
                yield {"features": table, "customer_id": customer_id} | self._named(row)

    def of_product(self, product_id: str) -> Iterator[Row]:
        """Yield a product's features as an object for JSON; raises `InvalidValueError` for an unknown id."""
        number = self._store.catalog.product_number(product_id)
        if number == NO_NUMBER:
            raise InvalidValueError("product", product_id, "name a product of the catalogue or of an event")
        for row in self._rows(PRODUCTS, "product", number):
            yield {"features": PRODUCTS} | self._named(row)

    def skew(self, engineering: FeatureEngineering) -> Skew:
        """Compare all that serving maps of products with what the definitions give now for the moment it was made.

        What was erased since, or taken out of the archive, counts as a difference. Raises as `rows` does.
        """
        manifest, arrays = self._artifacts.load(self._version())
        reading = Reading.of_version(manifest)
        if reading is None:
            raise ArtifactError(f"model {manifest.version} was published without features: run refresh")
        passed_over = PassedOver(self._store.erasures, self._store.customers).customers()
        defined = engineering.products(reading, WhoIsWho(passed_over, self._store.customers.joined()))
        facts = arrays["hybrid"]["facts"]
        return compare(facts, defined, np.arange(len(facts), dtype=np.uint32))

    def _version(self) -> str:
        version = self._artifacts.current()
        if version is None:
            raise NoDataError("nothing was published yet: run refresh")
        return version

    def _rows(self, table: str, key: str, number: int) -> list[Row]:
        path = self._artifacts.table(self._version(), table)
        rows: list[Row] = pq.read_table(path, filters=[(key, "==", number)]).to_pylist()
        return rows

    def _named(self, row: Row) -> Row:
        """Return a row with the shop's ids in place of numbers, without what it does not have."""
        product = row.pop("product", None)
        row.pop("customer", None)
        named = {} if product is None else {"product_id": self._store.catalog.product_id(product)}
        return named | {
            name: round(value, 4) if isinstance(value, float) else value
            for name, value in row.items()
            if value is not None
        }
