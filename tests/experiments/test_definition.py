"""An experiment that could not be read is refused when it is described."""

from __future__ import annotations

import pytest

from active_customers.core.errors import InvalidValueError
from active_customers.experiments.definition import Experiment, Variant

A, B = Variant("a", 1, "hybrid"), Variant("b", 3, "popular")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"variants": (A,)}, "variants"),
        ({"variants": (A, A)}, "variants"),
        ({"variants": (A, Variant("b", 0, "popular"))}, "variants.b.weight"),
        ({"variants": (A, Variant("b", float("nan"), "popular"))}, "variants.b.weight"),
        ({"control": "c"}, "control"),
        ({"ends": 4}, "ends"),
    ],
)
def test_what_is_wrong_is_named(change, field):
    with pytest.raises(InvalidValueError) as caught:
        Experiment(**{"name": "t", "version": 1, "variants": (A, B), "control": "a", "starts": 5} | change)
    assert caught.value.field == field


def test_weights_are_shares_whatever_they_sum_to():
    assert Experiment("t", 1, (A, B), "b", 0).shares == (0.25, 0.75)
