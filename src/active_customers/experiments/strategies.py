"""Strategies: named ways to make an answer, each said as what differs from what is set for the shop."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from typing import Any, NamedTuple, Self

from active_customers.catalog.rules import PageWish
from active_customers.models.hybrid_model import RELATIONS

DEFAULT = "default"
"""The strategy of which nothing differs."""

SESSIONS = "sessions"
SOURCES = (SESSIONS, *RELATIONS)
"""What proposes products: near sessions, and the relations between products."""


class RankingWish(NamedTuple):
    """How products are proposed and put in order; None leaves it as it is set for the shop.

    Without any of `sources` only what is popular is shown. `live` says whether the live index is asked, `ranker`
    whether trees rank or the first guess, `setting` is one of `models.hybrid_model.SETTINGS`, `context` says whether
    the hour and the channel count.
    """

    sources: tuple[str, ...] | None = None
    live: bool | None = None
    ranker: str | None = None
    setting: str | None = None
    context: bool | None = None


class RulesWish(NamedTuple):
    """Which of the shop's rules do not count, and how a page is made up; None leaves that to the rules."""

    without_rules: tuple[str, ...] = ()
    page: PageWish = PageWish()

    def with_other(self, other: RulesWish) -> RulesWish:
        """Return what both want; of how a page is made up, `other` has the word where it says something."""
        mine, theirs = ({name: getattr(wish.page, name) for name in PageWish.__slots__} for wish in (self, other))
        page = PageWish(**{name: mine[name] if theirs[name] is None else theirs[name] for name in mine})
        return RulesWish(tuple(sorted({*self.without_rules, *other.without_rules})), page)


class Strategy(NamedTuple):
    """A way to make an answer. Hashable: what is made for it once is kept by it."""

    name: str = DEFAULT
    ranking: RankingWish = RankingWish()
    rules: RulesWish = RulesWish()

    def wishes(self) -> frozenset[str]:
        """Return the names of what differs from what is set for the shop."""
        page = {name: getattr(self.rules.page, name) for name in PageWish.__slots__}
        told: dict[str, Any] = {**self.ranking._asdict(), **page, "without_rules": self.rules.without_rules or None}
        return frozenset(name for name, value in told.items() if value is not None)

    def with_other(self, other: Self) -> Strategy:
        """Return a strategy that differs in what either does; where both do, `other` has the word."""
        if not other.wishes():
            return self
        if not self.wishes():
            return other
        ranking = {name: value for name, value in other.ranking._asdict().items() if value is not None}
        name = f"{self.name}+{other.name}"
        return Strategy(name, self.ranking._replace(**ranking), self.rules.with_other(other.rules))


def joined(strategies: Iterable[Strategy]) -> Strategy:
    """Return the strategy that differs in what any of these does.

    >>> best = Strategy("best", RankingWish(setting="best"))
    >>> joined([best, Strategy("calm", RankingWish(context=False))]).name
    'best+calm'
    >>> joined([Strategy(), best]) is best
    True
    """
    return reduce(Strategy.with_other, strategies, Strategy())
