"""Long reading beside answers: a thread that reads the catalogue lets the others have their turn."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

_AT_ONCE = 200
"""Products read in one go, about 2 ms: longer than that no answer waits."""
_SECONDS = 0.002


def with_pauses(numbers: Iterable[int]) -> Iterator[int]:
    """Yield product numbers, with a pause after each `_AT_ONCE` of them."""
    for done, number in enumerate(numbers, 1):
        yield number
        if done % _AT_ONCE == 0:
            time.sleep(_SECONDS)
