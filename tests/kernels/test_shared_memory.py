"""Words that several processes see."""

import numpy as np
import pytest
from numba import njit

from active_customers.kernels.shared_memory import load, store


@njit
def stored_and_loaded(array, index, value):
    store(array, index, value)
    return load(array, index)


@njit
def loaded(array, index):
    return load(array, index)


@pytest.mark.parametrize(("dtype", "value"), [(np.uint32, 2**32 - 2), (np.int64, -(2**62) - 1), (np.float64, 0.1)])
def test_a_stored_word_is_loaded_whole_and_its_neighbours_stay(dtype, value):
    array = np.array([1, 2, 3], dtype)
    assert stored_and_loaded(array, 1, value) == value
    assert array.tolist() == [1, value, 3]


def test_a_number_of_another_type_is_converted_to_the_words_type():
    array = np.zeros(2, np.uint32)
    assert stored_and_loaded(array, 0, np.int64(7)) == 7
    assert array.tolist() == [7, 0]


def test_read_only_memory_can_be_loaded():
    array = np.array([4, 5], np.uint32)
    array.flags.writeable = False
    assert loaded(array, 1) == 5
