"""What a run of the benchmarks was asked for, and what each benchmark hands back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.shops import Shops


@dataclass(frozen=True, slots=True)
class Plan:
    """How to measure. `quick` is a smoke run: everything once and short, with figures that mean little."""

    shops: Shops
    quick: bool = False
    rate: float = 5_000.0
    """Requests a second of the open loop."""
    minutes: float = 10.0
    """Length of the soak."""

    @property
    def rounds(self) -> int:
        """How often a load is measured."""
        return 1 if self.quick else 3

    def seconds(self, full: float, quick: float = 1.0) -> float:
        """Return how long one load lasts."""
        return quick if self.quick else full

    def size(self, full: int) -> int:
        """Return the size of something generated."""
        return full // 10 if self.quick else full


@dataclass(frozen=True, slots=True)
class Mark:
    """What the project promises, and what was measured; at most `limit`, or at least it where `least` is set."""

    promise: str
    measured: float
    limit: float
    unit: str = ""
    least: bool = False

    @property
    def is_met(self) -> bool:
        """Whether the promise was kept; a measurement that is missing (NaN) keeps none."""
        return self.measured >= self.limit if self.least else self.measured <= self.limit

    def as_dict(self) -> dict[str, object]:
        """Return it for the results file; a missing measurement is null."""
        bound = f"{'>=' if self.least else '<='} {self.limit:,g} {self.unit}".rstrip()
        measured = None if math.isnan(self.measured) else self.measured
        return {"promise": self.promise, "mark": bound, "measured": measured, "met": self.is_met}


@dataclass(frozen=True, slots=True)
class Result:
    """What one benchmark found: figures for the file, lines for people, marks for the table at the end."""

    data: str
    rounds: int
    figures: Mapping[str, object]
    lines: Sequence[str]
    marks: Sequence[Mark] = field(default_factory=tuple)


Benchmark = Callable[[Plan], Result]


def say(text: str) -> None:
    """Print a line of progress."""
    print(f"  {text}", flush=True)
