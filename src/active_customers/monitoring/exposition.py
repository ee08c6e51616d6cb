"""The metrics as Prometheus reads them: of this process, or of all workers of a service together."""

from __future__ import annotations

import os

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Where the processes of a service keep their metrics, when there are several; set before they are imported."""


def exposition() -> bytes:
    """Return the metrics in the text format."""
    if FOLDER_VARIABLE not in os.environ:
        return generate_latest(REGISTRY)
    together = CollectorRegistry()
    together.register(MultiProcessCollector(None))  # type: ignore[no-untyped-call]
    return generate_latest(together)
