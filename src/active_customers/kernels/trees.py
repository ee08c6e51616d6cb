"""A forest of decision trees over flat arrays: what gradient boosting learned, without its library."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.kernels.jit import kernel


class Forest(NamedTuple):
    """Trees one after the other; tree `t` begins at node `roots[t]` and takes `depths[t]` steps at most.

    A row goes from node `i` to `left[i]` if its `features[i]`-th value is at most `thresholds[i]`, else to the
    node behind that, `left[i] + 1`; no value is NaN. A leaf leads to itself, and `values[i]` is what the tree
    says there.
    """

    roots: NDArray[np.int32]
    depths: NDArray[np.int32]
    features: NDArray[np.int16]
    thresholds: NDArray[np.float32]
    left: NDArray[np.int32]
    values: NDArray[np.float64]


@kernel
def add_trees(
    forest: Forest, trees: tuple[int, int], rows: NDArray[np.float32], n_rows: int, sums: NDArray[np.float64]
) -> None:
    """Add what trees (from the first of the two numbers, up to the second) say of the first rows of float32[n, f].

    Tree by tree, so that one stays near the processor for all rows, and without branches: both ways of a node lie side
    by side, and a leaf waits until the deepest one is reached.
    """
    features, thresholds, left, values = forest.features, forest.thresholds, forest.left, forest.values
    for tree in range(trees[0], trees[1]):
        root, depth = forest.roots[tree], forest.depths[tree]
        for row in range(n_rows):
            node = root
            for _ in range(depth):
                node = left[node] + (not rows[row, features[node]] <= thresholds[node])
            sums[row] += values[node]
