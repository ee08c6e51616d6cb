"""How figures of several rounds, or of many requests, are summed up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return least, median and most of at least one value.

    >>> spread([3.0, 1.0, 2.0])
    {'min': 1.0, 'median': 2.0, 'max': 3.0}
    """
    return {"min": _short(min(values)), "median": _short(float(np.median(values))), "max": _short(max(values))}


def percentiles(nanoseconds: NDArray[Any], unit: str = "ms") -> dict[str, float]:
    """Return p50, p90, p99, p99.9 and the maximum of at least one duration, in `ms` or `us`.

    By nearest rank: a percentile is a duration that was measured, and at least that share of all is no longer. So few
    durations give no percentile that none of them was.

    >>> percentiles(np.array([1_000_000, 2_000_000, 9_000_000]))["p50_ms"]
    2.0
    """
    scale = {"ms": 1e6, "us": 1e3}[unit]
    found = np.quantile(nanoseconds, list(QUANTILES.values()), method="inverted_cdf") / scale
    named = {f"{name}_{unit}": _short(value) for name, value in zip(QUANTILES, found.tolist(), strict=True)}
    return {**named, f"max_{unit}": _short(float(nanoseconds.max()) / scale)}


def shown(figures: dict[str, float], unit: str = "") -> str:
    """Return a spread for people: the median, least and most in brackets where they differ."""
    median = f"{figures['median']:,g}{unit}"
    return median if figures["min"] == figures["max"] else f"{median} ({figures['min']:,g} to {figures['max']:,g})"


def _short(value: float) -> float:
    """Round to four digits: more would pretend."""
    return float(f"{value:.4g}")
