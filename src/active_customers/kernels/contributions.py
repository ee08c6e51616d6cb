"""What each feature adds to what trees say of a row: Shapley values that add up to it exactly.

Path-dependent TreeSHAP (Lundberg, Erion and Lee, "Consistent individualized feature attribution for tree ensembles",
2018): where a feature is left open, a tree goes both ways by the shares of the training rows that went there. Computed
leaf by leaf: with the d features on the way to a leaf, feature i adds v * (o_i - z_i) * sum over k of k! (d-1-k)! / d!
times the k-th coefficient of the product over the others of (z_j + o_j x), where v is what the leaf says, z_j the share
of rows that went this way at the questions about j, and o_j whether the row itself does.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.kernels.jit import kernel
from active_customers.kernels.trees import MOST_LEAVES, Forest, place_of


class _Tree(NamedTuple):
    """One tree: its questions in the order of their leaves, and the training rows before each leaf, in sums."""

    features: NDArray[np.int64]
    thresholds: NDArray[np.float32]
    masks: NDArray[np.uint32]
    before: NDArray[np.float64]


@kernel
def add_contributions(forest: Forest, row: NDArray[np.float32], shares: NDArray[np.float64]) -> None:
    """Add what each feature contributes to `shares` float64[f + 1]; the last holds what is said of an unknown row.

    Their sum is what `trees.add_trees` adds for this `row` float32[f].
    """
    for tree in range(len(forest.offsets) - 1):
        first, end = forest.offsets[tree], forest.offsets[tree + 1]
        n_leaves = end - first + 1
        before = np.zeros(n_leaves + 1)
        for leaf in range(n_leaves):
            before[leaf + 1] = before[leaf] + forest.covers[tree, place_of(leaf)]
        one = _Tree(forest.features[first:end], forest.thresholds[first:end], forest.masks[first:end], before)
        for leaf in range(n_leaves):
            _add_leaf(one, leaf, forest.values[tree, place_of(leaf)], row, shares)


@kernel
def _add_leaf(tree: _Tree, leaf: int, said: float, row: NDArray[np.float32], shares: NDArray[np.float64]) -> None:
    """Add what one leaf contributes."""
    on_the_way = np.empty(MOST_LEAVES, np.int64)
    open_share, goes_there = np.ones(MOST_LEAVES), np.ones(MOST_LEAVES)
    n_features, low, high = 0, 0, len(tree.features) + 1
    while high - low > 1:
        node = _root(tree, low, high)
        is_left = leaf <= node
        goes_left = row[tree.features[node]] <= tree.thresholds[node]
        rows = tree.before[high] - tree.before[low]
        low, high = (low, node + 1) if is_left else (node + 1, high)
        place = 0
        while place < n_features and on_the_way[place] != tree.features[node]:
            place += 1
        if place == n_features:
            on_the_way[place] = tree.features[node]
            n_features += 1
        open_share[place] *= (tree.before[high] - tree.before[low]) / rows
        goes_there[place] *= 1.0 if is_left == goes_left else 0.0
    of_unknown = said
    for place in range(n_features):
        of_unknown *= open_share[place]
    shares[-1] += of_unknown
    for place in range(n_features):
        weight = _weight(open_share[:n_features], goes_there[:n_features], place)
        shares[on_the_way[place]] += said * (goes_there[place] - open_share[place]) * weight


@kernel
def _root(tree: _Tree, low: int, high: int) -> int:
    """Return the node over the leaves `low..high-1`: the last of those whose left side begins with the first leaf.

    Node k stands between leaf k and leaf k + 1, and its mask takes away the leaves on its left.
    """
    for node in range(high - 2, low, -1):
        if (tree.masks[node] >> np.uint32(low)) & np.uint32(1) == 0:
            return node
    return low


@kernel
def _weight(open_share: NDArray[np.float64], goes_there: NDArray[np.float64], left_out: int) -> float:
    """Return the sum over k of k! (d-1-k)! / d! times the k-th coefficient of what the other features make."""
    n = len(open_share)
    coefficients = np.zeros(n)
    coefficients[0] = 1.0
    degree = 0
    for place in range(n):
        if place == left_out:
            continue
        degree += 1
        for k in range(degree, 0, -1):
            coefficients[k] = coefficients[k] * open_share[place] + coefficients[k - 1] * goes_there[place]
        coefficients[0] *= open_share[place]
    total, factor = 0.0, 1.0 / n
    for k in range(n):
        total += factor * coefficients[k]
        if k + 1 < n:
            factor *= (k + 1) / (n - 1 - k)
    return total
