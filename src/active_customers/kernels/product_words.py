"""Which products have one of some words: tags and attributes as numbers, side by side in one array."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.kernels.jit import kernel
from active_customers.kernels.top_n import is_excluded


class WordTable(NamedTuple):
    """The words of product `p` are `words[starts[p] : starts[p] + lengths[p]]`."""

    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    words: NDArray[np.uint32]


@kernel
def have_one(table: WordTable, products: NDArray[np.int64], wanted: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Tell of each product (numbers within the table) whether it has one of the wanted words, which are ascending.

    A row that is being rewritten meanwhile may be told wrong, but nothing is read beyond the words.
    """
    found = np.zeros(len(products), np.bool_)
    for row in range(len(products)):
        first = table.starts[products[row]]
        for at in range(first, min(first + table.lengths[products[row]], len(table.words))):
            if is_excluded(table.words[at], wanted):
                found[row] = True
                break
    return found


@kernel
def have_marked(table: WordTable, products: NDArray[np.int64], marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell the same where many words are wanted: those that are marked, by their numbers."""
    found = np.zeros(len(products), np.bool_)
    for row in range(len(products)):
        first = table.starts[products[row]]
        for at in range(first, min(first + table.lengths[products[row]], len(table.words))):
            if table.words[at] < len(marked) and marked[table.words[at]]:
                found[row] = True
                break
    return found
