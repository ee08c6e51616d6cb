"""Embeddings: adding up gradients, steps of Adam, and the products nearest to a vector."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.kernels.jit import kernel, summing_kernel

_FADING, _FADING_SQUARES, _LEAST = 0.9, 0.999, 1e-8
"""Of Adam (Kingma and Ba, ICLR 2015)."""


class Moving(NamedTuple):
    """Parameters float32[n, d] with their gradient and Adam's two moving averages of it, of the same shape."""

    values: NDArray[np.float32]
    gradient: NDArray[np.float32]
    mean: NDArray[np.float32]
    square: NDArray[np.float32]


@kernel
def add_rows(sums: NDArray[np.float32], rows: NDArray[np.int64], added: NDArray[np.float32]) -> None:
    """Add each row of `added` to the row of `sums` that `rows` names; rows may repeat."""
    for place in range(len(rows)):
        row = rows[place]
        for column in range(sums.shape[1]):
            sums[row, column] += added[place, column]


@kernel
def take_step(moving: Moving, rate: float, step: int) -> None:
    """Move the parameters against their gradient, the `step`-th time (from 1), and set the gradient to 0."""
    correction = math.sqrt(1.0 - _FADING_SQUARES**step) / (1.0 - _FADING**step)
    scale = np.float32(rate * correction)
    keep, keep_squares = np.float32(_FADING), np.float32(_FADING_SQUARES)
    values, gradient = moving.values.ravel(), moving.gradient.ravel()
    mean, square = moving.mean.ravel(), moving.square.ravel()
    for i in range(len(values)):
        slope = gradient[i]
        mean[i] = keep * mean[i] + (np.float32(1.0) - keep) * slope
        square[i] = keep_squares * square[i] + (np.float32(1.0) - keep_squares) * slope * slope
        values[i] -= scale * mean[i] / (math.sqrt(square[i]) + np.float32(_LEAST))
        gradient[i] = 0.0


class TokenRows(NamedTuple):
    """Weighted tokens by product: `p` has `tokens[offsets[p]:offsets[p + 1]]`, each weighing its place in `weights`."""

    offsets: NDArray[np.int64]
    tokens: NDArray[np.uint32]
    weights: NDArray[np.float32]


@kernel
def compose_rows(
    described: TokenRows,
    rows: NDArray[np.int64],
    own: NDArray[np.float32],
    vectors: NDArray[np.float32],
    composed: NDArray[np.float32],
) -> None:
    """Make the named rows of `composed` the products' own vectors plus those of their tokens."""
    for row in rows:
        composed[row] = own[row]
        for place in range(described.offsets[row], described.offsets[row + 1]):
            token, weight = described.tokens[place], described.weights[place]
            for i in range(composed.shape[1]):
                composed[row, i] += weight * vectors[token, i]


@kernel
def pass_on(
    described: TokenRows, rows: NDArray[np.int64], gradient: NDArray[np.float32], sums: NDArray[np.float32]
) -> None:
    """Add the gradient of the named products to those of their tokens."""
    for row in rows:
        for place in range(described.offsets[row], described.offsets[row + 1]):
            token, weight = described.tokens[place], described.weights[place]
            for i in range(sums.shape[1]):
                sums[token, i] += weight * gradient[row, i]


@kernel
def session_vector(
    vectors: NDArray[np.float32], by_act: NDArray[np.float64], query: NDArray[np.uint32]
) -> NDArray[np.float32]:
    """Return the sum of the vectors of a session's newest acts, the i-th newest times `by_act[i]`, of length 1.

    Of length 0 when none of its products has a vector.
    """
    total = np.zeros(vectors.shape[1], np.float32)
    for act in range(min(len(query), len(by_act))):
        product = query[len(query) - 1 - act]
        if product < len(vectors):
            weight = np.float32(by_act[act])
            for i in range(len(total)):
                total[i] += weight * vectors[product, i]
    length = math.sqrt(np.sum(total * total))
    return total / np.float32(length) if length > 0.0 else total


@kernel
def cosines(vectors: NDArray[np.float32], vector: NDArray[np.float32], out: NDArray[np.float64]) -> None:
    """Fill `out` float64[n] with the product of each vector and the given one: cosines, when all have length 1."""
    for product in range(len(vectors)):
        total = np.float32(0.0)
        for i in range(len(vector)):
            total += vectors[product, i] * vector[i]
        out[product] = total


@summing_kernel
def compare_both(
    vectors: NDArray[np.float32],
    rows: NDArray[np.uint32],
    given: tuple[NDArray[np.float32], NDArray[np.float32]],
    columns: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> None:
    """Write the product of each named row of the vectors and either given one into the first of either column.

    Both at once, for what takes time is the memory of the rows. A row that has no vector gets 0.
    """
    one, other = given
    for place in range(len(rows)):
        by_one, by_other = np.float32(0.0), np.float32(0.0)
        if rows[place] < len(vectors):
            for i in range(len(one)):
                by_one += vectors[rows[place], i] * one[i]
                by_other += vectors[rows[place], i] * other[i]
        columns[0][place] = by_one
        columns[1][place] = by_other
