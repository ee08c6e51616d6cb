"""Imported for its effect, by the server that forks the processes of a service: the machine code of answers is loaded.

Processes share the memory of what was loaded before they were forked; each would take as much again, and a second.
"""

from __future__ import annotations

import gc
import logging
import os
from pathlib import Path
from tempfile import TemporaryDirectory

from active_customers.config.settings import Settings
from active_customers.core.errors import ActiveCustomersError
from active_customers.storage.data_dir import DataDirectory
from active_customers.wiring import Owner, build


def _load() -> None:
    """Answer what nobody asked, in an empty shop that is gone afterwards; nothing of it stays open."""
    with TemporaryDirectory(prefix="active-customers-") as folder:
        services = build(Settings(), DataDirectory(Path(folder) / "data"))
        try:
            for part in (services.hot, services.shelves, services.explainer):
                part.rehearse()
        finally:
            services.store.close()
            if isinstance(services.parts, Owner):
                os.close(services.parts.lock)


try:
    _load()
except (ActiveCustomersError, OSError) as error:  # such as a full disk: each process loads it for itself then
    logging.getLogger(__name__).warning("the code of answers is not shared between processes: %s", error)
gc.collect()
gc.freeze()  # what all share is not to be copied because the collector writes beside it
