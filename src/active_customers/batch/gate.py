"""The gate: a new version that answers worse than the one in force is not published.

Both are asked which product a customer acts on next (goal `next`), in sessions that neither has seen: they began after
the version in force was trained, and the new recipe is fitted without them for the purpose. Both answer as the service
does, but without the live index. What is answered for carts, purchases, the next visit and what is new is not compared;
that each of these answers is sane is checked (`daily_refresh.check`). Where there is too little to compare, the new
version is published (`Outcome.NOT_COMPARED`), but for one that would replace a version that was gone back to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from active_customers.batch.held_out import HeldOut, HoldOutConfig, hold_out
from active_customers.batch.history import History
from active_customers.evaluation.metrics import Interval, coverage, first_ranks, gains, intervals
from active_customers.evaluation.replay import Answers, question_of_session
from active_customers.evaluation.task import Predictions
from active_customers.realtime.session_recommender import SessionRecommender

LENGTH = 20
"""Products that an answer has."""


class GateConfig(HoldOutConfig):
    """When a refresh is refused because the new models are worse; it then keeps the version in force."""

    enabled: bool = True
    """Whether the new models are compared with those in force; it takes a second fit."""
    worst_quality_ratio: Annotated[float, Field(ge=0, le=1)] = 0.95
    """Refused below this share of HR@20 or MRR@20, where all of the difference's 95 % interval is below 0, too."""
    worst_coverage_ratio: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Refused below this share of the products that stand in any answer."""
    worst_latency_ratio: Annotated[float, Field(ge=1)] = 3.0
    """Refused above so many times the median time of an answer, where that is above `slow_microseconds`, too."""
    slow_microseconds: Annotated[float, Field(ge=0)] = 1_000.0
    """Median time of an answer up to which nobody minds how it has grown."""


class Outcome(StrEnum):
    """What the gate came to."""

    PASSED = "passed"
    WORSE = "worse"
    NOT_COMPARED = "not_compared"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Change:
    """A figure of the version in force and of the new one; `interval` is that of the difference, new - old."""

    old: float
    new: float
    interval: Interval | None = None

    @property
    def ratio(self) -> float:
        """New / old; 1 where both are nothing."""
        if self.old == 0:
            return 1.0 if self.new == 0 else float("inf")
        return self.new / self.old


@dataclass(frozen=True, slots=True)
class Comparison:
    """What both versions reached on the same questions."""

    questions: int
    sessions: int
    hr: Change
    mrr: Change
    coverage: Change
    microseconds: Change
    """Median of the time that an answer took."""

    @property
    def quality_ratio(self) -> float:
        """The worse of both ratios of quality."""
        return min(self.hr.ratio, self.mrr.ratio)

    def line(self) -> str:
        """Return it for people."""
        return (
            f"{self.questions:,} questions: HR@20 {_shown(self.hr)}, MRR@20 {_shown(self.mrr)}, coverage "
            f"{self.coverage.new:.3f} (was {self.coverage.old:.3f}), {self.microseconds.new:.0f} us an answer "
            f"(was {self.microseconds.old:.0f})"
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate came to, and why."""

    outcome: Outcome
    compared_with: str | None = None
    reasons: tuple[str, ...] = ()
    figures: Comparison | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        ratio = self.figures.quality_ratio if self.figures else None
        return asdict(self) | {"outcome": self.outcome.value, "quality_ratio": ratio, "line": self.line()}

    def line(self) -> str:
        """Return it for people."""
        why = f": {'; '.join(self.reasons)}" if self.reasons else ""
        against = f"; against {self.compared_with} on {self.figures.line()}" if self.figures else ""
        return f"{self.outcome.value.replace('_', ' ')}{why}{against}"


Recipe = Callable[[NDArray[np.bool_]], SessionRecommender]
"""Returns what answers when models have been fitted to some rows of the history."""


def judge(history: History, config: GateConfig, compared_with: str, recipes: tuple[Recipe, Recipe]) -> Verdict:
    """Compare an old recipe with a new one on unseen sessions, which both are fitted without."""
    held = hold_out(history, config)
    if len(held.sessions) < config.least_questions:
        asked = f"{len(held.sessions):,} questions in {held.log.n_sessions:,} new sessions"
        return Verdict(Outcome.NOT_COMPARED, compared_with, (f"{asked}, {config.least_questions:,} needed",))
    old, new = (recipe(~held.rows) for recipe in recipes)
    comparison = compare(old, new, held)
    reasons = tuple(objections(comparison, config))
    return Verdict(Outcome.WORSE if reasons else Outcome.PASSED, compared_with, reasons, comparison)


def objections(comparison: Comparison, config: GateConfig) -> list[str]:
    """Return what speaks against the new version; empty for one that may be published."""
    found = []
    for name, change in (("HR@20", comparison.hr), ("MRR@20", comparison.mrr)):
        if change.ratio < config.worst_quality_ratio and change.interval is not None and change.interval[1] < 0:
            found.append(f"{name} falls to {change.ratio:.0%}")
    if comparison.coverage.ratio < config.worst_coverage_ratio:
        found.append(f"coverage falls to {comparison.coverage.ratio:.0%}")
    slow = comparison.microseconds
    if slow.ratio > config.worst_latency_ratio and slow.new > config.slow_microseconds:
        found.append(f"an answer takes {slow.ratio:.1f} times as long")
    return found


def compare(old: SessionRecommender, new: SessionRecommender, held: HeldOut) -> Comparison:
    """Ask both every question, in turn, so that what else the machine does slows both."""
    targets = held.log.products[held.log.offsets[held.sessions] + held.lengths]
    answers = _answers((old, new), held)
    before, after = (gains(first_ranks(answer.products == targets[:, None])) for answer in answers)
    doubt = intervals({name: after[name] - before[name] for name in after}, held.sessions, np.random.default_rng(0))
    changes = {name: Change(float(before[name].mean()), float(after[name].mean()), doubt[name]) for name in after}
    shown_before, shown_after = (coverage(answer.products, held.log.n_products) for answer in answers)
    shown = Change(shown_before, shown_after)
    spent = Change(answers[0].microseconds, answers[1].microseconds)
    n_sessions = len(np.unique(held.sessions))
    return Comparison(len(targets), n_sessions, changes["hr"], changes["mrr"], shown, spent)


def _answers(recommenders: tuple[SessionRecommender, ...], held: HeldOut) -> list[Predictions]:
    """Return what each answers; the time of a question is the median, after one untimed question."""
    n = len(held.sessions)
    answers = [Answers(recommender, n, LENGTH) for recommender in recommenders]
    for row in (0, *range(n)):
        question = question_of_session(held.log, int(held.sessions[row]), int(held.lengths[row]), LENGTH)
        for each in answers:
            each.ask(row, *question)
    return [each.predictions(np.median) for each in answers]


def _shown(change: Change) -> str:
    low, high = change.interval or (0.0, 0.0)
    return f"{change.new:.4f} (was {change.old:.4f}, difference {low:+.4f} to {high:+.4f})"
