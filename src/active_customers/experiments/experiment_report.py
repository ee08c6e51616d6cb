"""What a test proves, as plain values: for JSON, and for people in `report_text`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

from active_customers.core.clock import format_time
from active_customers.experiments.estimators import Interval

UNKNOWN, BETTER, WORSE = "not yet known", "better", "worse"
NOT_TRUSTED = "not to be trusted"
"""Decisions."""
HARMED, UNHARMED = "harmed", "no harm known"
"""Verdicts of guardrails."""


class Ranges(NamedTuple):
    """Intervals of an effect: one that holds if the test is looked at once, and one that holds at every look."""

    fixed: Interval
    sequential: Interval

    def as_dict(self) -> dict[str, list[float]]:
        """Return them for JSON."""
        return {"interval": list(self.fixed), "sequential_interval": list(self.sequential)}


@dataclass(frozen=True, slots=True)
class SampleRatio:
    """Whether the variants have the shares of customers that they were to have (by name)."""

    expected: Mapping[str, float]
    p: float
    always_valid_p: float
    is_wrong: bool

    @property
    def sentence(self) -> str:
        """What it means."""
        if self.is_wrong:
            return f"sample ratio is wrong: p={self.always_valid_p:.2g}; results are not to be trusted"
        return f"sample ratio is right: p={self.p:.2g}"

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "expected": dict(self.expected),
            "p": self.p,
            "always_valid_p": self.always_valid_p,
            "is_wrong": self.is_wrong,
            "sentence": self.sentence,
        }


@dataclass(frozen=True, slots=True)
class Effect:
    """How far a variant is from the control by one measure.

    `value` and `control` are as counted; `effect` and its intervals leave out what customers' past explains, which
    saves a share `variance_saved` of the noise. Relative ones are shares of the control's figure, None where that is 0.
    `p_corrected` is `always_valid_p` corrected for the number of variants: what the decision goes by.
    """

    measure: str
    variant: str
    value: float
    control: float
    effect: float
    ranges: Ranges
    relative_effect: float | None
    relative_ranges: Ranges | None
    p: float
    always_valid_p: float
    variance_saved: float
    cap: float | None = None
    p_corrected: float = 1.0
    decision: str = UNKNOWN

    def corrected(self, p: float, decision: str) -> Self:
        """Return the same with the corrected p-value and what follows from it."""
        return replace(self, p_corrected=p, decision=decision)

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        about = None
        if self.relative_effect is not None and self.relative_ranges is not None:
            about = {"effect": self.relative_effect, **self.relative_ranges.as_dict()}
        return {
            "measure": self.measure,
            "variant": self.variant,
            "value": self.value,
            "control": self.control,
            "effect": self.effect,
            **self.ranges.as_dict(),
            "relative": about,
            "p": self.p,
            "always_valid_p": self.always_valid_p,
            "p_corrected": self.p_corrected,
            "decision": self.decision,
            "variance_saved": self.variance_saved,
            **({} if self.cap is None else {"cap": self.cap}),
        }


@dataclass(frozen=True, slots=True)
class GuardrailReport:
    """Whether a variant raised what must not rise: `excess` is what it is above the control and the tolerance."""

    name: str
    variant: str
    value: float
    control: float
    tolerance: float
    excess: float
    interval: Interval
    is_harmed: bool
    verdict: str

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON; the interval holds at every look."""
        return {
            "name": self.name,
            "variant": self.variant,
            "value": self.value,
            "control": self.control,
            "tolerance": self.tolerance,
            "excess": self.excess,
            "sequential_interval": list(self.interval),
            "is_harmed": self.is_harmed,
            "verdict": self.verdict,
        }


@dataclass(frozen=True, slots=True)
class ExperimentReport:
    """All that is known of a test at a time (microseconds)."""

    experiment: str
    version: int
    control: str
    as_of: int
    level: float
    primary: str
    customers: Mapping[str, int]
    sample_ratio: SampleRatio
    effects: Sequence[Effect]
    guardrails: Sequence[GuardrailReport]
    left_out: Mapping[str, int]
    lost_share: float
    is_much_lost: bool
    currency: str | None
    has_impressions: bool

    @property
    def harms(self) -> list[GuardrailReport]:
        """The guardrails that were crossed."""
        return [guardrail for guardrail in self.guardrails if guardrail.is_harmed]

    @property
    def should_stop(self) -> list[str]:
        """The variants that do harm and are to be stopped at once, by name."""
        return sorted({guardrail.variant for guardrail in self.harms})

    def of_primary(self) -> list[Effect]:
        """Return the effects that the test is decided by, one for each variant that can be compared."""
        return [effect for effect in self.effects if effect.measure == self.primary]

    def as_dict(self) -> dict[str, Any]:
        """Return the report for JSON."""
        return {
            "experiment": self.experiment,
            "version": self.version,
            "control": self.control,
            "as_of": format_time(self.as_of),
            "level": self.level,
            "primary": self.primary,
            "decisions": {effect.variant: effect.decision for effect in self.of_primary()},
            "should_stop": self.should_stop,
            "customers": dict(self.customers),
            "sample_ratio": self.sample_ratio.as_dict(),
            "effects": [effect.as_dict() for effect in self.effects],
            "guardrails": [guardrail.as_dict() for guardrail in self.guardrails],
            "left_out": dict(self.left_out),
            "lost_share": self.lost_share,
            "is_much_lost": self.is_much_lost,
            "currency": self.currency,
            "has_impressions": self.has_impressions,
        }
