"""Whom an experiment counts, and what its split is judged by."""

from __future__ import annotations

import numpy as np

from active_customers.experiments.definition import Experiment, Variant
from active_customers.experiments.exposed import Exposures, People, assign
from active_customers.experiments.sequential import ratio_always_valid_p

NOBODY = np.empty(0, np.uint32)


def test_customers_who_come_on_two_devices_do_not_make_an_uneven_split_look_wrong():
    """A fifth of the customers met the experiment twice before a login: more of them leave the small variant."""
    rng, n, n_twice = np.random.default_rng(4), 20_000, 4_000
    experiment = Experiment("uneven", 1, (Variant("control", 90), Variant("small", 10)), "control", 0)
    customer = np.arange(n + n_twice, dtype=np.uint32)
    variant = (rng.random(n + n_twice) < 0.1).astype(np.int16)
    joined = np.stack([np.arange(n, n + n_twice), np.arange(n_twice)], axis=1).astype(np.uint32)
    times = np.arange(1, n + n_twice + 1)
    found = assign(experiment, Exposures(customer, times, times, variant), People(joined, NOBODY))
    assert sum(found.n_first) == n
    assert found.n_merged_out > 500
    assert ratio_always_valid_p(list(found.n_first), experiment.shares) > 0.05
    kept = np.bincount(found.variant, minlength=2).tolist()
    assert ratio_always_valid_p(kept, experiment.shares) < 0.01  # which is why those who left are counted
