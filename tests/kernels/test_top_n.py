"""Selection kernels against plain sorting."""

import numpy as np
import pytest

from active_customers.kernels.top_n import Wanted, first_n, is_excluded, kth_largest, top_n


def ascending(*numbers):
    return np.array(sorted(numbers), np.uint32)


def twin_top_n(products, scores, wanted):
    rows = [
        row for row in range(len(products)) if scores[row] > 0 and products[row] not in set(wanted.excluded.tolist())
    ]
    return sorted(rows, key=lambda row: (-scores[row], products[row]))[: max(wanted.n, 0)]


@pytest.mark.parametrize("seed", range(8))
def test_top_n_equals_sorting(seed):
    rng = np.random.default_rng(seed)
    products = rng.permutation(400).astype(np.uint32)[: rng.integers(1, 400)]
    scores = rng.integers(-2, 12, len(products)).astype(np.float64)  # many ties
    wanted = Wanted(int(rng.integers(0, 60)), np.sort(rng.choice(products, len(products) // 3)))
    assert top_n(products, scores, wanted).tolist() == twin_top_n(products, scores, wanted)


def test_top_n_takes_equal_scores_by_ascending_product_number():
    products = np.array([9, 3, 7], np.uint32)
    assert top_n(products, np.ones(3), Wanted(2, ascending())).tolist() == [1, 2]


def test_top_n_never_returns_nan_zero_or_negative_scores():
    scores = np.array([np.nan, 0.0, -1.0, 2.0, np.inf])
    assert top_n(np.arange(5, dtype=np.uint32), scores, Wanted(5, ascending())).tolist() == [4, 3]


def test_top_n_returns_no_score_that_is_zero_in_single_precision():
    scores = np.array([1e-60, 2.0**-150, np.nextafter(2.0**-150, 1), 2.0**-149, 1e-30])
    rows = top_n(np.arange(5, dtype=np.uint32), scores, Wanted(5, ascending()))
    assert rows.tolist() == [4, 3, 2] == np.flatnonzero(scores.astype(np.float32))[::-1].tolist()


def test_an_excluded_product_does_not_take_a_place():
    products = np.arange(4, dtype=np.uint32)
    rows = top_n(products, np.array([4.0, 3.0, 2.0, 1.0]), Wanted(2, ascending(0, 0, 2, 99)))
    assert rows.tolist() == [1, 3]


@pytest.mark.parametrize("product", range(12))
def test_is_excluded_equals_membership(product):
    excluded = ascending(0, 3, 4, 10, 10)
    assert is_excluded(product, excluded) == (product in excluded)


def test_first_n_keeps_the_order_and_skips_the_excluded():
    ranked = np.array([5, 1, 4, 2], np.uint32)
    assert first_n(ranked, Wanted(2, ascending(1))).tolist() == [5, 4]
    assert first_n(ranked, Wanted(9, ascending(5, 2))).tolist() == [1, 4]


@pytest.mark.parametrize("spread", ["few values", "negative too", "many octaves"])
@pytest.mark.parametrize("seed", range(8))
def test_kth_largest_equals_sorting(seed, spread):
    rng = np.random.default_rng(seed)
    n = rng.integers(1, 400)
    values = {
        "few values": rng.integers(0, 20, n).astype(np.float64),
        "negative too": rng.normal(0, 1, n),
        "many octaves": np.exp(rng.normal(0, 40, n)),
    }[spread]
    k = int(rng.integers(1, n + 1))
    assert kth_largest(values.copy(), k) == np.sort(values)[-k]


@pytest.mark.parametrize("closed", [0.0, 0.05, 0.95])
@pytest.mark.parametrize("n", [1, 20, 64, 300])
@pytest.mark.parametrize("seed", range(4))
def test_the_best_of_many_rows_are_those_of_sorting(seed, n, closed):
    """Whatever way they are found: with ties, rows without a score, and products that may not be shown."""
    rng = np.random.default_rng(seed)
    rows = int(rng.integers(1, 2_000))
    products = rng.permutation(5_000)[:rows].astype(np.uint32)
    scores = np.round(np.exp(rng.normal(0, 5, rows)), 1) * (rng.random(rows) < 0.9)
    standing = np.where(rng.random(5_000) < closed, 2, 1).astype(np.uint8)
    excluded = np.sort(rng.choice(products, min(rows, 30), replace=False))
    shown = (scores > 0) & (standing[products] < 2) & ~np.isin(products, excluded)
    order = np.lexsort((products, -scores))
    expected = order[shown[order]][:n]
    standing.flags.writeable = False
    assert top_n(products, scores, Wanted(n, excluded, standing)).tolist() == expected.tolist()


def test_closed_products_make_way_for_the_next_best():
    products, scores = np.arange(5, dtype=np.uint32), np.array([1.0, 5.0, 3.0, 4.0, 2.0])
    standing = np.array([0, 2, 1, 5], np.uint8)
    wanted = Wanted(2, ascending(), standing)
    assert top_n(products, scores, wanted).tolist() == [2, 4]
    assert first_n(products, wanted).tolist() == [0, 2]
