"""What bandits lose while they learn, against choosing evenly; what a choice costs; whether new products get their due.

Every policy runs as the service runs it: it chooses by what was last published, which happens after every hundred
decisions, and learns from each choice when its window is over. Truths are drawn anew with every seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from active_customers.core.clock import DAY, MINUTE
from active_customers.experiments.bandits import (
    AnyPolicyConfig,
    EpsilonGreedyConfig,
    GaussianConfig,
    ThompsonConfig,
    UcbConfig,
    make_policy,
)
from active_customers.experiments.exploration import Exploration
from active_customers.experiments.linear_bandits import LinearThompsonConfig, LinUcbConfig
from benchmarks.plan import Mark, Plan, Result, say
from benchmarks.requests_in_process import timed
from benchmarks.spread import percentiles

_ARMS, _FEATURES = 20, 10
_DECISIONS, _PUBLISHED_EVERY, _DRIFTS_EVERY = 100_000, 100, 20_000
_OLD, _NEW = 2_000, 200

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
    """The same, but every 20,000 decisions all arms are drawn anew."""

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__(rng)
        self._epochs = [Fixed(rng)._rates for _ in range(_DECISIONS // _DRIFTS_EVERY)]

    def rates(self, first: int, contexts: NDArray[np.float32] | None, n: int) -> Floats:  # noqa: ARG002
        """Return those of the time."""
        return np.broadcast_to(self._epochs[first // _DRIFTS_EVERY], (n, _ARMS))


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
        return np.asarray(np.clip(self._level + (contexts[:, :, 1:] * self._weights).sum(axis=2), 0.001, 1.0))


class Played(NamedTuple):
    """What was lost against the best arm of each decision, by the policy and by choosing evenly."""

    lost: float
    evenly: float


class Case(NamedTuple):
    """A policy and what it plays against.

    It learns from a batch of a hundred decisions `late` batches after the last one; where it is `told` of drifts it
    begins anew with each.
    """

    config: AnyPolicyConfig
    truth: Callable[[np.random.Generator], Truth]
    late: int = 0
    told: bool = False


def play(case: Case, rng: np.random.Generator) -> Played:
    """Let a policy decide 100,000 times against a truth that is drawn first."""
    truth, policy = case.truth(rng), make_policy(case.config, _ARMS)
    waiting: list[list[tuple[int, float, Any, int]]] = []
    lost = evenly = 0.0
    for first in range(0, _DECISIONS, _PUBLISHED_EVERY):
        if case.told and first % _DRIFTS_EVERY == 0:
            policy = make_policy(case.config, _ARMS)
        contexts = truth.contexts(_PUBLISHED_EVERY)
        rates = truth.rates(first, contexts, _PUBLISHED_EVERY)
        draws = rng.random(_PUBLISHED_EVERY).tolist()
        rewards = (rng.random((_PUBLISHED_EVERY, 1)) < rates).astype(float).tolist()
        made = []
        for number, draw in enumerate(draws):
            context = None if contexts is None else contexts[number]
            arm = policy.pull(context, draw).arm
            made.append((arm, rewards[number][arm], context, (first + number) * MINUTE))
        best = rates.max(axis=1)
        lost += float((best - rates[np.arange(len(rates)), [choice[0] for choice in made]]).sum())
        evenly += float((best - rates.mean(axis=1)).sum())
        waiting.append(made)
        if len(waiting) > case.late:
            for choice in waiting.pop(0):
                policy.update(*choice)
        policy.publish(rng)
    return Played(lost, evenly)


def regret(case: Case, n_seeds: int) -> dict[str, Any]:
    """Play with so many seeds; return what was lost by what choosing evenly loses, with a 95 % interval of the mean."""
    played = [play(case, np.random.default_rng(seed)) for seed in range(n_seeds)]
    shares = np.array([one.lost / one.evenly for one in played])
    margin = 1.96 * float(shares.std(ddof=1)) / math.sqrt(n_seeds) if n_seeds > 1 else math.nan
    mean = float(shares.mean())
    quantiles = {f"p{round(100 * q)}": float(np.quantile(shares, q)) for q in (0.5, 0.9)}
    return {"seeds": n_seeds, "mean": mean, "interval": [mean - margin, mean + margin], **quantiles}


def _cases() -> Mapping[str, tuple[Case, int, float]]:
    """Return by name a case, how many seeds it gets, and what it may lose; no mark where that is NaN."""
    thompson = ThompsonConfig()
    short, long = (ThompsonConfig(half_life_days=decisions * MINUTE / DAY) for decisions in (15_000, 40_000))
    shared = {"features": _FEATURES, "shared": True}
    own = {"features": _FEATURES}
    none = math.nan
    return {
        "thompson_beta": (Case(thompson, Fixed), 200, 0.10),
        "thompson_beta, rewards 1,000 decisions late": (Case(thompson, Fixed, late=10), 15, none),
        "thompson_beta, sharpness 1": (Case(ThompsonConfig(sharpness=1.0), Fixed), 15, none),
        "thompson_gaussian": (Case(GaussianConfig(), Fixed), 15, none),
        "ucb": (Case(UcbConfig(), Fixed), 15, none),
        "epsilon_greedy": (Case(EpsilonGreedyConfig(), Fixed), 15, none),
        "lin_ucb": (Case(LinUcbConfig(**shared), shared_weights), 40, 0.10),
        "linear_thompson": (Case(LinearThompsonConfig(**shared), shared_weights), 40, 0.10),
        "lin_ucb, weights for each arm": (Case(LinUcbConfig(**own), own_weights), 5, none),
        "linear_thompson, weights for each arm": (Case(LinearThompsonConfig(**own), own_weights), 5, none),
        "drift, all arms drawn anew: discounted": (Case(short, Drifting), 20, 0.25),
        "drift, all arms drawn anew: told when": (Case(thompson, Drifting, told=True), 15, none),
        "drift, all arms drawn anew: never forgets": (Case(thompson, Drifting), 15, none),
        "drift, each arm by a part: discounted": (Case(long, Wandering), 20, 0.25),
        "drift, each arm by a part: told when": (Case(thompson, Wandering, told=True), 15, none),
        "drift, each arm by a part: never forgets": (Case(thompson, Wandering), 15, none),
    }


def shared_weights(rng: np.random.Generator) -> Linear:
    """Draw a truth of ten weights."""
    return Linear(rng, shared=True)


def own_weights(rng: np.random.Generator) -> Linear:
    """Draw a truth of ten weights for each arm."""
    return Linear(rng, shared=False)


def _choices(n: int) -> dict[str, float]:
    """Return the median microseconds of a choice by policy, after a thousand updates; the least of five rounds."""
    rng = np.random.default_rng(0)
    draws = rng.random(n).tolist()
    found: dict[str, float] = {}
    for config in (ThompsonConfig(), *(kind(features=_FEATURES) for kind in (LinUcbConfig, LinearThompsonConfig))):
        policy = make_policy(config, _ARMS)
        contexts = Linear(rng, shared=False).contexts(n)[:, 0]
        for number in range(1_000):
            policy.update(number % _ARMS, float(number % 30 == 0), contexts[number], number)
        policy.publish(rng)
        rounds = [timed(lambda i: policy.pull(contexts[i], draws[i]), n) for _ in range(5)]  # noqa: B023
        found[config.policy] = min(percentiles(times, "us")["p50_us"] for times in rounds)
    return found


class _Shop:
    """2,000 products whose appeal is known and 200 new ones, of which there is a guess, off by a half, up or down.

    A page is the best ten of a hundred products by guess, factor and how much they suit a customer.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self.guesses = 0.02 * np.exp(0.4 * rng.standard_normal(_OLD + _NEW))
        self.appeal = self.guesses.copy()
        self.appeal[_OLD:] *= np.exp(0.5 * rng.standard_normal(_NEW) - 0.125)

    def pages(self, factors: NDArray[np.float32]) -> tuple[Floats, Floats, Floats]:
        """Return impressions and clicks by product of a thousand requests, and impressions had appeal been known."""
        candidates = self._rng.integers(0, _OLD + _NEW, (1_000, 100))
        fit = np.exp(0.7 * self._rng.standard_normal(candidates.shape) - 0.245)
        chosen = self._best(self.guesses * factors, candidates, fit)
        due = self._best(self.appeal, candidates, fit)
        shown = np.take_along_axis(candidates, chosen, 1)
        clicked = self._rng.random(shown.shape) < self.appeal[shown] * np.take_along_axis(fit, chosen, 1)
        counts = (shown, shown[clicked], np.take_along_axis(candidates, due, 1))
        impressions, clicks, deserved = (np.bincount(part.ravel(), minlength=_OLD + _NEW) for part in counts)
        return impressions.astype(float), clicks.astype(float), deserved.astype(float)

    @staticmethod
    def _best(scores: Floats, candidates: NDArray[np.int64], fit: Floats) -> NDArray[np.int64]:
        return np.argpartition(-scores[candidates] * fit, 10, axis=1)[:, :10]


def _explored(n_seconds: int, seed: int, explores: bool) -> tuple[float, float]:
    """Return by how much the impressions of new products beyond their first 200 miss what they deserve.

    In all, and as the mean of what each is away; both as shares of what is deserved.
    """
    shop = _Shop(np.random.default_rng(seed))
    exploration, new = Exploration(_OLD + _NEW), np.arange(_OLD, _OLD + _NEW)
    seen, shown, deserved = (np.zeros(_NEW) for _ in range(3))
    factors = np.ones(_OLD + _NEW, np.float32)
    for _ in range(n_seconds):
        factors = exploration.factors(new) if explores else factors
        impressions, clicks, due = shop.pages(factors)
        counts = seen >= 200.0
        shown += counts * impressions[_OLD:]
        deserved += counts * due[_OLD:]
        seen += impressions[_OLD:]
        exploration.learn(new, impressions[_OLD:], clicks[_OLD:], float(clicks[:_OLD].sum() / impressions[:_OLD].sum()))
    total = float(deserved.sum())
    return float(shown.sum()) / total - 1.0, float(np.abs(shown - deserved).sum()) / total


def _new_products(plan: Plan) -> tuple[dict[str, Any], list[str], list[Mark]]:
    """Let new products be found out, with their factors and without."""
    n_seconds, seeds = plan.size(200), 3 if plan.quick else 10
    figures: dict[str, Any] = {"products": _NEW, "requests": n_seconds * 1_000, "seeds": seeds}
    for name, explores in (("explored", True), ("by guess alone", False)):
        found = np.array([_explored(n_seconds, seed, explores) for seed in range(seeds)])
        figures[name] = {
            "in_all": found[:, 0].tolist(),
            "worst_in_all": float(np.abs(found[:, 0]).max()),
            "each": float(found[:, 1].mean()),
        }
    lines = [
        f"new products, {name}: impressions in all at worst {figures[name]['worst_in_all']:.1%} from what is deserved, "
        f"each {figures[name]['each']:.1%} on average"
        for name in ("explored", "by guess alone")
    ]
    promise = "200 new products, impressions after their first 200 against deserved, worst of all seeds"
    return figures, lines, [Mark(promise, figures["explored"]["worst_in_all"], 0.2)]


def run(plan: Plan) -> Result:
    """Play all cases, time choices, and let new products be found out."""
    figures: dict[str, Any] = {"arms": _ARMS, "decisions": _DECISIONS, "published_every": _PUBLISHED_EVERY}
    lines, marks = [], []
    for name, (case, seeds, limit) in _cases().items():
        n_seeds = 2 if plan.quick else seeds
        say(f"{name}: {n_seeds} seeds")
        found = figures[name] = regret(case, n_seeds)
        low, high = found["interval"]
        lines.append(f"{name}: {found['mean']:.1%} of the regret of choosing evenly ({low:.1%} to {high:.1%})")
        if limit < 1.0:
            marks.append(Mark(f"{name}: regret against choosing evenly", found["mean"], limit))
    figures["choice_us"] = choices = _choices(plan.size(50_000))
    lines.append("a choice: " + ", ".join(f"{name} {us:.2f} us" for name, us in choices.items()))
    marks += [Mark(f"{name}: a choice", us, 2.5, "us") for name, us in choices.items()]
    figures["new_products"], more, mark = _new_products(plan)
    return Result("drawn truths", 1, figures, [*lines, *more], [*marks, *mark])
