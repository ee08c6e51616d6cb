"""The event file of the simulated shop: what happened, collected as columns and written in the order of time."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from active_customers.core.clock import format_time
from active_customers.core.event import Channel, Context, EventType
from active_customers.core.identifiers import json_id
from active_customers.evaluation.simulator.catalogue import CURRENCY
from active_customers.evaluation.simulator.customers import customer_id
from active_customers.evaluation.simulator.naming import product_id
from active_customers.evaluation.simulator.searches import search_texts
from active_customers.evaluation.simulator.shop import Shop

Integers = NDArray[np.int64]
Column = NDArray[np.generic]

NONE = -1
ROWS_PER_WRITE = 200_000
COLUMNS = (
    *("time", "event_type", "customer", "session", "product", "quantity", "price"),
    *("order", "query", "category", "context", "channel", "answer"),
)
SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("event_id", "customer_id", "event_type", "product_id")]
    + [("timestamp", pa.timestamp("us", tz="UTC")), ("session_id", pa.string())]
    + [("quantity", pa.int32()), ("price", pa.float64())]
    + [(name, pa.string()) for name in ("currency", "order_id", "query", "category", "context", "channel")]
)


class Journal:
    """Collects events and hands them on in the order of their times, a day at a time.

    `record` takes what happened as columns of row numbers; an event may lie in the future and waits for its day. Events
    at or after `stop` never come out. Ties of time keep the order in which they were recorded.
    """

    def __init__(self, stop: int) -> None:
        self._stop = stop
        self._waiting: list[dict[str, Column]] = []

    def record(self, event_type: EventType, **columns: Column) -> None:
        """Add one event per row; `time` is needed, any other of `COLUMNS` may be left out."""
        n = len(columns["time"])
        if n == 0:
            return
        full: dict[str, Column] = {"event_type": np.full(n, int(event_type)), "quantity": np.ones(n, np.int64)}
        full |= {name: np.full(n, NONE) for name in COLUMNS if name not in full and name != "price"}
        self._waiting.append({**full, "price": np.full(n, np.nan), **columns})

    def until(self, moment: int) -> dict[str, Column]:
        """Take out everything before `moment`, ordered by time."""
        if not self._waiting:
            return {name: np.empty(0, np.int64) for name in COLUMNS}
        merged = {name: np.concatenate([block[name] for block in self._waiting]) for name in COLUMNS}
        times = merged["time"].astype(np.int64)
        is_due = times < min(moment, self._stop)
        due = np.flatnonzero(is_due)
        due = due[np.argsort(times[due], kind="stable")]
        later = np.flatnonzero(~is_due & (times < self._stop))
        self._waiting = [{name: column[later] for name, column in merged.items()}]
        return {name: column[due] for name, column in merged.items()}


class EventTables:
    """Turns columns of row numbers into tables of native events, as a shop would send them; numbers the events."""

    def __init__(self, shop: Shop) -> None:
        anonymous = shop.customers.is_anonymous.tolist()
        self._customers = pa.array([customer_id(i, is_anonymous) for i, is_anonymous in enumerate(anonymous)])
        self._products = pa.array([product_id(i) for i in range(len(shop.catalogue))])
        self._queries = pa.array(search_texts(shop.catalogue.assortment))
        self._categories = pa.array([category.path for category in shop.catalogue.assortment.categories])
        self._event_types = _words(EventType)
        self._contexts = _words(Context)
        self._channels = _words(Channel)
        self._written = 0

    def table(self, columns: dict[str, Column]) -> pa.Table:
        """Return the rows as a table of `SCHEMA`."""
        n = len(columns["time"])
        numbers = np.arange(self._written + 1, self._written + n + 1)
        self._written += n
        price = pa.array(columns["price"].astype(np.float64), from_pandas=True)
        arrays = [
            _numbered("e", numbers),
            _named(self._customers, columns["customer"]),
            _named(self._event_types, columns["event_type"]),
            _named(self._products, columns["product"]),
            pa.array(columns["time"].astype(np.int64)).cast(pa.timestamp("us", tz="UTC")),
            _numbered("s", columns["session"]),
            pa.array(columns["quantity"].astype(np.int32)),
            price,
            pc.if_else(pc.is_valid(price), CURRENCY, pa.scalar(None, pa.string())),
            _numbered("o", columns["order"]),
            _named(self._queries, columns["query"]),
            _named(self._categories, columns["category"]),
            _named(self._contexts, columns["context"]),
            _named(self._channels, columns["channel"]),
        ]
        return pa.table(arrays, schema=SCHEMA)


def _words(kind: type[EventType | Context | Channel]) -> pa.Array:
    words: list[str | None] = [None] * (max(kind) + 1)
    for member in kind:
        words[member] = member.name.lower()
    return pa.array(words, pa.string())


def _named(names: pa.Array, rows: Column) -> pa.Array:
    return names.take(pa.array(rows.astype(np.int64), mask=rows.astype(np.int64) == NONE))


def _numbered(prefix: str, numbers: Column) -> pa.Array:
    text = pa.array(numbers.astype(np.int64), mask=numbers.astype(np.int64) == NONE).cast(pa.string())
    return pc.binary_join_element_wise(prefix, text, "")


class ParquetEvents:
    """Writes `events.parquet` in groups of many days."""

    name = "events.parquet"

    def __init__(self, out: Path) -> None:
        self._path = out / self.name
        self._tables: list[pa.Table] = []
        self._rows = 0

    def __enter__(self) -> Self:
        self._writer = pq.ParquetWriter(self._path, SCHEMA, compression="zstd")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flush()
        self._writer.close()

    def write(self, table: pa.Table) -> None:
        """Add a table of events."""
        self._tables.append(table)
        self._rows += table.num_rows
        if self._rows >= ROWS_PER_WRITE:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.concat_tables(self._tables))
        self._tables, self._rows = [], 0


class JsonEvents:
    """Writes `events.jsonl`: one event per line as it can be posted, fields that are empty left out."""

    name = "events.jsonl"

    def __init__(self, out: Path) -> None:
        self._path = out / self.name

    def __enter__(self) -> Self:
        self._file = self._path.open("wb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, table: pa.Table) -> None:
        """Add a table of events."""
        times = table["timestamp"].cast(pa.int64()).to_pylist()
        for row, time in zip(table.drop_columns("timestamp").to_pylist(), times, strict=True):
            event = {field: value for field, value in row.items() if value is not None}
            event["timestamp"] = format_time(time)
            for field in ("customer_id", "product_id"):
                if field in event:
                    event[field] = json_id(event[field])
            self._file.write(orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE))


WRITERS: dict[str, type[ParquetEvents | JsonEvents]] = {"parquet": ParquetEvents, "jsonl": JsonEvents}
