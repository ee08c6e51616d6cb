"""What variants are compared by, and how each figure comes from the outcomes of customers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from active_customers.experiments.estimators import Sample, Values, adjusted, cap_of, mean_of, ratio_of
from active_customers.experiments.outcomes import Outcomes


class Measure(NamedTuple):
    """A mean of a column over customers, or its sum over that of `below`.

    `before` is the column of the same from before exposure. A capped measure counts no customer for more than the cap.
    """

    name: str
    column: str
    below: str | None = None
    before: str | None = None
    is_capped: bool = False
    is_money: bool = False


MEASURES = (
    Measure("click_through", "clicks", below="answers"),
    Measure("add_to_cart_rate", "carted", before="carted_before"),
    Measure("conversion_rate", "bought", before="bought_before"),
    Measure("revenue_per_customer", "revenue", before="revenue_before", is_money=True),
    Measure("revenue_per_customer_capped", "revenue", before="revenue_before", is_capped=True, is_money=True),
    Measure("margin_per_customer", "margin", before="revenue_before", is_money=True),
)
"""More is better of each."""

UNSUBSCRIBES = Measure("unsubscribe_rate", "unsubscribed")
"""Less is better."""


class Figures(NamedTuple):
    """A measure of two variants: as it is, and without what the past says; `cap` only where values were capped."""

    plain: tuple[Sample, Sample]
    adjusted: tuple[Sample, Sample]
    cap: float | None = None


def measures_of(outcomes: Outcomes) -> Sequence[Measure]:
    """Return what can be said of outcomes: a margin only where costs are known."""
    return [measure for measure in MEASURES if measure.column != "margin" or outcomes.has_costs]


def figures_of(measure: Measure, outcomes: Outcomes, pair: tuple[int, int], quantile: float) -> Figures:
    """Return a measure of a variant and the control, by their places; values are capped at a quantile of all buyers'.

    The cap is one for all variants, so that they are compared by the same measure.
    """
    plain, cap = _samples(measure, measure.column, outcomes, (pair, quantile))
    if measure.before is None:
        return Figures(plain, plain, cap)
    past, _ = _samples(measure, measure.before, outcomes, (pair, quantile))
    return Figures(plain, adjusted(plain, past), cap)


def _samples(
    measure: Measure, column: str, outcomes: Outcomes, asked: tuple[tuple[int, int], float]
) -> tuple[tuple[Sample, Sample], float | None]:
    """Return a column of two variants as figures, and the cap if there is one."""
    (ours, theirs), quantile = asked
    cap = cap_of([outcomes.columns[column]], quantile) if measure.is_capped else np.inf

    def of(place: int) -> Sample:
        values: Values = np.minimum(outcomes.of_variant(column, place), cap)
        return ratio_of(values, outcomes.of_variant(measure.below, place)) if measure.below else mean_of(values)

    return (of(ours), of(theirs)), float(cap) if np.isfinite(cap) else None
