"""Comparing answers with the best that could have been given, by the truth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from active_customers.evaluation.closed_loop.groups import Figure, Groups
from active_customers.evaluation.closed_loop.report import DayFigures
from active_customers.evaluation.simulator import Shop, Truth
from active_customers.evaluation.simulator.buying import Minds

Integers = NDArray[np.int64]

_ENOUGH = 128
"""Answers that are judged together: each look at the whole catalogue costs much the same for one as for many."""


class Judge:
    """Judges a share of the answers, drawn by chance."""

    def __init__(self, shop: Shop, share: float, groups: Groups) -> None:
        self._truth = Truth(shop)
        self._share = share
        self._groups = groups
        self._rng = shop.config.rng(7)
        self._waiting: dict[int, list[tuple[Minds, Integers]]] = {}
        """By day."""

    def draws(self, n: int) -> NDArray[np.bool_]:
        """Draw which of `n` answers are judged."""
        return self._rng.random(n) < self._share

    def take(self, minds: Minds, pages: Integers, day: int, figures: DayFigures) -> None:
        """Take answers (int64[s, n]) to be judged, as those whom they were given to think now."""
        waiting = self._waiting.setdefault(day, [])
        waiting.append((minds, pages))
        if sum(len(known) for known, _ in waiting) >= _ENOUGH:
            self._judge(day, figures)

    def close(self, figures: DayFigures) -> None:
        """Judge what still waits."""
        for day in tuple(self._waiting):
            self._judge(day, figures)

    def _judge(self, day: int, figures: DayFigures) -> None:
        waiting = self._waiting.pop(day)
        minds = Minds.joined([minds for minds, _ in waiting])
        pages = np.concatenate([pages for _, pages in waiting])
        shown = self._truth.values(minds, pages, day)
        best = self._truth.values(minds, self._truth.best_pages(minds, pages.shape[1], day), day)
        figures.judged += len(pages)
        figures.expected_revenue += float(shown.sum())
        figures.best_revenue += float(best.sum())
        for figure, amounts in ((Figure.JUDGED, 1.0), (Figure.EXPECTED, shown), (Figure.BEST, best)):
            self._groups.add(figure, minds.customer, amounts)
