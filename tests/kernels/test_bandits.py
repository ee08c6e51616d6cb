"""Choices by what was published, against plain twins; and pages that are read while others are written."""

import threading

import numpy as np
import pytest

from active_customers.experiments.policy import new_board
from active_customers.kernels.bandits import (
    LinearShape,
    choose_by_bound,
    choose_by_drawn_weights,
    publish,
    read_page,
)
from active_customers.kernels.handover import hand_over

ARMS, FEATURES, DRAWS, EXPLORE = 5, 3, 16, 0.1


def plainly(votes, draw):
    """Return the vote that a draw takes, or any arm for the part that explores, and its propensity."""
    place = int((draw - EXPLORE) / (1 - EXPLORE) * len(votes))
    arm = int(draw / EXPLORE * ARMS) if draw < EXPLORE else votes[place]
    return arm, np.mean(np.array(votes) == arm) * (1 - EXPLORE) + EXPLORE / ARMS


def contexts_of(rng, rows):
    return rng.standard_normal((rows, FEATURES)).astype(np.float32)


@pytest.mark.parametrize("models", [1, ARMS])
@pytest.mark.parametrize("rows", [1, ARMS])
def test_each_drawn_weight_votes_for_its_best_arm(models, rows):
    rng = np.random.default_rng(models + rows)
    weights = rng.standard_normal((models, FEATURES, DRAWS)).astype(np.float32)
    board = new_board(weights.size)
    publish(board, weights.ravel())
    handed = hand_over((board, LinearShape(ARMS, models, FEATURES, DRAWS, EXPLORE)))
    for draw in np.linspace(0.001, 0.999, 60).tolist():
        contexts = contexts_of(rng, rows)
        values = np.einsum("mfd,rf->mrd", weights, contexts)
        by_arm = [values[arm % models, arm % rows] for arm in range(ARMS)]
        arm, propensity = plainly(np.argmax(by_arm, axis=0).tolist(), draw)
        assert choose_by_drawn_weights(handed, contexts, draw) == (arm, pytest.approx(propensity))


@pytest.mark.parametrize("rows", [1, ARMS])
def test_the_arm_with_the_highest_bound_is_chosen(rows):
    rng = np.random.default_rng(rows)
    weights = rng.standard_normal((ARMS, FEATURES))
    roots = rng.standard_normal((ARMS, FEATURES, FEATURES))
    forms = roots @ roots.transpose(0, 2, 1)
    first, second = np.triu_indices(FEATURES)
    pairs = forms[:, first, second] * np.where(first == second, 1, 2)
    page = np.concatenate((weights, pairs), axis=1).T
    board = new_board(page.size)
    publish(board, page.astype(np.float32).ravel())
    handed = hand_over((board, LinearShape(ARMS, ARMS, FEATURES, 0, EXPLORE)))
    for draw in np.linspace(0.001, 0.999, 60).tolist():
        contexts = contexts_of(rng, rows)
        rows_of_arms = contexts[np.arange(ARMS) % rows].astype(float)
        widths = np.sqrt(np.einsum("ai,aij,aj->a", rows_of_arms, forms, rows_of_arms))
        bounds = (weights * rows_of_arms).sum(axis=1) + widths
        arm, propensity = plainly([int(bounds.argmax())], draw)
        assert choose_by_bound(handed, contexts, draw) == (arm, pytest.approx(propensity))


def test_bounds_that_are_equal_share_the_choices():
    board = new_board(ARMS * FEATURES + ARMS * FEATURES * (FEATURES + 1) // 2)
    publish(board, np.zeros(board.pages.shape[1], np.float32))
    handed = hand_over((board, LinearShape(ARMS, ARMS, FEATURES, 0, 0.0)))
    context = np.ones((1, FEATURES), np.float32)
    chosen = [choose_by_bound(handed, context, draw) for draw in (np.arange(ARMS) + 0.5) / ARMS]
    assert chosen == [(arm, pytest.approx(1 / ARMS)) for arm in range(ARMS)]


def test_a_page_that_is_read_while_others_are_written_is_never_a_mixture():
    board, done = new_board(4_000), threading.Event()

    def write():
        while not done.is_set():
            publish(board, np.full(4_000, board.version[0] + 1, np.float32))

    writer = threading.Thread(target=write)
    writer.start()
    pages = {}
    while len(pages) < 50:
        version, page = read_page(board)
        pages[version] = {*page.tolist()}
    done.set()
    writer.join()
    assert pages == {version: {float(version)} for version in pages}
