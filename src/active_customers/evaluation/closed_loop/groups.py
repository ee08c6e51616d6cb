"""Which customers were shown what, and what they brought since: the truth that an analysis of experiments must find."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.evaluation.closed_loop.report import GroupFigures

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

_NONE, _MIXED = -1, -2


class Figure(IntEnum):
    """What is counted for each customer."""

    ANSWERS = 0
    LOOKED = 1
    CLICKS = 2
    ORDERS = 3
    REVENUE = 4
    JUDGED = 5
    EXPECTED = 6
    BEST = 7


class Members(NamedTuple):
    """Who was shown what of an experiment.

    Shapes, for n customers: `variant` int64[n], its place among `names` (below 0: none, or several); `since` int64[n],
    when the first answer came (microseconds, -1: never).
    """

    names: list[str]
    variant: Integers
    since: Integers


class Groups:
    """Counts for each customer, and tells what those with the same variant of an experiment came to."""

    def __init__(self, n_customers: int) -> None:
        self._counts = np.zeros((len(Figure), n_customers))
        self._variants: dict[str, list[str]] = {}
        self._variant_of: dict[str, Integers] = {}
        self._since: dict[str, Integers] = {}
        self._before: dict[str, Floats] = {}
        """By experiment, what was counted for each customer before their first answer in it."""

    def add(self, figure: Figure, customers: Integers, amounts: Floats | float = 1.0) -> None:
        """Count something for customers, of whom any may be named more than once."""
        np.add.at(self._counts[figure], customers, amounts)

    def show(self, customer: int, variants: dict[str, str], now: int = 0) -> None:
        """Note, before it is counted, that a customer gets an answer of variants of experiments, and when."""
        for experiment, variant in variants.items():
            names = self._variants.setdefault(experiment, [])
            if variant not in names:
                names.append(variant)
            n = self._counts.shape[1]
            variant_of = self._variant_of.setdefault(experiment, np.full(n, _NONE, np.int64))
            before = self._before.setdefault(experiment, np.zeros_like(self._counts))
            known, shown = int(variant_of[customer]), names.index(variant)
            if known == _NONE:
                variant_of[customer] = shown
                self._since.setdefault(experiment, np.full(n, _NONE, np.int64))[customer] = now
                before[:, customer] = self._counts[:, customer]
            elif known != shown:
                variant_of[customer] = _MIXED

    def figures(self) -> dict[str, dict[str, GroupFigures]]:
        """Return what each variant came to, by experiment; variants by name."""
        return {
            experiment: {
                variant: self._figures(experiment, self._variants[experiment].index(variant))
                for variant in sorted(self._variants[experiment])
            }
            for experiment in sorted(self._variants)
        }

    def members(self, experiment: str) -> Members | None:
        """Return who was shown what of an experiment; None where nobody was."""
        if experiment not in self._variants:
            return None
        return Members(self._variants[experiment], self._variant_of[experiment], self._since[experiment])

    def mixed(self) -> dict[str, int]:
        """Return how many customers were shown more than one variant, by experiment."""
        return {name: int((self._variant_of[name] == _MIXED).sum()) for name in sorted(self._variants)}

    def _figures(self, experiment: str, variant: int) -> GroupFigures:
        who = np.flatnonzero(self._variant_of[experiment] == variant)
        each = self._counts[:, who] - self._before[experiment][:, who]
        total = each.sum(axis=1)
        revenue = each[Figure.REVENUE]
        deviation = float(revenue.std(ddof=1)) if len(who) > 1 else 0.0
        return GroupFigures(
            customers=len(who),
            answers=int(total[Figure.ANSWERS]),
            looked=int(total[Figure.LOOKED]),
            clicks=int(total[Figure.CLICKS]),
            orders=int(total[Figure.ORDERS]),
            revenue=float(total[Figure.REVENUE]),
            click_through=_ratio(total[Figure.CLICKS], total[Figure.LOOKED]),
            revenue_per_customer=_ratio(total[Figure.REVENUE], len(who)),
            standard_error=_ratio(deviation, np.sqrt(len(who))),
            expected_revenue=_ratio(total[Figure.EXPECTED], total[Figure.JUDGED]),
            regret=1 - _ratio(total[Figure.EXPECTED], total[Figure.BEST]) if total[Figure.BEST] else 0.0,
        )


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0
