"""Strategies as they are sent, written and read: checked by Pydantic, and the same in the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from active_customers.catalog.product_schema import Switch
from active_customers.catalog.rule_schema import Most, Name, read_named
from active_customers.catalog.rules import PageWish
from active_customers.core.errors import InvalidValueError
from active_customers.experiments.strategies import DEFAULT, RankingWish, RulesWish, Strategy

MAX_STRATEGIES = 100
"""Strategies of one shop."""

Description = Annotated[str, StringConstraints(max_length=1_000)]


class StrategyIn(BaseModel):
    """A way to make an answer: what differs from what is set for the shop. A field that is null is as set."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    name: Name | None = None
    """What it is called; where the address names it, it need not be repeated."""
    description: Description | None = None
    """What it is for, for people."""
    sources: (
        Annotated[list[Literal["sessions", "content", "linear", "after", "beside"]], Field(max_length=5)] | None
    ) = None
    """What proposes products: near sessions, and relations between products; an empty list for what is popular only."""
    live: Switch | None = None
    """Whether what happened since the models were trained is asked, too."""
    ranker: Literal["trees", "guess"] | None = None
    """What puts products in order: the trained trees, or the first guess that they start from: the best source."""
    setting: Literal["fast", "best"] | None = None
    """How much work goes into an answer (`models.hybrid.setting`)."""
    context: Switch | None = None
    """Whether the hour, the season and the channel count."""
    max_per_brand: Most | None = None
    """Products of one brand on a page, at most: a number from 1 on, or a share below 1."""
    max_per_category: Most | None = None
    """Products of one category on a page, at most: a number from 1 on, or a share below 1."""
    one_per_variant_group: Switch | None = None
    """Whether one of a product's sizes and colours is enough."""
    diversity: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, strict=True)] | None = None
    """How much being alike to what stands above counts against a product: 0 (not at all) to 1."""
    without_rules: Annotated[list[Name], Field(max_length=100)] | None = None
    """Rules of the shop, by name, that do not count."""

    @classmethod
    def read(cls, sent: object, at: str = "", name: str | None = None) -> Self:
        """Return what was sent as a strategy that can be used.

        Raises `InvalidValueError` naming the field below `at`; `name` is what the address calls it.
        """
        strategy = read_named(cls, sent, at, name)
        if strategy.name == DEFAULT:
            raise InvalidValueError(f"{at}name", DEFAULT, "that is what is set for the shop: choose another name")
        strategy._check(at)
        return strategy

    def _check(self, at: str) -> None:
        """Raise `InvalidValueError` where fields do not go together, or nothing differs."""
        if self.sources == []:
            for field in ("live", "ranker", "setting"):
                if getattr(self, field) is not None:
                    remedy = "leave it out: without sources nothing is ranked, what is popular is shown"
                    raise InvalidValueError(f"{at}{field}", getattr(self, field), remedy)
        if not self.strategy().wishes():
            remedy = f"say what is to differ, or use the strategy {DEFAULT!r}, which is what is set for the shop"
            raise InvalidValueError(f"{at}{self.name}", None, remedy)

    def strategy(self) -> Strategy:
        """Return it as what answers are made by."""
        sources = None if self.sources is None else tuple(sorted(set(self.sources)))
        page = PageWish(self.max_per_brand, self.max_per_category, self.one_per_variant_group, self.diversity)
        return Strategy(
            self.name or "",
            RankingWish(sources, self.live, self.ranker, self.setting, self.context),
            RulesWish(tuple(sorted(set(self.without_rules or ()))), page),
        )

    def record(self) -> dict[str, Any]:
        """Return the fields that are set, as JSON has them."""
        return self.model_dump(exclude_none=True)
