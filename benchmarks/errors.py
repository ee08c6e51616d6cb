"""What a benchmark raises."""

from __future__ import annotations


class BenchmarkError(RuntimeError):
    """A benchmark could not be done, or what it measured is no measurement; says why and what to do."""


class SkippedError(BenchmarkError):
    """A benchmark needs something that is not here; says what, and how to get it."""
