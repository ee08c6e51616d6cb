"""Who gets which variant: a hash of the customer's first id, so that every node and channel says the same.

Nothing is stored of who was assigned what. A layer has `PLACES` places; a hash of the id and the layer's name gives the
customer one of them, and each experiment of the layer has places of its own, so that no customer is in two experiments
of one layer. A second hash, of the id, the experiment and its version, gives the variant. Both are independent of each
other and of those of other layers and experiments (Tang et al., "Overlapping Experiment Infrastructure", KDD 2010), so
that more places, or an experiment in another layer, change nobody's variant.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import reduce
from hashlib import blake2b
from itertools import accumulate, product
from random import random
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.core.event import Channel, Context
from active_customers.core.session import State
from active_customers.experiments.definition import Experiment
from active_customers.experiments.linear_bandits import LinearConfig
from active_customers.experiments.policy import Policy
from active_customers.experiments.strategies import DEFAULT, RulesWish, Strategy, joined

PLACES = 10_000
"""Places of a layer: a hundredth of a percent of the customers each."""
_HOLDOUT = "holdout"


class InVariant(NamedTuple):
    """What one experiment makes of a customer. `code` is the variant's; testers do not count."""

    experiment: str
    version: int
    variant: str
    code: int
    counts: bool = True
    propensity: float | None = None
    features: tuple[float, ...] = ()
    """Of a choice of a bandit: the chance that this variant had, and what was known of the request, if it counts."""


class Assigned(NamedTuple):
    """By what a customer is answered, and which variants that is."""

    strategy: Strategy
    variants: tuple[InVariant, ...] = ()

    def codes(self) -> list[int]:
        """Return the codes of the variants that count, for a `recommendation_id`."""
        return [variant.code for variant in self.variants if variant.counts] if self.variants else []


NOT_ASSIGNED = Assigned(Strategy())


def unit(text: str, salt: str) -> float:
    """Return a number from 0 up to 1, the same everywhere for the same text and salt (keyed BLAKE2b).

    >>> unit("anna", "main") == unit("anna", "main") != unit("anna", "other")
    True
    """
    digest = blake2b(text.encode(), digest_size=7, key=_key(salt)).digest()
    return int.from_bytes(digest, "big") / (1 << 56)


def _key(salt: str) -> bytes:
    return blake2b(salt.encode(), digest_size=32).digest()


class _Hasher:
    """`unit` with one salt."""

    def __init__(self, salt: str) -> None:
        self._keyed = blake2b(digest_size=7, key=_key(salt))

    def __call__(self, text: bytes) -> float:
        hasher = self._keyed.copy()
        hasher.update(text)
        return int.from_bytes(hasher.digest(), "big") / (1 << 56)


class _Arms:
    """The variants of a running experiment."""

    def __init__(self, experiment: Experiment, strategies: Mapping[str, Strategy], policy: Policy[Any] | None) -> None:
        self.experiment = experiment
        self.policy = policy
        self._unit = _Hasher(f"{experiment.name}\0{experiment.version}")
        self._bounds = list(accumulate(variant.weight for variant in experiment.variants))
        self.strategies = [strategies[variant.strategy] for variant in experiment.variants]
        self._variants = [
            InVariant(experiment.name, experiment.version, variant.name, variant.code)
            for variant in experiment.variants
        ]
        names = [variant.name for variant in experiment.variants]
        self.testers = {customer: names.index(variant) for customer, variant in experiment.testers.items()}

    def drawn(self, root: bytes) -> int:
        """Return the place of a customer's variant."""
        drawn = self._unit(root) * self._bounds[-1]
        return min(bisect_right(self._bounds, drawn), len(self._bounds) - 1)

    def told(self, place: int, *, counts: bool) -> InVariant:
        return self._variants[place] if counts else self._variants[place]._replace(counts=False)

    def chosen(self, policy: Policy[Any], features: Callable[[], NDArray[np.float32]]) -> tuple[int, InVariant]:
        """Return the place of the variant that a policy chooses for this answer, and the choice."""
        context = features() if isinstance(policy.config, LinearConfig) else None
        place, propensity = policy.pull(context, random())  # noqa: S311 - no secret
        known = () if context is None else tuple(context.tolist())
        return place, self._variants[place]._replace(propensity=propensity, features=known)


class _Layer:
    """The running experiments of one layer, by place."""

    def __init__(self, name: str, arms: Sequence[_Arms]) -> None:
        self.arms = arms
        self._unit = _Hasher(f"layer\0{name}")
        self._of_place: list[_Arms | None] = [None] * PLACES
        for each in arms:
            for place in each.experiment.places:
                self._of_place[place] = each

    def arms_on(self, context: Context, channel: Channel) -> Iterator[_Arms]:
        return (arms for arms in self.arms if arms.experiment.is_for(context, channel))

    def experiment_of(self, root: bytes) -> _Arms | None:
        return self._of_place[int(self._unit(root) * PLACES)]


class Assignment:
    """The experiments that run at one moment; any thread may ask.

    `policies` choose for those that are bandits, by name. Who is among the first `holdout` percent by a hash of its own
    takes part in none.
    """

    def __init__(
        self,
        experiments: Iterable[Experiment] = (),
        strategies: Mapping[str, Strategy] | None = None,
        holdout: float = 0.0,
        policies: Mapping[str, Policy[Any]] | None = None,
    ) -> None:
        named = {DEFAULT: Strategy(), **(strategies or {})}
        learned, by_layer = policies or {}, defaultdict(list)
        for experiment in experiments:
            by_layer[experiment.layer].append(_Arms(experiment, named, learned.get(experiment.name)))
        self._layers = [_Layer(name, arms) for name, arms in sorted(by_layer.items())]
        self._testers = frozenset(
            tester for layer in self._layers for arms in layer.arms for tester in arms.experiment.testers
        )
        self._holdout = holdout / 100
        self._held_out = _Hasher(_HOLDOUT)
        self._joined: dict[tuple[Strategy, ...], Strategy] = {}
        self.is_idle = not self._layers

    def rules_wishes(self) -> frozenset[RulesWish]:
        """Return what somebody's answers may want of the shop's rules: one variant of each layer, or none, at once."""
        wishes: set[RulesWish] = set()
        for page in product(Context, Channel):
            of_layers = [
                {RulesWish(), *(strategy.rules for arms in layer.arms_on(*page) for strategy in arms.strategies)}
                for layer in self._layers
            ]
            wishes.update(reduce(RulesWish.with_other, chosen, RulesWish()) for chosen in product(*of_layers))
        return frozenset(wishes)

    def assigned(
        self,
        who: tuple[str, str],
        page: tuple[Context, Channel],
        state: Callable[[], State | None],
        features: Callable[[], NDArray[np.float32]] | None = None,
    ) -> Assigned:
        """Return by what a customer is answered on a page.

        `who` is the id that was asked about and the one that was known first, `state` finds the customer's state where
        an experiment wants to know it, and `features` what a bandit is told of the request.
        """
        customer_id, root = who
        key = root.encode()
        if customer_id in self._testers:
            return self._tested(customer_id, page)
        if self._holdout and self._held_out(key) < self._holdout:
            return NOT_ASSIGNED
        variants, chosen = [], []
        for layer in self._layers:
            arms = layer.experiment_of(key)
            if arms is None or not arms.experiment.is_for(*page):
                continue
            experiment = arms.experiment
            if (experiment.min_acts or experiment.min_purchases) and not experiment.admits(state()):
                continue
            if arms.policy is not None and features is not None:
                place, told = arms.chosen(arms.policy, features)
            else:
                place = arms.drawn(key)
                told = arms.told(place, counts=experiment.bandit is None)
            variants.append(told)
            chosen.append(arms.strategies[place])
        return Assigned(self._strategy(tuple(chosen)), tuple(variants)) if variants else NOT_ASSIGNED

    def _tested(self, customer_id: str, page: tuple[Context, Channel]) -> Assigned:
        """Return what a tester gets: the variants that were written down for them, and no others."""
        variants, chosen = [], []
        for layer in self._layers:
            for arms in layer.arms:
                place = arms.testers.get(customer_id)
                if place is not None and arms.experiment.is_for(*page):
                    variants.append(arms.told(place, counts=False))
                    chosen.append(arms.strategies[place])
        return Assigned(self._strategy(tuple(chosen)), tuple(variants)) if variants else NOT_ASSIGNED

    def _strategy(self, chosen: tuple[Strategy, ...]) -> Strategy:
        strategy = self._joined.get(chosen)
        if strategy is None:
            strategy = self._joined[chosen] = joined(chosen)
        return strategy
