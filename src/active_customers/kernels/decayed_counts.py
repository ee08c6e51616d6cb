"""Counts that fade exponentially, each in one word: ln(sum of weight * exp(time / scale)).

Forward decay (Cormode et al., "Forward Decay", ICDE 2009) in logarithms: nothing has to be aged as time goes by, counts
of one scale can be compared as they are, late events cost what others do, and another process that reads a count while
it changes sees the one before or the one after.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from active_customers.kernels.jit import kernel
from active_customers.kernels.shared_memory import load, store

Counts = NDArray[np.float64]

_ORIGIN = 1000.0
"""Added to every logarithm, so that 0, which new memory holds, means that nothing was counted yet."""


@kernel
def add(counts: Counts, row: int, log_weight: float, age: float) -> None:
    """Count something: the logarithm of its weight, and its time since 1970 divided by the scale."""
    amount = _ORIGIN + log_weight + age
    present = counts[row]
    larger, smaller = max(amount, present), min(amount, present)
    store(counts, row, larger if present == 0.0 else larger + math.log1p(math.exp(smaller - larger)))


@kernel
def value(counts: Counts, row: int, age: float) -> float:
    """Return what a count has faded to at a time (since 1970, divided by the scale); 0 when nothing was counted."""
    count = load(counts, row)
    return math.exp(count - _ORIGIN - age) if count > 0.0 else 0.0
