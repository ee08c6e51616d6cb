"""What bandits lose while they learn, against choosing evenly; what a choice costs; whether new products get their due.

Every policy runs as the service runs it: it chooses by what was last published, which happens after every hundred
decisions, and learns from each choice when its window is over. Truths are drawn anew with every seed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from active_customers.experiments.bandits import (
    AnyPolicyConfig,
    EpsilonGreedyConfig,
    GaussianConfig,
    LinearThompsonConfig,
    LinUcbConfig,
    ThompsonConfig,
    UcbConfig,
    make_policy,
)
from benchmarks.plan import Mark, Plan, Result, say

_ARMS, _FEATURES = 20, 10
_DECISIONS, _PUBLISHED_EVERY, _DRIFTS_EVERY = 100_000, 100, 20_000

Floats = NDArray[np.float64]


class Truth(Protocol):
    """What arms really earn."""

    def contexts(self, n: int) -> NDArray[np.float32] | None:
        """Return the contexts of n decisions, or None for all."""
        ...

    def rates(self, first: int, contexts: NDArray[np.float32] | None, n: int) -> Floats:
        """Return the chance of a reward by decision and arm, for n decisions from `first` on."""
        ...


class Fixed:
    """One arm has 0.05, the others something between 0.02 and 0.04."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rates = rng.permutation(np.append(rng.uniform(0.02, 0.04, _ARMS - 1), 0.05))

    def contexts(self, n: int) -> None:
        """Return nothing: there are none."""

    def rates(self, first: int, contexts: NDArray[np.float32] | None, n: int) -> Floats:  # noqa: ARG002
        """Return the same for every decision."""
        return np.broadcast_to(self._rates, (n, _ARMS))


class Drifting(Fixed):
    """The same, but after every 20,000 decisions the arms take another order: whole, or those of `n_moved` arms."""

    def __init__(self, rng: np.random.Generator, n_moved: int = _ARMS) -> None:
        super().__init__(rng)
        self._epochs = [self._rates]
        for _ in range(_DECISIONS // _DRIFTS_EVERY - 1):
            rates = self._epochs[-1].copy()
            moved = rng.choice(_ARMS, n_moved, replace=False)
            rates[moved] = rng.permutation(rates[moved])
            self._epochs.append(rates)

    def rates(self, first: int, contexts: NDArray[np.float32] | None, n: int) -> Floats:  # noqa: ARG002
        """Return those of the time."""
        return np.broadcast_to(self._epochs[min(first // _DRIFTS_EVERY, len(self._epochs) - 1)], (n, _ARMS))


class Wandering(Fixed):
    """Every 20,000 decisions each arm moves by a part of its range: an autoregression that keeps it there."""

    def __init__(self, rng: np.random.Generator, kept: float = 0.9) -> None:
        super().__init__(rng)
        position = (self._rates - self._rates.mean()) / self._rates.std()
        centre, spread = self._rates.mean(), self._rates.std()
        self._epochs = []
        for _ in range(_DECISIONS // _DRIFTS_EVERY):
            self._epochs.append(np.clip(centre + spread * position, 0.005, 1.0))
            position = kept * position + np.sqrt(1.0 - kept**2) * rng.standard_normal(_ARMS)

    rates = Drifting.rates


class Linear:
    """Rates are a weighted sum of ten features, one of them always 1; between 0.01 and 0.09, mostly 0.02 to 0.06.

    `shared`: each arm has features of its own with every decision and one set of weights holds for all; else each arm
    has its weights, and the request has the features.
    """

    def __init__(self, rng: np.random.Generator, shared: bool) -> None:
        self._rng, self._shared = rng, shared
        weights = rng.standard_normal((1 if shared else _ARMS, _FEATURES - 1))
        self._weights = 0.012 * weights / np.sqrt((weights**2).sum(axis=1, keepdims=True))
        self._level = 0.035 if shared else rng.uniform(0.03, 0.04, _ARMS)

    def contexts(self, n: int) -> NDArray[np.float32]:
        """Return n contexts: a 1, then normal features."""
        drawn = self._rng.standard_normal((n, _ARMS if self._shared else 1, _FEATURES)).clip(-2.5, 2.5)
        drawn[:, :, 0] = 1.0
        return drawn.astype(np.float32)

    def rates(self, first: int, contexts: NDArray[np.float32] | None, n: int) -> Floats:  # noqa: ARG002
        """Return the weighted sums."""
        assert contexts is not None
        return np.clip(self._level + (contexts[:, :, 1:] * self._weights).sum(axis=2), 0.001, 1.0)


class Played(NamedTuple):
    """What was lost against the best arm of each decision, by the policy and by choosing evenly."""

    lost: float
    evenly: float


def play(config: AnyPolicyConfig, truth: Truth, rng: np.random.Generator, late: int = 1) -> Played:
    """Let a policy decide 100,000 times; what it chose is settled `late` batches after the batch it was chosen in."""
    policy = make_policy(config, _ARMS)
    waiting: list[list[tuple[int, float, Any, int]]] = []
    lost = evenly = 0.0
    for first in range(0, _DECISIONS, _PUBLISHED_EVERY):
        contexts = truth.contexts(_PUBLISHED_EVERY)
        rates = truth.rates(first, contexts, _PUBLISHED_EVERY)
        draws, chances = rng.random((2, _PUBLISHED_EVERY)).tolist()
        made = []
        for number, draw in enumerate(draws):
            context = None if contexts is None else contexts[number]
            arm = policy.pull(context, draw).arm
            made.append((arm, float(chances[number] < rates[number, arm]), context, (first + number) * _TICK))
        waiting.append(made)
        best = rates.max(axis=1)
        lost += float((best - rates[np.arange(len(rates)), [choice[0] for choice in made]]).sum())
        evenly += float((best - rates.mean(axis=1)).sum())
        if len(waiting) >= late:
            for choice in waiting.pop(0):
                policy.update(*choice)
        policy.publish(rng)
    return Played(lost, evenly)


_TICK = 60_000_000
"""Microseconds from one decision to the next: one a minute."""
