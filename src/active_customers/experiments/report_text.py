"""A report for people: what to believe first, then the table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from active_customers.core.clock import SECOND, format_time
from active_customers.experiments.estimators import Interval
from active_customers.experiments.experiment_report import BETTER, UNKNOWN, WORSE, Effect, ExperimentReport
from active_customers.experiments.measures import MEASURES

_MONEY = {measure.name for measure in MEASURES if measure.is_money}
_LEFT_OUT = {
    "n_merged_out": "met two variants before a login joined them",
    "n_passed_over": "erased, robots, or without consent",
    "n_invalid_exposures": "exposures of no known variant, or outside the test's time",
    "n_forged_tokens": "tokens that are not ours",
    "n_of_other_variants": "acts on answers of another variant",
    "n_other_currency": "purchases in another currency",
    "n_without_price": "purchases without a price",
    "n_refunds_unmatched": "refunds of no order that is known here",
}


def lines_of(report: ExperimentReport) -> Iterator[str]:
    """Yield the lines of a report."""
    yield f"{report.experiment}, version {report.version}, until {format_time(report.as_of // SECOND * SECOND)}"
    yield f"customers: {', '.join(f'{name} {count:,}' for name, count in report.customers.items())}"
    if not any(report.customers.values()):
        yield "nobody was answered by it yet"
        return
    yield report.sample_ratio.sentence
    yield from (f"{name}: STOP, {_harm(report, name)}" for name in report.should_stop)
    yield from map(_conclusion, report.of_primary())
    if not report.of_primary():
        yield f"{report.primary}: nothing to compare yet"
    yield ""
    yield from aligned([_HEAD, *(_row(effect) for effect in report.effects)])
    if report.guardrails:
        yield ""
        guarded = [
            (guarded.name, guarded.variant, f"{guarded.value:.4g}", f"{guarded.control:.4g}", guarded.verdict)
            for guarded in report.guardrails
        ]
        yield from aligned([("guardrail", "variant", "value", "control", ""), *guarded])
    yield from _asides(report)


_HEAD = ("measure", "variant", "value", "control", "effect", "at any look", "looked at once", "p", "")


def _row(effect: Effect) -> tuple[str, ...]:
    about, ranges = effect.relative_effect, effect.relative_ranges
    shown = ("", "", "")
    if about is not None and ranges is not None:
        shown = (f"{about:+.1%}", _range(ranges.sequential), _range(ranges.fixed))
    values = (_figure(effect.measure, effect.value), _figure(effect.measure, effect.control))
    return (effect.measure, effect.variant, *values, *shown, f"{effect.p_corrected:.2g}", effect.decision)


def _figure(measure: str, value: float) -> str:
    return f"{value:,.2f}" if measure in _MONEY else f"{value:.2%}"


def _range(interval: Interval) -> str:
    if interval.low == interval.high:  # nothing varies, so nothing is known of how much it would
        return "not known"
    return f"{max(interval.low, -1.0):+.1%} to {interval.high:+.1%}"  # nothing falls by more than all


def _conclusion(effect: Effect) -> str:
    if effect.decision not in {UNKNOWN, BETTER, WORSE} or effect.relative_ranges is None:
        return f"{effect.variant}: {effect.decision}"
    within = _range(effect.relative_ranges.sequential)
    return f"{effect.variant}: {effect.decision} by {effect.measure}, its effect lies within {within}"


def _harm(report: ExperimentReport, variant: str) -> str:
    return ", ".join(
        f"{harm.name} is {harm.value:.4g} instead of {harm.control:.4g}"
        for harm in report.harms
        if harm.variant == variant
    )


def _asides(report: ExperimentReport) -> Iterator[str]:
    """Yield what else a reader must know."""
    yield ""
    caps = {effect.cap for effect in report.effects if effect.cap is not None}
    yield from (f"capped revenue counts nobody for more than {cap:,.2f}" for cap in caps)
    if report.currency:
        yield f"money is in {report.currency}"
    if not report.has_impressions:
        yield "no impressions were posted: click-through is clicks for each customer"
    counts = [f"{count:,} {_LEFT_OUT.get(name, name)}" for name, count in report.left_out.items() if count]
    if counts:
        yield f"left out: {'; '.join(counts)}"
    if report.is_much_lost:
        yield f"{report.lost_share:.2%} of exposures were lost: results may be biased"


def aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Yield rows as lines whose columns stand below each other.

    >>> list(aligned([("a", "bb"), ("ccc", "d")]))
    ['a    bb', 'ccc  d']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
