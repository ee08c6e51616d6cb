"""Beside what an analysis of an experiment says, what is true of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.experiments.estimators import Interval, Sample, fixed_interval, mean_of, ratio_of, relative
from active_customers.experiments.experiment_report import Effect, ExperimentReport
from active_customers.experiments.report_text import aligned, lines_of

Floats = NDArray[np.float64]

REVENUE = "revenue_per_customer"
_CENT = 0.005
_HEAD = (
    "truth",
    "customers",
    "brought",
    "analysed as",
    "expected",
    "true effect",
    "at any look",
    "looked at once",
    "an answer",
)


class Counts(NamedTuple):
    """Of each customer of a variant, float64[n].

    What they brought, what they were to bring, and what their answers were worth, in EUR; the number of these.
    """

    brought: Floats
    expected: Floats
    worth: Floats
    answers: Floats


class VariantTruth(NamedTuple):
    """What is true of a variant, EUR per customer, and what the analysis says: None where it says nothing.

    `brought` is what customers brought, less refunds. `expected` is the price of all that they looked at, times the
    true chance that it was ordered: chance in orders is taken out of it, and so most of the noise. `effect` is how much
    more than of the control is expected, as a share. `answer` is what one answer was worth by `Truth`: that leaves out
    how often customers come, what they find by themselves and do later, and so tells strategies apart soonest.
    """

    brought: Sample
    expected: Sample
    counted: int
    analysed: float | None
    effect: Interval | None
    """From where to where it is known; the effect itself is the middle."""
    analysis: Effect | None
    answer: Sample
    answer_effect: Interval | None

    @property
    def true_effect(self) -> float | None:
        """The effect, as a share of what is expected of the control."""
        return None if self.effect is None else (self.effect.low + self.effect.high) / 2

    @property
    def is_counted_alike(self) -> bool:
        """Whether the analysis has the same customers and the same revenue, to the cent of each customer's mean."""
        is_same = self.analysed is None or abs(self.analysed - self.brought.value) < _CENT
        return is_same and self.counted == self.brought.n

    def holds(self, interval: Interval | None) -> bool | None:
        """Tell whether an interval of the analysis holds the true effect; None where either is not known."""
        if interval is None or self.true_effect is None:
            return None
        return interval.low <= self.true_effect <= interval.high

    @property
    def intervals(self) -> tuple[Interval | None, Interval | None]:
        """What the analysis says of the effect: at any look, and looked at once."""
        ranges = None if self.analysis is None else self.analysis.relative_ranges
        return (None, None) if ranges is None else (ranges.sequential, ranges.fixed)

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        at_any_look, once = self.intervals
        return {
            "customers": self.brought.n,
            "brought": self.brought.value,
            "brought_error": float(np.sqrt(self.brought.variance)),
            "expected": self.expected.value,
            "expected_error": float(np.sqrt(self.expected.variance)),
            "analysed_customers": self.counted,
            "analysed": self.analysed,
            "is_counted_alike": self.is_counted_alike,
            "true_effect": self.true_effect,
            "true_effect_interval": None if self.effect is None else list(self.effect),
            "answer": self.answer.value,
            "answer_error": float(np.sqrt(self.answer.variance)),
            "answer_effect_interval": None if self.answer_effect is None else list(self.answer_effect),
            "decision": None if self.analysis is None else self.analysis.decision,
            "sequential_interval": None if at_any_look is None else list(at_any_look),
            "sequential_interval_holds": self.holds(at_any_look),
            "interval": None if once is None else list(once),
            "interval_holds": self.holds(once),
        }

    def row(self, name: str) -> tuple[str, ...]:
        """Return it as a row of a table."""
        return (
            name,
            f"{self.brought.n:,}",
            _money(self.brought),
            "" if self.analysed is None else f"{self.analysed:.2f}",
            _money(self.expected),
            "" if self.true_effect is None else f"{self.true_effect:+.1%}",
            *(self._said(interval) for interval in self.intervals),
            f"{_money(self.answer, 3)}{'' if self.answer_effect is None else ', ' + _range(self.answer_effect)}",
        )

    def _said(self, interval: Interval | None) -> str:
        held = self.holds(interval)
        if interval is None or held is None:
            return ""
        return f"{_range(interval)} {'holds it' if held else 'misses it'}"


@dataclass(frozen=True, slots=True)
class Judged:
    """The analysis of an experiment, and the truth of each variant by name."""

    report: ExperimentReport
    truth: Mapping[str, VariantTruth]

    @classmethod
    def of(cls, report: ExperimentReport, counts: Mapping[str, Counts]) -> Judged:
        """Set an analysis beside what was counted; variants without customers are left out."""
        found = {name: counts[name] for name in report.customers if name in counts and len(counts[name].brought)}
        control = found.get(report.control)
        return cls(report, {name: _truth(report, name, counted, control) for name, counted in found.items()})

    @property
    def is_counted_alike(self) -> bool:
        """Whether the analysis has the same customers and revenue in all variants."""
        return all(truth.is_counted_alike for truth in self.truth.values())

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "analysis": self.report.as_dict(),
            "truth": {name: truth.as_dict() for name, truth in self.truth.items()},
            "is_counted_alike": self.is_counted_alike,
        }

    def lines(self) -> Iterator[str]:
        """Yield what the analysis says, then what is true."""
        yield ""
        yield from lines_of(self.report)
        yield ""
        yield from aligned([_HEAD, *(truth.row(name) for name, truth in self.truth.items())])
        if self.is_counted_alike:
            yield "the analysis has the customers and the revenue that the simulated shop counted, to the cent"
        else:
            yield "the analysis does NOT have the customers and the revenue that the simulated shop counted"


def _truth(report: ExperimentReport, name: str, counted: Counts, control: Counts | None) -> VariantTruth:
    effects = [effect for effect in report.effects if effect.measure == REVENUE]
    own = next((effect for effect in effects if effect.variant == name), None)
    control = None if name == report.control else control
    expected, answer = mean_of(counted.expected), ratio_of(counted.worth, counted.answers)
    apart = None if control is None else _apart(expected, mean_of(control.expected), report.level)
    return VariantTruth(
        brought=mean_of(counted.brought),
        expected=expected,
        answer=answer,
        answer_effect=None
        if control is None
        else _apart(answer, ratio_of(control.worth, control.answers), report.level),
        counted=report.customers[name],
        analysed=_analysed(effects, own, is_control=name == report.control),
        effect=apart,
        analysis=own,
    )


def _analysed(effects: Sequence[Effect], own: Effect | None, *, is_control: bool) -> float | None:
    """Return the revenue per customer of a variant by the analysis."""
    if is_control:
        return effects[0].control if effects else None
    return None if own is None else own.value


def _apart(figure: Sample, control: Sample, level: float) -> Interval | None:
    """Return how far a figure is above the control's, as a share of that; None where that is 0."""
    found = relative(figure, control)
    return None if found is None else fixed_interval(found, level)


def _money(figure: Sample, digits: int = 2) -> str:
    return f"{figure.value:.{digits}f} ± {1.96 * np.sqrt(figure.variance):.{digits}f}"


def _range(interval: Interval) -> str:
    return f"{interval.low:+.1%} to {interval.high:+.1%}"
