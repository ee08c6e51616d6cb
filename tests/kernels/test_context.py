"""What the moment says is put into a ranking, and nothing where it says nothing."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from active_customers.kernels.context import weigh

N_PRODUCTS = 12


@given(
    st.lists(st.tuples(st.integers(0, N_PRODUCTS - 1), st.floats(0, 1)), max_size=20, unique_by=lambda pair: pair[0]),
    st.lists(st.sampled_from([0.5, 1.0, 2.0]), max_size=N_PRODUCTS),
)
def test_scores_are_multiplied_and_in_order_again(ranked, weights):
    ranked.sort(key=lambda pair: -pair[1])
    products = np.arange(N_PRODUCTS, dtype=np.uint32)[::-1].copy()
    slots = np.array([N_PRODUCTS - 1 - product for product, _ in ranked], np.int64)
    scores = np.array([score for _, score in ranked])
    weigh(slots, scores, products, np.array(weights, np.float32))
    factors = [*weights, *[1.0] * N_PRODUCTS]
    expected = sorted(((product, score * factors[product]) for product, score in ranked), key=lambda pair: -pair[1])
    assert list(zip(products[slots].tolist(), scores.tolist(), strict=True)) == expected
