"""The embedded adapter: log, session state, catalogue and numbers in one LMDB environment, so in one transaction."""

from active_customers.storage.embedded.store import EmbeddedStore, StorageConfig

__all__ = ["EmbeddedStore", "StorageConfig"]
