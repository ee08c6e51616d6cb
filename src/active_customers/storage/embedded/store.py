"""The embedded store as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from active_customers.storage.admission import DEFAULT_RULES, CustomerRules
from active_customers.storage.base import RECORDS
from active_customers.storage.embedded.catalog import EmbeddedCatalog
from active_customers.storage.embedded.customers import EmbeddedCustomers
from active_customers.storage.embedded.environment import Environment, StorageConfig
from active_customers.storage.embedded.erasures import EmbeddedErasures
from active_customers.storage.embedded.expiry import StateExpiry
from active_customers.storage.embedded.log import EmbeddedLog
from active_customers.storage.embedded.named import EmbeddedNamed
from active_customers.storage.embedded.sessions import EmbeddedSessions

__all__ = ["EmbeddedStore", "StorageConfig"]


class EmbeddedStore:
    """`Store` on LMDB: its parts share one environment and so one transaction.

    Open it as the writer in one process only (that process holds the data directory's lock).
    """

    events: EmbeddedLog
    sessions: EmbeddedSessions
    catalog: EmbeddedCatalog
    customers: EmbeddedCustomers
    erasures: EmbeddedErasures
    expiry: StateExpiry
    records: dict[str, EmbeddedNamed]
    rules: EmbeddedNamed

    def __init__(
        self,
        path: Path,
        config: StorageConfig | None = None,
        *,
        writer: bool = False,
        rules: CustomerRules = DEFAULT_RULES,
    ) -> None:
        self._env = Environment(path, config or StorageConfig(), writer=writer)
        self._rules = rules

    def open(self) -> Self:
        """Open the environment and its parts; raises `StorageError` when a reader finds nothing there."""
        self._env.open()
        self.sessions = EmbeddedSessions(self._env)
        self.catalog = EmbeddedCatalog(self._env)
        self.customers = EmbeddedCustomers(self._env, self.sessions, self._rules.consent.default)
        self.events = EmbeddedLog(self._env, self.customers, self.catalog, self._rules.robots)
        self.erasures = EmbeddedErasures(self._env, self.events, self.customers)
        self.expiry = StateExpiry(self._env, self.customers)
        self.records = {kind: EmbeddedNamed(self._env, kind) for kind in RECORDS}
        self.rules = self.records["rules"]
        return self

    def close(self) -> None:
        """Close the environment."""
        self._env.close()

    def used_bytes(self) -> int:
        """Return how much of the map is in use."""
        return self._env.used_bytes()
