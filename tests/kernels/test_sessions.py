"""Session kernels against their definitions."""

from itertools import pairwise

import numpy as np
import pytest

from active_customers.kernels.sessions import last_acts, newest_rows


def random_sessions(seed):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 12, 40)
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    return offsets, rng.integers(0, 15, offsets[-1]).astype(np.uint32)


def twin_last_acts(offsets, products, kept):
    sessions = []
    for start, end in pairwise(offsets):
        newest = {products[row]: row for row in range(max(start, end - kept), end)}
        sessions.append(sorted(newest.values()))
    return sessions


def twin_newest_rows(offsets, products, n_products, limit):
    return [[row for row in range(offsets[-1])[::-1] if products[row] == p][:limit] for p in range(n_products)]


def split(offsets, rows):
    return [rows[start:end].tolist() for start, end in pairwise(offsets)]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kept", [1, 4, 100])
def test_last_acts_are_the_newest_row_of_each_product(seed, kept):
    offsets, products = random_sessions(seed)
    assert split(*last_acts(offsets, products, 15, kept)) == twin_last_acts(offsets, products, kept)


def test_last_acts_of_a_session_of_a_million_acts_are_found():
    n = 1_000_000
    offsets, rows = last_acts(np.array([0, n]), np.arange(n, dtype=np.uint32), n, n)
    assert offsets.tolist() == [0, n]
    assert (rows == np.arange(n)).all()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("limit", [1, 5, 1000])
def test_newest_rows_are_the_last_ones_of_each_product_backwards(seed, limit):
    offsets, products = random_sessions(seed)
    assert split(*newest_rows(offsets, products, 17, limit)) == twin_newest_rows(offsets, products, 17, limit)


def test_no_sessions_give_empty_arrays():
    offsets, nothing = np.zeros(1, np.int64), np.empty(0, np.uint32)
    assert [array.tolist() for array in last_acts(offsets, nothing, 2, 5)] == [[0], []]
    assert [array.tolist() for array in newest_rows(offsets, nothing, 2, 5)] == [[0, 0, 0], []]
