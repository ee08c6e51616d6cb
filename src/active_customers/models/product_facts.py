"""What the history says of each product by itself, as the features define it."""

from __future__ import annotations

from functools import cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from active_customers.features.names import PRODUCT_FACTS
from active_customers.models.base import SessionLog

FACTS = PRODUCT_FACTS

THREADS = 1
"""Threads that compute: models are fitted within a service's refresh, too, which has one."""


def product_facts(log: SessionLog) -> NDArray[np.float32]:
    """Return float32[n_products, len(FACTS)]: `features.product.product_facts` of all acts of a log.

    A million acts take less than two seconds of the processor.
    """
    from active_customers.features.compute import as_columns  # noqa: PLC0415 - serving does without Ibis

    as_of = int(log.times.max(initial=0)) + 1
    columns = as_columns(definition(), _acts(log), THREADS, as_of=as_of, n_products=log.n_products)
    facts = np.empty((log.n_products, len(FACTS)), np.float32)
    for place, name in enumerate(FACTS):
        facts[columns["product"], place] = columns[name]
    return facts


@cache
def definition() -> str:
    """Return the SQL of the facts, compiled once however often models are fitted."""
    from active_customers.features import product  # noqa: PLC0415 - serving does without Ibis
    from active_customers.features.acts import acts_table  # noqa: PLC0415
    from active_customers.features.compute import number, sql_of  # noqa: PLC0415

    return sql_of(product.product_facts(acts_table(), number("as_of"), number("n_products")))


def _acts(log: SessionLog) -> pa.Table:
    """Return a log as acts: its rows as positions, each act for one piece at no known price."""
    n, lengths = len(log.products), np.diff(log.offsets)
    return pa.table(
        {
            "position": np.arange(n),
            "session": np.repeat(np.arange(log.n_sessions, dtype=np.uint64), lengths),
            "product": log.products,
            "event_type": log.event_types,
            "time": log.times,
            "customer": np.repeat(log.customers, lengths),
            "quantity": np.ones(n, np.int32),
            "price": pa.nulls(n, pa.float64()),
        }
    )
