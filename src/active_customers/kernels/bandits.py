"""Choosing an arm by what a bandit published: the part that every request waits for.

A `Board` lies in memory that one process writes and all read. It holds two pages of numbers; the parity of its version
says which one is in force. The writer fills the other page and then counts the version up, so that a reader whose
version is still the same after it has chosen has read one page and no mixture of two.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.kernels.jit import inlined_kernel, kernel, summing_kernel
from active_customers.kernels.shared_memory import load, store

Contexts = NDArray[np.float32]
"""What is known of a request: a row of features for each arm, or one row for all arms."""

_BELOW_ONE = 1.0 - 2.0**-53


class Board(NamedTuple):
    """What was published: a `version` of one word, and two `pages` of float32 numbers."""

    version: NDArray[np.int64]
    pages: NDArray[np.float32]


class LinearShape(NamedTuple):
    """How the page of a bandit with contexts is read: `models` are 1 (shared by all arms) or as many as `arms`.

    `explore` is the share of choices that are made evenly; `draws` is the number of weights drawn for each model.
    """

    arms: int
    models: int
    features: int
    draws: int
    explore: float


@kernel
def publish(board: Board, numbers: NDArray[np.float32]) -> None:
    """Put numbers in force; one writer at a time."""
    version = load(board.version, 0)
    board.pages[(version + 1) & 1, : len(numbers)] = numbers
    store(board.version, 0, version + 1)


@kernel
def read_page(board: Board) -> tuple[int, NDArray[np.float32]]:
    """Return the version in force and a copy of its page."""
    while True:
        version = load(board.version, 0)
        page = board.pages[version & 1].copy()
        if load(board.version, 0) == version:
            return version, page


@kernel
def choose_by_drawn_weights(handed: Any, contexts: Contexts, draw: float) -> tuple[int, float]:
    """Return an arm and its propensity: each drawn weight votes for its best arm, and one of them is taken.

    The page holds weights as (model, feature, draw), so that all draws are summed up side by side.
    What is handed over are a `Board` and a `LinearShape`.
    """
    board, shape = handed.content
    while True:
        version = load(board.version, 0)
        if version == 0:
            return _any(shape, draw)
        weights = board.pages[version & 1].reshape((shape.models, shape.features, shape.draws))
        votes = _votes(weights, shape, contexts)
        arm, propensity = _taken(votes, shape, draw)
        if load(board.version, 0) == version:
            return arm, propensity


@kernel
def choose_by_bound(handed: Any, contexts: Contexts, draw: float) -> tuple[int, float]:
    """Return an arm and its propensity: the arm with the highest upper bound, of equals each as often.

    The page holds a row for each feature, the weights of all arms, and then one for each pair of features (itself,
    then those after it): what their product adds to the squared width. What is handed over are a `Board` and a
    `LinearShape`.
    """
    board, shape = handed.content
    while True:
        version = load(board.version, 0)
        if version == 0:
            return _any(shape, draw)
        values = _bounds(board.pages[version & 1].reshape((-1, shape.arms)), shape, contexts)
        best = values.max()
        arm, propensity = _taken((values == best).nonzero()[0], shape, draw)
        if load(board.version, 0) == version:
            return arm, propensity


@summing_kernel
def _votes(weights: NDArray[np.float32], shape: LinearShape, contexts: Contexts) -> NDArray[np.int32]:
    """Return the best arm under each drawn weight; of equals the first."""
    best = np.full(shape.draws, -np.inf, np.float32)
    found = np.zeros(shape.draws, np.int32)
    values = np.empty(shape.draws, np.float32)
    for arm in range(shape.arms):
        model, row = arm if shape.models > 1 else 0, arm if len(contexts) > 1 else 0
        values[:] = 0.0
        for feature in range(shape.features):
            value = contexts[row, feature]
            for draw in range(shape.draws):
                values[draw] += weights[model, feature, draw] * value
        for draw in range(shape.draws):
            is_better = values[draw] > best[draw]
            best[draw] = values[draw] if is_better else best[draw]
            found[draw] = np.int32(arm) if is_better else found[draw]
    return found


@summing_kernel
def _bounds(page: NDArray[np.float32], shape: LinearShape, contexts: Contexts) -> NDArray[np.float32]:
    """Return the bound of each arm, worst of all where it is no number."""
    arms, size = shape.arms, shape.features
    turned = np.empty((size, arms), np.float32)
    for feature in range(size):
        for arm in range(arms):
            turned[feature, arm] = contexts[arm if len(contexts) > 1 else 0, feature]
    values, squares = np.zeros(arms, np.float32), np.zeros(arms, np.float32)
    pair = size
    for first in range(size):
        for arm in range(arms):
            values[arm] += page[first, arm] * turned[first, arm]
        for second in range(first, size):
            for arm in range(arms):
                squares[arm] += page[pair, arm] * turned[first, arm] * turned[second, arm]
            pair += 1
    for arm in range(arms):
        bound = values[arm] + np.sqrt(max(squares[arm], np.float32(0.0)))
        values[arm] = bound if abs(bound) < np.inf else -np.inf
    return values


@inlined_kernel
def _any(shape: LinearShape, draw: float) -> tuple[int, float]:
    """Return an arm of all, each as often, as before anything was published."""
    return min(int(draw * shape.arms), shape.arms - 1), 1.0 / shape.arms


@inlined_kernel
def _taken(votes: NDArray[Any], shape: LinearShape, draw: float) -> tuple[int, float]:
    """Return one of the votes, or any arm for the part of draws that explores, and the propensity of the arm."""
    if draw < shape.explore:
        arm = _any(shape, draw / shape.explore)[0]
    else:
        place = min((draw - shape.explore) / (1.0 - shape.explore), _BELOW_ONE)
        arm = int(votes[int(place * len(votes))])
    agreeing = 0
    for vote in votes:
        agreeing += vote == arm
    return arm, agreeing / len(votes) * (1.0 - shape.explore) + shape.explore / shape.arms
