"""Small tables of acts whose features are known by construction."""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from active_customers.core.event import EventType
from active_customers.features.acts import PRODUCTS, SCHEMA
from active_customers.features.compute import say, sql_of

_NUMBERS = {"float64": pa.float64(), "string": pa.string()}


def table_of(rows, schema):
    fields = [(name, _NUMBERS.get(kind) or pa.from_numpy_dtype(np.dtype(kind))) for name, kind in schema.items()]
    return pa.Table.from_pylist(rows, schema=pa.schema(fields))


@pytest.fixture
def make_acts():
    """Makes acts of dictionaries; positions count up, what is not given is a view of product 0 by customer 0."""

    def make(*rows):
        usual = {"session": 0, "product": 0, "event_type": EventType.VIEW, "time": 0, "customer": 0, "quantity": 1}
        return table_of([usual | {"position": place} | row for place, row in enumerate(rows)], SCHEMA)

    return make


@pytest.fixture
def computed():
    """Computes a definition with the numbers it asks for; returns its rows, in order."""

    def compute(definition, acts, products=(), **numbers):
        with duckdb.connect() as connection:
            connection.register("acts", acts)
            connection.register("products", table_of(list(products), PRODUCTS))
            say(connection, **numbers)
            return connection.sql(sql_of(definition)).order("ALL").to_arrow_table().to_pylist()

    return compute
