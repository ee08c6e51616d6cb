"""The shop's rules in LMDB."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import lmdb
import orjson

from active_customers.storage.embedded.environment import Environment

_VERSION = b"rules-version"


class EmbeddedRules:
    """`RuleStore` on LMDB."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        if env.writer:
            _ = self._records

    @cached_property
    def _records(self) -> lmdb._Database:
        """Rules by name, opened when they are first needed: a store of an earlier version has none."""
        return self._env.database(b"rules")

    def rules(self) -> dict[str, dict[str, Any]]:
        """Return all rules in the order of their names."""
        records = self._records
        with self._env.reading() as txn:
            return {bytes(name).decode(): orjson.loads(record) for name, record in txn.cursor(db=records)}

    def rules_version(self) -> int:
        """Return a number that grows with every change of the rules."""
        with self._env.reading() as txn:
            return self._env.counter(txn, _VERSION)

    def change_rules(self, records: Mapping[str, Mapping[str, Any] | None], *, whole: bool = False) -> None:
        """Store rules, and delete those given as None, in one transaction; with `whole`, all others, too."""
        with self._env.writing() as txn:
            if whole:
                txn.drop(self._records, delete=False)
            for name, record in records.items():
                if record is None:
                    txn.delete(name.encode(), db=self._records)
                else:
                    txn.put(name.encode(), orjson.dumps(dict(record)), db=self._records)
            self._env.set_counter(txn, _VERSION, self._env.counter(txn, _VERSION) + 1)
