"""Which choice a reward belongs to: choices wait here until what they earned is known.

A choice is settled once, when its window is over: with all that it earned by then, and with 0 if that is nothing. Not
earlier, even if it was rewarded: rewards that counted at once, before the choices that get none, would make every arm
look better the newer its choices are.

>>> pending = Pending(RewardsConfig(window_minutes=30))
>>> pending.choose(Made(key=7, arm=2, context=None, time=0))
[]
>>> pending.reward(7, 1.0, time=5 * MINUTE)
True
>>> [(made.arm, reward) for made, reward in pending.settle(30 * MINUTE)]
[(2, 1.0)]
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from active_customers.core.clock import MINUTE
from active_customers.core.config import Config


class RewardsConfig(Config):
    """How long a choice is given to earn something."""

    window_minutes: Annotated[float, Field(gt=0)] = 30.0
    """Minutes after a choice in which a reward is its own; without any by then it has earned nothing."""
    pending: Annotated[int, Field(ge=1)] = 200_000
    """Choices that may wait for the end of their window; when more do, the oldest are settled early."""
    times: Annotated[int, Field(ge=1)] = 1
    """Rewards that count for one choice: 1 for clicks; more where a choice may lead to several orders."""


class Made(NamedTuple):
    """A choice as the log has it: `key` names it for life, `time` is in microseconds."""

    key: int
    arm: int
    context: NDArray[np.float32] | None
    time: int


class _Waiting:
    """A choice, what it earned so far, and how often."""

    __slots__ = ("earned", "made", "times")

    def __init__(self, made: Made, earned: float = 0.0, times: int = 0) -> None:
        self.made, self.earned, self.times = made, earned, times


Settled = tuple[Made, float]


class Pending:
    """Choices that wait, in the order in which they were made; a fold of the log, like all else.

    `ignored` counts what was left out, by why: a reward of an `unknown` choice (never made here, settled long ago), one
    that came `late` or `before` its choice, that came `again` or was `no_number`; a choice that was made `twice`.
    `early` counts choices that were settled before their window was over.
    """

    def __init__(self, config: RewardsConfig | None = None) -> None:
        self._config = config or RewardsConfig()
        self._window = int(self._config.window_minutes * MINUTE)
        self._waiting: dict[int, _Waiting] = {}
        self.ignored: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._waiting)

    def choose(self, made: Made) -> list[Settled]:
        """Take a choice, and return those that were settled for want of room."""
        if made.key in self._waiting:
            self.ignored["twice"] += 1
            return []
        self._waiting[made.key] = _Waiting(made)
        crowded = []
        while len(self._waiting) > self._config.pending:
            self.ignored["early"] += 1
            crowded.append(self._pop())
        return crowded

    def reward(self, key: int, value: float, time: int) -> bool:
        """Add to what a choice earned, and return whether it counts; `time` is that of the act that is rewarded."""
        waiting = self._waiting.get(key)
        reason = "unknown" if waiting is None else self._refused(waiting, value, time)
        if waiting is None or reason:
            self.ignored[reason] += 1
            return False
        waiting.earned += value
        waiting.times += 1
        return True

    def settle(self, now: int) -> Iterator[Settled]:
        """Yield choices whose window is over, oldest first, with what they earned; they are forgotten then.

        `now` is the time up to which the log was read. A clock that went back keeps newer choices waiting behind older
        ones, and none forever.
        """
        while self._waiting:
            first = next(iter(self._waiting.values()))
            if now < first.made.time + self._window:
                return
            yield self._pop()

    def as_arrays(self) -> dict[str, NDArray[Any]]:
        """Return everything that waits as arrays, for a checkpoint; all choices have contexts of one shape, or none."""
        waiting = list(self._waiting.values())
        contexts = [one.made.context for one in waiting if one.made.context is not None]
        return {
            "made": np.array([[one.made.key, one.made.arm, one.made.time] for one in waiting], np.int64).reshape(-1, 3),
            "earned": np.array([[one.earned, one.times] for one in waiting], np.float64).reshape(-1, 2),
            "contexts": np.array(contexts, np.float32),
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Wait for what `as_arrays` returned."""
        contexts = arrays["contexts"]
        self._waiting = {}
        rows = zip(arrays["made"].tolist(), arrays["earned"].tolist(), strict=True)
        for row, ((key, arm, time), (earned, times)) in enumerate(rows):
            made = Made(key, arm, contexts[row] if len(contexts) else None, time)
            self._waiting[key] = _Waiting(made, earned, int(times))

    def _refused(self, waiting: _Waiting, value: float, time: int) -> str:
        """Return why a reward does not count; empty if it does."""
        if not math.isfinite(value):
            return "no_number"
        if time < waiting.made.time:
            return "before"
        if time >= waiting.made.time + self._window:
            return "late"
        return "again" if waiting.times >= self._config.times else ""

    def _pop(self) -> Settled:
        waiting = self._waiting.pop(next(iter(self._waiting)))
        return waiting.made, waiting.earned
