"""Bandits: policies that choose one of several arms and learn from what it earned.

An arm is whatever a shop wants to choose between: strategies, orders of shelves. A policy has two verbs. `pull`
chooses, reads only what was published and is called for every request, in any process; `update` learns and is called
by the one process that folds the log, which calls `publish` now and then (every second, say). What is published is the
chance of every arm (or, with contexts, what it follows from), so that the propensity of a choice is exact and not
estimated: it is logged with the choice, and any other policy can be judged by the log.

>>> policy = make_policy(ThompsonConfig(), n_arms=2)
>>> policy.pull(None, draw=0.7)
Choice(arm=1, propensity=0.5)
>>> for time in range(200):
...     policy.update(arm=0, reward=float(time % 4 == 0), context=None, time=time)
...     policy.update(arm=1, reward=float(time % 10 == 0), context=None, time=time)
>>> policy.publish(np.random.default_rng(0))
>>> policy.pull(None, draw=0.5).arm
0
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import rel_entr

from active_customers.experiments.linear_bandits import LinearThompson, LinearThompsonConfig, LinUcb, LinUcbConfig
from active_customers.experiments.policy import Choice, Floats, Policy, PolicyConfig
from active_customers.experiments.priors import prior_of_means, prior_of_rates
from active_customers.kernels.bandits import Board, publish, read_page


class EpsilonGreedyConfig(PolicyConfig):
    """The arm that earned most, and now and then any."""

    policy: Literal["epsilon_greedy"] = "epsilon_greedy"
    explore: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of choices made evenly among all arms: the epsilon."""


class UcbConfig(PolicyConfig):
    """The arm that may be the best within what is known of it: kl-UCB (Garivier and Cappé, 2011)."""

    policy: Literal["ucb"] = "ucb"
    width: Annotated[float, Field(gt=0, le=10)] = 0.3
    """How far a bound lies from the average; 1 is what theory asks for, and costs more than it gains."""


class ThompsonConfig(PolicyConfig):
    """Each arm as often as it is likely to be the best: Thompson, 1933; for rewards that come or do not."""

    policy: Literal["thompson_beta"] = "thompson_beta"
    draws: Annotated[int, Field(ge=16, le=100_000)] = 256
    """How often the arms are compared for what is published; every share is a multiple of 1 / draws."""
    sharpness: Annotated[float, Field(ge=1, le=10)] = 3.0
    """How far draws of an arm that earned much are narrowed: 1 is the textbook's, which goes on trying arms long after
    it could know better."""


class GaussianConfig(ThompsonConfig):
    """The same for rewards of any size, such as revenue."""

    policy: Literal["thompson_gaussian"] = "thompson_gaussian"  # type: ignore[assignment]


AnyPolicyConfig = Annotated[
    EpsilonGreedyConfig | UcbConfig | ThompsonConfig | GaussianConfig | LinUcbConfig | LinearThompsonConfig,
    Field(discriminator="policy"),
]
A = TypeVar("A", bound=PolicyConfig)

_WINS_FOR_ONE = 20.0
"""Rewards of an arm after which its draws are twice as sharp."""


class _Shares(NamedTuple):
    """What was published, as Python's own numbers: the chance of each arm, and up to which draw it is chosen."""

    version: int
    shares: list[float]
    bounds: list[float]


def _read(board: Board) -> _Shares:
    """Read the shares in force; those that were never published are even."""
    version, page = read_page(board)
    shares = page.astype(np.float64)
    shares = shares / shares.sum() if shares.sum() > 0.0 else np.full(len(page), 1.0 / len(page))
    bounds = shares.cumsum()
    bounds[shares.nonzero()[0][-1] :] = np.inf  # rounding leaves no draw without an arm
    return _Shares(version, shares.tolist(), bounds.tolist())


class ArmPolicy(Policy[A]):
    """A policy without contexts: it publishes the chance of every arm."""

    def __init__(self, config: A, n_arms: int, board: Board | None = None) -> None:
        super().__init__(config, n_arms, 3 * n_arms, n_arms, board)
        self.counts, self.sums, self.squares = self.state[1:].reshape(3, -1)
        if board is None:
            publish(self.board, np.full(n_arms, 1.0 / n_arms, np.float32))
        self._known = _Shares(-1, [], [])

    def pull(self, context: NDArray[Any] | None, draw: float) -> Choice:  # noqa: ARG002
        """Return an arm and its propensity; a context changes nothing."""
        known, version = self._known, self.reading.version.item(0)
        if known.version != version:
            known = self._known = _read(self.reading)
        arm = bisect_right(known.bounds, draw)
        return Choice(arm, known.shares[arm])

    def update(self, arm: int, reward: float, context: NDArray[Any] | None, time: int) -> None:  # noqa: ARG002
        """Learn what a choice earned; a context changes nothing."""
        share = self.checked(arm, reward)
        weight = self.faded(time)
        self.counts[arm] += weight
        self.sums[arm] += weight * share
        self.squares[arm] += weight * share * share

    def page(self, rng: np.random.Generator) -> Floats:
        """Return the chance of every arm."""
        explore = self.config.explore
        return self.shares(rng) * (1.0 - explore) + explore / self.n_arms

    def shares(self, rng: np.random.Generator) -> Floats:
        """Return what share of choices each arm gets beside those that explore."""
        raise NotImplementedError


class EpsilonGreedy(ArmPolicy[EpsilonGreedyConfig]):
    """The arm with the best average; arms without data come first."""

    def shares(self, rng: np.random.Generator) -> Floats:  # noqa: ARG002
        """Share all among the best."""
        return _among_best(np.where(self.counts > 0.0, self.sums / np.maximum(self.counts, 1e-300), np.inf))


class Ucb(ArmPolicy[UcbConfig]):
    """The arm with the highest rate q whose data are not too unlikely: n * kl(average, q) <= width * ln(all n)."""

    def shares(self, rng: np.random.Generator) -> Floats:  # noqa: ARG002
        """Share all among those with the highest bound."""
        total = max(float(self.counts.sum()), 1.0)
        allowed = self.config.width * math.log(total) / np.maximum(self.counts, 1e-300)
        low = np.clip(self.sums / np.maximum(self.counts, 1e-300), 0.0, 1.0)
        averages, high = low.copy(), np.ones_like(low)
        for _ in range(40):  # halved so often, no bound is further off than 1e-12
            middle = (low + high) / 2
            is_within = rel_entr(averages, middle) + rel_entr(1.0 - averages, 1.0 - middle) <= allowed
            low, high = np.where(is_within, middle, low), np.where(is_within, high, middle)
        return _among_best(np.where(self.counts > 0.0, low, np.inf))


class Thompson(ArmPolicy[ThompsonConfig]):
    """Draws of what is likely of each arm, from a beta distribution; the share of each is how often it was best."""

    def shares(self, rng: np.random.Generator) -> Floats:
        """Return how often each arm was the best."""
        prior = prior_of_rates(self.counts, self.sums)
        sharpness = _sharpness(self.config.sharpness, self.sums)
        wins = prior.mean * prior.strength + self.sums
        misses = (1.0 - prior.mean) * prior.strength + np.maximum(self.counts - self.sums, 0.0)
        return _shares_of_best(rng.beta(sharpness * wins, sharpness * misses, (self.config.draws, self.n_arms)))


class ThompsonGaussian(ArmPolicy[GaussianConfig]):
    """The same with a normal distribution: the average of many rewards, whatever these look like."""

    def shares(self, rng: np.random.Generator) -> Floats:
        """Return how often each arm was the best."""
        count = float(self.counts.sum())
        if count <= 0.0:
            return np.full(self.n_arms, 1.0 / self.n_arms)
        mean = float(self.sums.sum()) / count
        variance = max(float(self.squares.sum()) / count - mean * mean, 1.0 / (count + 4.0) ** 2)
        prior = prior_of_means(self.counts, self.sums, variance)
        sharpness = _sharpness(self.config.sharpness, self.counts * mean * mean / variance)
        known = self.counts + prior.strength
        centres = (self.sums + prior.mean * prior.strength) / known
        widths = np.sqrt(variance / known / sharpness)
        return _shares_of_best(rng.normal(centres, widths, (self.config.draws, self.n_arms)))


def make_policy(config: AnyPolicyConfig, n_arms: int, board: Board | None = None) -> Policy[Any]:
    """Return a policy for so many arms; with the `board` of another process it can only pull."""
    return _POLICIES[config.policy](config, n_arms, board)


_POLICIES: Mapping[str, Callable[..., Policy[Any]]] = {
    "epsilon_greedy": EpsilonGreedy,
    "ucb": Ucb,
    "thompson_beta": Thompson,
    "thompson_gaussian": ThompsonGaussian,
    "lin_ucb": LinUcb,
    "linear_thompson": LinearThompson,
}


def _sharpness(most: float, wins: Floats) -> Floats:
    """Return how sharp the draws of each arm are: 1 at first, so that a bad start is no end, and `most` at last."""
    return np.minimum(1.0 + wins / _WINS_FOR_ONE, most)


def _among_best(values: Floats) -> Floats:
    """Share all evenly among the highest values."""
    is_best = values == values.max()
    return np.asarray(is_best / is_best.sum())


def _shares_of_best(draws: Floats) -> Floats:
    """Return for each column in what share of rows it is the highest; of equals each gets its part."""
    is_best = draws == draws.max(axis=1, keepdims=True)
    return np.asarray((is_best / is_best.sum(axis=1, keepdims=True)).mean(axis=0))
