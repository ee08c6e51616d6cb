"""What all tests share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from active_customers.core.clock import ManualClock, parse_time
from active_customers.core.event import Event, EventType, key_of_event_id
from active_customers.storage.embedded import EmbeddedStore
from active_customers.storage.memory import MemoryStore

settings.register_profile("project", deadline=None)
settings.load_profile("project")

NOW = parse_time("2025-01-15T12:00:00Z")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture(params=["memory", "embedded"])
def store(request, tmp_path: Path) -> Iterator[MemoryStore | EmbeddedStore]:
    """Every adapter of the ports, in turn."""
    if request.param == "memory":
        yield MemoryStore()
        return
    opened = EmbeddedStore(tmp_path / "store", writer=True).open()
    yield opened
    opened.close()


@pytest.fixture
def make_event() -> Callable[..., Event]:
    """Makes events with ids of their own, so that none is a duplicate by accident."""
    made = 0

    def make(customer: str, kind: EventType, product: str | None = None, time: int = NOW, **fields) -> Event:
        nonlocal made
        made += 1
        fields.setdefault("dedup_key", key_of_event_id(f"test-{made}"))
        return Event(customer_id=customer, event_type=kind, time=time, product_id=product, **fields)

    return make


def lightgbm_or_skip():
    """Return LightGBM; skip where the system lacks its OpenMP library, but not in CI, which installs it."""
    try:
        import lightgbm  # noqa: PLC0415
    except OSError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"LightGBM cannot be loaded: apt-get install libgomp1 ({error})", allow_module_level=True)
    return lightgbm
