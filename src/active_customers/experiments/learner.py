"""A bandit as a fold of the log: choices and rewards in, a policy that has learned from those that are settled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.core.errors import InvalidValueError
from active_customers.experiments.policy import Policy
from active_customers.experiments.rewards import Made, Pending, RewardsConfig, Settled


class Earned(NamedTuple):
    """A reward as the log has it: `key` is that of the choice, `time` that of the act, in microseconds."""

    key: int
    value: float
    time: int


class Learner:
    """Folds entries into a policy; the same entries in the same order always end in the same state.

    `malformed` counts choices that the policy refused: an arm that there is not (any more), a context of another shape.
    """

    def __init__(self, policy: Policy[Any], rewards: RewardsConfig | None = None) -> None:
        self.policy = policy
        self.pending = Pending(rewards)
        self.malformed = 0

    def fold(self, entry: Made | Earned) -> None:
        """Take one entry of the log, after settling what was over by its time."""
        self.settle(entry.time)
        if isinstance(entry, Made):
            for settled in self.pending.choose(entry):
                self._learn(settled)
        else:
            self.pending.reward(*entry)

    def settle(self, now: int) -> None:
        """Learn from the choices whose window was over at a time up to which the log was read."""
        for settled in self.pending.settle(now):
            self._learn(settled)

    def checkpoint(self) -> dict[str, NDArray[Any]]:
        """Return everything as arrays; together with the log from here on it restores the learner."""
        return {"state": self.policy.state.copy(), **self.pending.as_arrays()}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over a checkpoint; raises `InvalidValueError` where it is one of another policy."""
        state = arrays["state"]
        if state.shape != self.policy.state.shape or not np.isfinite(state).all():
            remedy = f"a state of this policy has {len(self.policy.state)} finite numbers: begin anew from the log"
            raise InvalidValueError("state", f"an array of {state.shape}", remedy)
        self.policy.state[:] = state
        self.pending.restore(arrays)

    def _learn(self, settled: Settled) -> None:
        made, earned = settled
        try:
            self.policy.update(made.arm, earned, made.context, made.time)
        except InvalidValueError:
            self.malformed += 1
