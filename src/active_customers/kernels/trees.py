"""A forest of decision trees over flat arrays: what gradient boosting learned, without its library.

Evaluated as in QuickScorer (Lucchese et al., SIGIR 2015; over many rows at once: SIGIR 2016). A tree keeps one bit for
each of its leaves; a node whose question a row answers with no takes away the leaves on its left, and the leftmost bit
that stays is the row's leaf. So every node is asked, in any order and without a branch, of many rows at once: eight
times faster than walking from node to node.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.kernels.ask_nodes import ROWS_AT_ONCE, ask_nodes
from active_customers.kernels.jit import kernel

MOST_LEAVES = 32
"""Leaves of a tree: as many as a mask has bits."""

_ALL = np.uint32(0xFFFFFFFF)
_DE_BRUIJN = np.uint32(0x077CB531)
"""Times a power of two, the highest five bits tell which (Leiserson, Prokop and Randall, 1998)."""


class Forest(NamedTuple):
    """Trees one after the other; the nodes of tree `t`, leaves aside, are `offsets[t]` to `offsets[t + 1]`.

    A node asks whether the `features[i]`-th value is at most `thresholds[i]`; if not, only the leaves with bits in
    `masks[i]` stay (bit 0 is the leftmost leaf). No value is NaN. `values` float64[n_trees, `MOST_LEAVES`] holds what a
    tree says at the leaf of bit `b` in column `column_of(1 << b)`, and `covers`, of the same shape, how many training
    rows came to that leaf: only explanations ask for it.
    """

    offsets: NDArray[np.int64]
    features: NDArray[np.int64]
    thresholds: NDArray[np.float32]
    masks: NDArray[np.uint32]
    values: NDArray[np.float64]
    covers: NDArray[np.float64]


def column_of(bit: int) -> int:
    """Return the column of a power of two below 2^32 in `Forest.values`: another one for each."""
    return (bit * int(_DE_BRUIJN) & int(_ALL)) >> 27


@kernel
def place_of(leaf: int) -> int:
    """Return the column of a leaf (0 is the leftmost) in `Forest.values`, within a kernel."""
    return int(np.uint32((np.uint32(1) << np.uint32(leaf)) * _DE_BRUIJN) >> np.uint32(27))


@kernel
def padded(n_rows: int) -> int:
    """Return how many rows are asked for the sake of `n_rows`."""
    return (n_rows + ROWS_AT_ONCE - 1) // ROWS_AT_ONCE * ROWS_AT_ONCE


@kernel
def add_trees(
    forest: Forest, columns: NDArray[np.float32], leaves: NDArray[np.uint32], sums: NDArray[np.float64]
) -> None:
    """Add what the trees say of rows to `sums` float64[n].

    `columns` float32[f, m] holds the rows feature by feature; m is at least `padded(n)`, and what stands behind the
    n-th row does not matter. `leaves` uint32[`ROWS_AT_ONCE` at least] is scratch memory.
    """
    offsets, features, thresholds, masks, values, _ = forest
    for first in range(0, len(sums), ROWS_AT_ONCE):
        end = min(first + ROWS_AT_ONCE, len(sums))
        for tree in range(len(offsets) - 1):
            ask_nodes((features, thresholds, masks), (offsets[tree], offsets[tree + 1], first), columns, leaves)
            for row in range(first, end):
                left = leaves[row - first]
                leftmost = left & (~left + np.uint32(1))
                sums[row] += values[tree, np.uint32(leftmost * _DE_BRUIJN) >> np.uint32(27)]
