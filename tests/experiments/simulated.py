"""Outcomes of customers who were never there, for what takes many of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from active_customers.experiments.exposed import Assignments
from active_customers.experiments.outcomes import FIGURES, Outcomes


def outcomes_of(rng: np.random.Generator, n: int, lifts: Sequence[float] = (1.0, 1.0), **changed: object) -> Outcomes:
    """Return what n customers did; each variant's chance to buy is a tenth times its lift.

    Who bought before is likelier to buy, and for as much.
    """
    variant = rng.integers(0, len(lifts), n).astype(np.int16)
    taste, purse = rng.beta(1, 9, n), rng.lognormal(3, 0.7, n)
    bought = (rng.random(n) < taste * np.array(lifts)[variant]).astype(float)
    before = (rng.random(n) < taste).astype(float)
    answers = 1.0 + rng.poisson(3, n)
    columns = dict.fromkeys(FIGURES, np.zeros(n)) | {
        "answers": answers,
        "clicks": rng.binomial(answers.astype(int), taste).astype(float),
        "carted": np.maximum(bought, rng.random(n) < 0.1),
        "bought": bought,
        "revenue": bought * purse,
        "margin": bought * purse / 2,
        "bought_before": before,
        "carted_before": before,
        "revenue_before": before * purse,
    }
    assignments = Assignments(np.arange(n, dtype=np.uint32), np.arange(n), variant)
    return Outcomes(assignments, columns, as_of=0, **{"has_impressions": True, "has_costs": True} | changed)
