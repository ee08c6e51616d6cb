"""What an experiment is: what is compared, on whom, where and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from active_customers.core.errors import InvalidValueError, meant
from active_customers.core.event import Channel, Context
from active_customers.core.session import H_BOUGHT, H_EVENTS, State
from active_customers.experiments.bandits import AnyPolicyConfig
from active_customers.experiments.rewards import RewardsConfig
from active_customers.experiments.strategies import DEFAULT

MAX_VARIANTS = 8
"""Of one experiment: what the lower bits of a variant's code can tell apart."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One of the ways in which customers are answered; weights count against each other, in whatever unit."""

    name: str
    weight: float
    strategy: str = DEFAULT
    code: int = 0
    """What stands for this variant in `recommendation_id`; 0 where nothing does: then no click is known to be its."""


def code_of(number: int, place: int) -> int:
    """Return what stands for a variant, by its place, of the version with a number among those of all experiments."""
    return number * MAX_VARIANTS + place


class Bandit(NamedTuple):
    """How an experiment chooses anew for every answer, by what its variants have earned so far.

    `reward` is what a choice is to bring about: click, cart_add, purchase or revenue.
    """

    policy: AnyPolicyConfig
    reward: str
    waiting: RewardsConfig


@dataclass(frozen=True, slots=True)
class Experiment:
    """One version of a test: another version is another test, and their customers are not mixed.

    Times are microseconds since the epoch; it runs from `starts` until before `ends`, which is None while no end is
    set. `places` are those of its layer that it has (see `assignment`). Without contexts or channels it counts in all.
    Customers take part from `min_acts` acts and `min_purchases` products bought on. `testers` get a variant by id, and
    do not count. A `bandit` chooses for every answer instead of once for every customer.

    Raises `InvalidValueError` for fewer than two variants, equal names, weights that are not positive, a control that
    is no variant, and an end that is not after the start.

    >>> variants = (Variant("usual", 1, "hybrid"), Variant("bold", 1, "discover"))
    >>> test = Experiment("home", 1, variants, "usual", 0)
    >>> test.names, test.control_place, test.shares
    (('usual', 'bold'), 0, (0.5, 0.5))
    """

    name: str
    version: int
    variants: Sequence[Variant]
    control: str
    starts: int
    ends: int | None = None
    layer: str = "main"
    places: tuple[int, ...] = ()
    contexts: frozenset[Context] = frozenset()
    channels: frozenset[Channel] = frozenset()
    min_acts: int = 0
    min_purchases: int = 0
    testers: Mapping[str, str] = field(default_factory=dict)
    bandit: Bandit | None = None

    def __post_init__(self) -> None:
        names = self.names
        if len(names) < 2:
            raise InvalidValueError("variants", names, "name at least two")
        if len(set(names)) < len(names):
            raise InvalidValueError("variants", names, "give each a name of its own")
        for variant in self.variants:
            if not 0 < variant.weight < float("inf"):
                raise InvalidValueError(f"variants.{variant.name}.weight", variant.weight, "give a number above 0")
        if self.control not in names:
            raise InvalidValueError("control", self.control, meant(self.control, names))
        if self.ends is not None and self.ends < self.starts:
            raise InvalidValueError("ends", self.ends, "let it lie after starts")

    def is_running(self, now: int) -> bool:
        """Tell whether it runs at a time."""
        return self.starts <= now and (self.ends is None or now < self.ends)

    def is_for(self, context: Context, channel: Channel) -> bool:
        """Tell whether it counts on a page."""
        return (not self.contexts or context in self.contexts) and (not self.channels or channel in self.channels)

    def admits(self, state: State | None) -> bool:
        """Tell whether a customer takes part, by their state. Who once does, does from then on."""
        if state is None:
            return not (self.min_acts or self.min_purchases)
        return bool(state[H_EVENTS] >= self.min_acts and state[H_BOUGHT] >= self.min_purchases)

    @property
    def names(self) -> tuple[str, ...]:
        """The variants' names, in order."""
        return tuple(variant.name for variant in self.variants)

    @property
    def control_place(self) -> int:
        """Where the control stands among the variants."""
        return self.names.index(self.control)

    @property
    def shares(self) -> tuple[float, ...]:
        """The share of customers that each variant is to get, by weight."""
        total = sum(variant.weight for variant in self.variants)
        return tuple(variant.weight / total for variant in self.variants)
