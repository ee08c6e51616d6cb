"""What a shop told the service by name, in LMDB."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import lmdb
import orjson

from active_customers.storage.base import Change
from active_customers.storage.embedded.environment import Environment


class EmbeddedNamed:
    """`NamedRecords` on LMDB."""

    def __init__(self, env: Environment, kind: str) -> None:
        self._env = env
        self._kind = kind.encode()
        self._counter = self._kind + b"-version"
        if env.writer:
            _ = self._records

    @cached_property
    def _records(self) -> lmdb._Database:
        """Records by name, opened when they are first needed: a store of an earlier version has none."""
        return self._env.database(self._kind)

    def all(self) -> dict[str, dict[str, Any]]:
        """Return all records in the order of their names."""
        records = self._records
        with self._env.reading() as txn:
            return {bytes(name).decode(): orjson.loads(record) for name, record in txn.cursor(db=records)}

    def version(self) -> int:
        """Return a number that grows with every change of them."""
        with self._env.reading() as txn:
            return self._env.counter(txn, self._counter)

    def change(self, records: Change, *, whole: bool = False) -> None:
        """Store records, and delete those given as None, in one transaction; with `whole`, all others, too."""
        with self._env.writing() as txn:
            if whole:
                txn.drop(self._records, delete=False)
            for name, record in records.items():
                if record is None:
                    txn.delete(name.encode(), db=self._records)
                else:
                    txn.put(name.encode(), orjson.dumps(dict(record)), db=self._records)
            self._env.set_counter(txn, self._counter, self._env.counter(txn, self._counter) + 1)
