"""What a test proves so far: how far each variant is from the control, how sure that is, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field

from active_customers.core.config import Config
from active_customers.core.errors import InvalidValueError
from active_customers.experiments.definition import Experiment
from active_customers.experiments.estimators import (
    Counted,
    Difference,
    difference,
    fixed_interval,
    fixed_p,
    holm,
    relative,
)
from active_customers.experiments.experiment_report import (
    BETTER,
    HARMED,
    NOT_TRUSTED,
    UNHARMED,
    UNKNOWN,
    WORSE,
    Effect,
    ExperimentReport,
    GuardrailReport,
    Ranges,
    SampleRatio,
)
from active_customers.experiments.measures import UNSUBSCRIBES, Measure, figures_of, measures_of
from active_customers.experiments.outcomes import Outcomes
from active_customers.experiments.sequential import (
    always_valid_p,
    ratio_always_valid_p,
    ratio_p,
    sequential_interval,
)


class AnalysisConfig(Config):
    """How results of tests are read."""

    primary: Literal[
        "click_through",
        "add_to_cart_rate",
        "conversion_rate",
        "revenue_per_customer",
        "revenue_per_customer_capped",
        "margin_per_customer",
    ] = "revenue_per_customer"
    """The figure that a test is decided by. Choose it before the test starts; the others explain it."""
    level: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    """The share of tests without any effect that may be told to have one. Intervals hold the truth in all but these."""
    planned_customers: Annotated[int, Field(ge=100)] = 20_000
    """Customers of a variant and the control together at which intervals are narrowest; they hold at any number.
    Take what the plan says, before the test starts."""
    winsorise_at: Annotated[float, Field(gt=0.5, le=1)] = 0.99
    """Capped revenue counts no customer for more than this quantile of what buyers spent."""
    sample_ratio_level: Annotated[float, Field(gt=0, lt=0.5)] = 0.01
    """The share of sound tests whose sample ratio may be told to be wrong."""
    most_lost: Annotated[float, Field(ge=0, lt=1)] = 0.001
    """The share of exposures that may be lost before the report warns of it."""


class Guardrail(NamedTuple):
    """Something that must not rise, counted by variant's name: a mean, such as an answer's milliseconds, or a share.

    A variant does harm when it is surely above the control by more than a share `tolerance` of that.
    """

    name: str
    counted: Mapping[str, Counted]
    tolerance: float = 0.0


class Watched(NamedTuple):
    """What the log does not tell of a test: what must not rise, and how many exposures were lost on their way to it."""

    guardrails: Sequence[Guardrail] = ()
    n_lost: int = 0


def analyse(
    experiment: Experiment, outcomes: Outcomes, config: AnalysisConfig, watched: Watched | None = None
) -> ExperimentReport:
    """Return what a test proves; a variant with fewer than two customers has no effect yet.

    Raises `InvalidValueError` when a guardrail counts a variant that there is not, or not the control.
    """
    return _Analysis(experiment, outcomes, config).report(watched or Watched())


class _Analysis:
    """One report in the making."""

    def __init__(self, experiment: Experiment, outcomes: Outcomes, config: AnalysisConfig) -> None:
        self._experiment = experiment
        self._outcomes = outcomes
        self._config = config
        places = np.bincount(outcomes.assignments.variant, minlength=len(experiment.variants))
        self._customers = [int(count) for count in places]

    def report(self, watched: Watched) -> ExperimentReport:
        """Return all of it."""
        experiment, outcomes, ratio = self._experiment, self._outcomes, self._sample_ratio()
        n_lost = watched.n_lost + self._outcomes.n_lost
        lost = n_lost / max(n_lost + sum(self._customers), 1)
        return ExperimentReport(
            experiment=experiment.name,
            version=experiment.version,
            control=experiment.control,
            as_of=outcomes.as_of,
            level=self._config.level,
            primary=self._config.primary,
            customers=dict(zip(experiment.names, self._customers, strict=True)),
            sample_ratio=ratio,
            effects=list(self._effects(ratio)),
            guardrails=self._guarded([self._unsubscribes(), *watched.guardrails]),
            lost_share=lost,
            is_much_lost=lost > self._config.most_lost,
            left_out={
                "n_merged_out": outcomes.assignments.n_merged_out,
                "n_passed_over": outcomes.assignments.n_passed_over,
                "n_invalid_exposures": outcomes.assignments.n_invalid,
                **outcomes.left_out,
            },
            currency=outcomes.currency,
            has_impressions=outcomes.has_impressions,
        )

    def _sample_ratio(self) -> SampleRatio:
        shares = self._experiment.shares
        met = list(self._outcomes.assignments.n_first) or self._customers
        p = ratio_always_valid_p(met, shares)
        return SampleRatio(
            expected=dict(zip(self._experiment.names, shares, strict=True)),
            p=ratio_p(met, shares),
            always_valid_p=p,
            is_wrong=p < self._config.sample_ratio_level,
        )

    def _pairs(self) -> Iterator[tuple[int, int]]:
        """Yield the places of each variant that can be compared and of the control."""
        control = self._experiment.control_place
        for place, count in enumerate(self._customers):
            if place != control and min(count, self._customers[control]) > 1:
                yield place, control

    def _effects(self, ratio: SampleRatio) -> Iterator[Effect]:
        for measure in measures_of(self._outcomes):
            effects = [effect for pair in self._pairs() if (effect := self._effect(measure, pair))]
            for effect, p in zip(effects, holm([effect.always_valid_p for effect in effects]), strict=True):
                yield effect.corrected(p, NOT_TRUSTED if ratio.is_wrong else self._decision(effect.effect, p))

    def _decision(self, effect: float, p: float) -> str:
        if p >= self._config.level:
            return UNKNOWN
        return BETTER if effect > 0 else WORSE

    def _effect(self, measure: Measure, pair: tuple[int, int]) -> Effect | None:
        """Return how far a variant is from the control; None where nothing was answered."""
        figures = figures_of(measure, self._outcomes, pair, self._config.winsorise_at)
        ours, theirs = figures.plain
        if np.isnan(ours.value) or np.isnan(theirs.value):
            return None
        found, share = difference(*figures.adjusted), relative(*figures.adjusted)
        plain = difference(ours, theirs)
        return Effect(
            measure=measure.name,
            variant=self._experiment.names[pair[0]],
            value=ours.value,
            control=theirs.value,
            effect=found.effect,
            ranges=self._ranges(found),
            relative_effect=None if share is None else share.effect,
            relative_ranges=None if share is None else self._ranges(share),
            p=fixed_p(found),
            always_valid_p=always_valid_p(found, self._config.planned_customers),
            variance_saved=1 - found.variance / plain.variance if plain.variance > 0 else 0.0,
            cap=figures.cap,
        )

    def _ranges(self, found: Difference) -> Ranges:
        level = self._config.level
        return Ranges(fixed_interval(found, level), sequential_interval(found, self._config.planned_customers, level))

    def _unsubscribes(self) -> Guardrail:
        """Return the guardrail that the log itself tells."""
        counted = {}
        for place, name in enumerate(self._experiment.names):
            values = self._outcomes.of_variant(UNSUBSCRIBES.column, place)
            counted[name] = Counted.of_share(int(values.sum()), len(values))
        return Guardrail(UNSUBSCRIBES.name, counted)

    def _guarded(self, guardrails: Sequence[Guardrail]) -> list[GuardrailReport]:
        """Return each guardrail of each variant; all of them together raise a false alarm at the level."""
        for guardrail in guardrails:
            self._check(guardrail)
        rows = [
            (guardrail, name)
            for guardrail in guardrails
            for name in guardrail.counted
            if name != self._experiment.control and guardrail.counted[name].n > 1
        ]
        return [self._guardrail(guardrail, name, self._config.level / len(rows)) for guardrail, name in rows]

    def _check(self, guardrail: Guardrail) -> None:
        names, field = self._experiment.names, f"guardrails.{guardrail.name}"
        for name in guardrail.counted:
            if name not in names:
                raise InvalidValueError(field, name, f"count variants of the experiment: {', '.join(names)}")
        if self._experiment.control not in guardrail.counted:
            raise InvalidValueError(field, sorted(guardrail.counted), "count the control too")

    def _guardrail(self, guardrail: Guardrail, name: str, level: float) -> GuardrailReport:
        ours, theirs = guardrail.counted[name], guardrail.counted[self._experiment.control]
        allowed = 1 + guardrail.tolerance
        most = Counted(theirs.value * allowed, theirs.spread * allowed**2, theirs.n)
        found = difference(ours, most)
        interval = sequential_interval(found, self._config.planned_customers, level)
        is_harmed = theirs.n > 1 and interval.low > 0
        return GuardrailReport(
            name=guardrail.name,
            variant=name,
            value=ours.value,
            control=theirs.value,
            tolerance=guardrail.tolerance,
            excess=found.effect,
            interval=interval,
            is_harmed=is_harmed,
            verdict=HARMED if is_harmed else UNHARMED,
        )
