"""Experiments as they are sent, written and read: checked by Pydantic, and the same in the OpenAPI document."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from math import isclose
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from active_customers.catalog.rule_schema import ChannelWord, ContextWord, Moment, Name, members, read_named
from active_customers.core.clock import format_time
from active_customers.core.errors import InvalidValueError
from active_customers.core.event import Channel, Context
from active_customers.experiments.bandits import AnyPolicyConfig
from active_customers.experiments.definition import MAX_VARIANTS, Bandit, Experiment, Variant, code_of
from active_customers.experiments.request_features import FEATURES
from active_customers.experiments.rewards import RewardsConfig
from active_customers.experiments.strategies import DEFAULT
from active_customers.experiments.strategy_schema import Description
from active_customers.realtime.schemas import Id

_log = logging.getLogger(__name__)

MAX_EXPERIMENTS = 1_000
"""Experiments of one shop, those that ended included."""
WHOLE = 100.0
"""What weights sum to, and the share of all customers: percent."""

Percent = Annotated[float, Field(gt=0, le=WHOLE, allow_inf_nan=False)]


class VariantIn(BaseModel):
    """One arm of an experiment."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    weight: Percent | None = None
    """Its share of the experiment's customers, in percent; those of all variants sum to 100. A bandit finds it out."""
    strategy: Name = DEFAULT
    """By which strategy its customers are answered; `default` is what is set for the shop."""


class BanditIn(BaseModel):
    """How variants are chosen anew for every answer, by what they earned so far."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    policy: Literal["thompson_beta", "thompson_gaussian", "ucb", "epsilon_greedy", "lin_ucb", "linear_thompson"] = (
        "thompson_beta"
    )
    """How it is chosen (docs/bandits.md); the linear ones go by the request: hour, channel, what the customer did."""
    reward: Literal["click", "cart_add", "purchase", "revenue"] = "click"
    """What an answer is to bring about, by its `recommendation_id`."""
    window_minutes: Annotated[float, Field(gt=0, le=7 * 24 * 60)] = 30.0
    """How long after an answer a reward is still its own."""
    explore: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of choices made evenly, so that every variant can be judged by the log; that of the policy if missing."""
    half_life_days: Annotated[float, Field(ge=0)] = 0.0
    """Days after which what was learned counts half; 0 never forgets."""
    reward_cap: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """For revenue, what a large order is worth: more counts as this."""

    def bandit(self, at: str = "") -> Bandit:
        """Return it as what chooses; raises `InvalidValueError` where fields do not go together."""
        is_money = self.reward == "revenue"
        if is_money != (self.reward_cap is not None):
            remedy = "say what a large order is worth" if is_money else "leave it out: it is for revenue"
            raise InvalidValueError(f"{at}reward_cap", self.reward_cap, remedy)
        if is_money and self.policy in ("thompson_beta", "ucb"):
            remedy = "it is for what happens or does not: choose thompson_gaussian for revenue"
            raise InvalidValueError(f"{at}policy", self.policy, remedy)
        told: dict[str, Any] = {"policy": self.policy, "half_life_days": self.half_life_days}
        told |= {"explore": self.explore} if self.explore is not None else {}
        told |= {"reward_cap": self.reward_cap} if self.reward_cap is not None else {}
        told |= {"features": len(FEATURES)} if self.policy in ("lin_ucb", "linear_thompson") else {}
        policy: AnyPolicyConfig = _POLICIES.validate_python(told)
        return Bandit(policy, self.reward, RewardsConfig(window_minutes=self.window_minutes))


_POLICIES: TypeAdapter[AnyPolicyConfig] = TypeAdapter(AnyPolicyConfig)


class ExperimentIn(BaseModel):
    """What is compared, on whom, where and when. A field that is null is not set."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    name: Name | None = None
    """What it is called; where the address names it, it need not be repeated."""
    description: Description | None = None
    """What it is to find out, for people."""
    variants: Annotated[dict[Name, VariantIn], Field(min_length=2, max_length=MAX_VARIANTS)]
    """By name; each customer gets one, and keeps it."""
    control: Name = "control"
    """The variant that the others are compared with."""
    layer: Name = "main"
    """Experiments of one layer share no customer; those of different layers may, and have to change other things."""
    share: Percent = WHOLE
    """Percent of the layer's customers that take part; it may grow while the experiment runs."""
    contexts: list[ContextWord] | None = None
    """Where it counts; everywhere when it is missing."""
    channels: list[ChannelWord] | None = None
    """In which channels it counts; in all when it is missing."""
    min_acts: Annotated[int, Field(ge=0, le=40, strict=True)] = 0
    """Acts of a customer from which on they take part."""
    min_purchases: Annotated[int, Field(ge=0, le=500, strict=True)] = 0
    """Different products that a customer bought from which on they take part."""
    bandit: BanditIn | None = None
    """Instead of weights: variants are chosen anew for every answer, those that earn more the more often."""
    testers: Annotated[dict[Id, Name], Field(max_length=1_000)] | None = None
    """Customers who get a certain variant, wherever the experiment counts; they do not count in its results."""
    starts: Moment | None = None
    """From when on it runs; from now on when it is missing."""
    ends: Moment | None = None
    """Until when it runs, this moment not included; until somebody ends it when it is missing."""

    @classmethod
    def read(cls, sent: object, at: str = "", name: str | None = None) -> Self:
        """Return what was sent as an experiment that makes sense by itself.

        Raises `InvalidValueError` naming the field below `at`; `name` is what the address calls it.
        """
        experiment = read_named(cls, sent, at, name)
        experiment._check(at)
        return experiment

    def _check(self, at: str) -> None:
        """Raise `InvalidValueError` where fields do not go together."""
        self._check_weights(at)
        known = ", ".join(self.variants)
        if self.control not in self.variants:
            raise InvalidValueError(f"{at}control", self.control, f"name one of the variants: {known}")
        for customer, variant in (self.testers or {}).items():
            if variant not in self.variants:
                raise InvalidValueError(f"{at}testers.{customer}", variant, f"name one of the variants: {known}")
        if self.starts is not None and self.ends is not None and self.ends < self.starts:
            raise InvalidValueError(f"{at}ends", format_time(self.ends), "give a time after `starts`")
        members(Context, self.contexts, f"{at}contexts")
        members(Channel, self.channels, f"{at}channels")

    def _check_weights(self, at: str) -> None:
        if self.bandit is not None:
            self.bandit.bandit(f"{at}bandit.")
            for name, variant in self.variants.items():
                if variant.weight is not None:
                    remedy = "leave it out: the bandit finds it out"
                    raise InvalidValueError(f"{at}variants.{name}.weight", variant.weight, remedy)
            return
        for name, variant in self.variants.items():
            if variant.weight is None:
                remedy = "say its share of the customers, in percent; or let a `bandit` find it out"
                raise InvalidValueError(f"{at}variants.{name}.weight", None, remedy)
        total = sum(variant.weight or 0.0 for variant in self.variants.values())
        if not isclose(total, WHOLE, abs_tol=1e-6):
            said = ", ".join(f"{name} {variant.weight:g}" for name, variant in self.variants.items())
            raise InvalidValueError(f"{at}variants", said, f"weights sum to {total:g}: let them sum to 100")

    def record(self) -> dict[str, Any]:
        """Return the fields that are set, as JSON has them."""
        record = self.model_dump(exclude_none=True)
        for moment in ("starts", "ends"):
            if moment in record:
                record[moment] = format_time(record[moment])
        return record


def readable(records: Mapping[str, Mapping[str, Any]]) -> Iterator[Experiment]:
    """Yield the experiments behind records; what this version of the program cannot read is told of and left out."""
    for name, record in records.items():
        try:
            yield experiment_of(dict(record))
        except InvalidValueError as error:
            _log.error("experiment %s does not run: %s", name, error)


def experiment_of(record: dict[str, Any]) -> Experiment:
    """Return the experiment behind a stored record; raises `InvalidValueError` for one this version cannot read."""
    stored = dict(record)
    try:
        version, number, places = stored.pop("version"), stored.pop("number"), stored.pop("places")
    except KeyError as error:
        raise InvalidValueError(str(error.args[0]), None, "it is missing: store the experiment again") from error
    for told in ("changed", "stopped_because"):
        stored.pop(told, None)
    given = ExperimentIn.read(stored)
    return Experiment(
        name=given.name or "",
        version=version,
        variants=tuple(
            Variant(name, each.weight or WHOLE / len(given.variants), each.strategy, code_of(number, place))
            for place, (name, each) in enumerate(given.variants.items())
        ),
        control=given.control,
        layer=given.layer,
        places=tuple(place for first, end in places for place in range(first, end)),
        starts=given.starts or 0,
        ends=given.ends,
        contexts=frozenset(members(Context, given.contexts, "contexts")),
        channels=frozenset(members(Channel, given.channels, "channels")),
        min_acts=given.min_acts,
        min_purchases=given.min_purchases,
        testers=dict(given.testers or {}),
        bandit=None if given.bandit is None else given.bandit.bandit(),
    )
