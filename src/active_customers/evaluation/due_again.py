"""Whether the shelf of what is due again foretells what is bought again, asked when each customer comes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.core.clock import DAY
from active_customers.core.event import EventType
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.session import (
    ACT_WORDS,
    BOUGHT_WORDS,
    DAYS_AT,
    EVENT_WORDS,
    H_BOUGHT,
    H_EVENTS,
    HEADER,
    MAX_WORDS,
    State,
    empty_state,
)
from active_customers.evaluation.comparison import Difference, differences
from active_customers.evaluation.metrics import set_gains
from active_customers.evaluation.task import Task
from active_customers.kernels.session_state import fold
from active_customers.kernels.shelves import dueness
from active_customers.kernels.top_n import ALL_OPEN, Wanted, top_n
from active_customers.models.popularity import Popularity

SEED = 1


class DueAgain(NamedTuple):
    """Precision at k of the shelf and of what is popular, and the difference of all measures, over whole customers."""

    precision: float
    precision_of_popular: float
    differences: dict[str, Difference]
    questions: int


def measure(task: Task, rule: tuple[float, float], k: int = 10) -> DueAgain:
    """Ask a next-basket task at the time of each basket, with the states that a service would have folded.

    `rule` are the days of the interval that is taken where a product was bought on one day only, and the share of an
    interval from which on it is due. A shelf with fewer than `k` products loses the places: precision is of all `k`.
    """
    popularity = Popularity()
    popularity.fit(task.train)
    popular = np.argsort(-popularity.scores, kind="stable")[:k].astype(np.uint32)
    shown = np.full((len(task.sessions), k), NO_NUMBER, np.uint32)
    for row in range(len(task.sessions)):
        start = task.test.offsets[task.sessions[row]]
        end = start + task.lengths[row]
        products, times = task.test.products[start:end], task.test.times[start:end]
        state = _folded(products, times)
        found = due_products(state, int(task.test.times[end]), rule, k)
        shown[row, : len(found)] = found
    n_right = np.diff(task.target_offsets)
    ours, theirs = (set_gains(_hits(task, answers), n_right) for answers in (shown, np.tile(popular, (len(shown), 1))))
    apart = differences(ours, theirs, task.clusters, np.random.default_rng(SEED))
    return DueAgain(float(ours["precision"].mean()), float(theirs["precision"].mean()), apart, len(shown))


def due_products(state: State, now: int, rule: tuple[float, float], n: int) -> NDArray[np.uint32]:
    """Return what the shelf would show of a state in which every product is replenishable, best first."""
    first = HEADER + int(state[H_EVENTS]) * EVENT_WORDS
    rows = state[first : first + int(state[H_BOUGHT]) * BOUGHT_WORDS].reshape(-1, BOUGHT_WORDS)
    scores = np.array(
        [
            max(word >> DAYS_AT, 1) * dueness(word, latest, now, rule[0] * DAY, rule[1])
            for word, _, latest in rows.tolist()
        ]
    )
    products = (rows[:, 0] & NO_NUMBER).astype(np.uint32)
    return products[top_n(products, scores.astype(np.float64), Wanted(n, products[:0], ALL_OPEN))]


def _folded(products: NDArray[np.uint32], times: NDArray[np.int64]) -> State:
    """Return the state after purchases; it has no cart."""
    known = products != NO_NUMBER
    acts = np.ones((int(known.sum()), ACT_WORDS), np.int64)
    acts[:, 0], acts[:, 1], acts[:, 2], acts[:, 4] = EventType.PURCHASE, products[known], times[known], 0
    acts[:, 5] = np.arange(1, len(acts) + 1)
    out = np.empty(MAX_WORDS, np.int64)
    return out[: fold(empty_state(), acts, out)].copy()


def _hits(task: Task, answers: NDArray[np.uint32]) -> NDArray[np.bool_]:
    wanted = task.target_questions << 32 | task.targets
    questions = np.repeat(np.arange(len(answers), dtype=np.int64), answers.shape[1])
    is_hit: NDArray[np.bool_] = np.isin(questions << 32 | answers.ravel(), wanted).reshape(answers.shape)
    is_hit &= answers != NO_NUMBER
    return is_hit
