"""A log whose outcomes are known by construction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from active_customers.core.attribution import Shown, TokenSigner
from active_customers.core.clock import DAY, HOUR
from active_customers.core.event import Channel, Context, Event, EventType, LogEntry
from active_customers.core.identifiers import NO_NUMBER
from active_customers.experiments.definition import Experiment, Variant
from active_customers.experiments.exposed import People
from active_customers.experiments.outcomes import Outcomes, OutcomesConfig, Source, read_outcomes
from active_customers.storage.archive import Archive

START = 100 * DAY
NOW = START + 30 * DAY

EXPERIMENT = Experiment(
    "home", 2, (Variant("usual", 1, "hybrid", 11), Variant("bold", 1, "discover", 12)), "usual", START
)


class Log:
    """Takes events of customers by number and reads what came of them."""

    def __init__(self, folder) -> None:
        self.archive = Archive(folder / "archive")
        self.signer = TokenSigner({0: bytes(32)})
        self.config = OutcomesConfig(conversion_days=7, past_days=10)
        self.joined: list[tuple[int, int]] = []
        self.passed_over: list[int] = []
        self.costs: np.ndarray | None = None
        self._scratch = folder / "scratch"
        self._entries: list[LogEntry] = []

    def add(self, customer: int, kind: EventType, hours: float = 1, product: int | None = 3, **fields: Any) -> None:
        """Add an event so many hours after the experiment's start; what is no field of `Event` are details."""
        own = {name: fields.pop(name) for name in ("quantity", "price") if name in fields}
        position = len(self._entries) + 1
        event = Event(str(customer), kind, START + int(hours * HOUR), details=fields, dedup_key=bytes(16), **own)
        number = NO_NUMBER if product is None else product
        self._entries.append(LogEntry(position, event.time, customer, number, 0, event))

    def expose(self, customer: int, variant: str, hours: float = 0, **changed: Any) -> None:
        """Add an exposure."""
        metadata = {"experiment": "home", "version": 2, "variant": variant} | changed
        self.add(customer, EventType.EXPOSURE, hours, None, metadata=metadata)

    def token(self, customer: int, variants: Sequence[int], products: Sequence[int] = (3, 5), hours: float = 1) -> str:
        """Return the token of an answer."""
        shown = Shown(str(customer), START + int(hours * HOUR), "v1", Context.HOME, Channel.WEB, products)
        return self.signer.sign(shown._replace(variants=variants))

    def outcomes(self, experiment: Experiment = EXPERIMENT, now: int = NOW) -> Outcomes:
        """Write what was added and read it."""
        ordered = sorted(self._entries, key=lambda entry: entry.arrival)
        moved = [replace(entry, position=place) for place, entry in enumerate(ordered, self.archive.end())]
        self.archive.append(moved)
        self._entries.clear()
        people = People(
            np.array(sorted(self.joined), np.uint32).reshape(-1, 2), np.array(sorted(self.passed_over), np.uint32)
        )
        source = Source(self.archive, people, self.signer, self._scratch, self.costs)
        return read_outcomes(experiment, source, self.config, now)


@pytest.fixture
def log(tmp_path) -> Log:
    return Log(tmp_path)
