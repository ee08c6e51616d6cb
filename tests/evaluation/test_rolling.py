"""Folds over time: what each is learned from, and what it asks."""

from dataclasses import replace

import numpy as np
import pytest
from tests.evaluation.made import BUY, CART, START, VIEW, asked, events

from active_customers.core.clock import DAY, MINUTE
from active_customers.core.errors import InvalidValueError, NoDataError
from active_customers.evaluation.evaluator import EvaluationRequest, evaluate
from active_customers.evaluation.interactions import Interactions
from active_customers.evaluation.rolling import Folds, rolling

FILE = events(
    ("a", "1", 1, 0),
    ("a", "1", 2, 1),
    ("b", "1", 3, 40),
    ("b", "1", 1, 60),  # goes on after the first fold has begun
    ("a", "2", 1, 61),
    ("a", "2", 1, 62, CART),
    ("a", "2", 2, 63),
    ("a", "2", 9, 64, CART),
    ("a", "2", 9, 65, BUY),
    ("b", "2", 2, 90),
    ("b", "2", 3, 91),
    ("c", "1", 2, 119, CART),
)
HOUR_FOLD = Folds(1, 1 / 24)
HALF_HOURS = Folds(2, 1 / 48)


def test_a_fold_learns_from_all_before_it_and_cuts_the_session_that_goes_on():
    (task,) = rolling([FILE], HOUR_FOLD)
    assert task.until == START + 59 * MINUTE + 1  # up to and with the last act
    assert task.train.times.max() < task.until
    assert sorted(task.product_ids[task.train.products].tolist()) == [1, 2, 3]
    assert "b/1" not in {session for session, _, _ in asked(task)}


def test_any_asks_for_the_next_act_of_sessions_that_begin_in_the_fold():
    (task,) = rolling([FILE], HOUR_FOLD)
    assert asked(task) == [
        ("a/2", [1], [1]),
        ("a/2", [1, 1], [2]),
        ("a/2", [1, 1, 2], [None]),
        ("a/2", [1, 1, 2, None], [None]),
        ("b/2", [2], [3]),
    ]


def test_carts_are_asked_before_each_of_them_and_all_that_follow_are_right():
    (task,) = rolling([FILE], replace(HOUR_FOLD, targets="cart_add"))
    assert asked(task) == [("a/2", [1], [1, None]), ("a/2", [1, 1, 2], [None])]


def test_purchases_and_views_are_asked_likewise():
    (bought,) = rolling([FILE], replace(HOUR_FOLD, targets="purchase"))
    assert asked(bought) == [("a/2", [1, 1, 2, None], [None])]
    (viewed,) = rolling([FILE], replace(HOUR_FOLD, targets="view"))
    assert asked(viewed) == [("a/2", [1, 1], [2]), ("b/2", [2], [3])]


def test_new_targets_leave_out_what_the_session_has_shown():
    (task,) = rolling([FILE], replace(HOUR_FOLD, targets="cart_add"), "new")
    assert asked(task) == [("a/2", [1], [None]), ("a/2", [1, 1, 2], [None])]
    assert task.masks_history


def test_dropped_repeats_leave_a_cart_after_a_view_where_carts_are_asked():
    (carts,) = rolling([FILE], replace(HOUR_FOLD, targets="cart_add"), "drop")
    assert asked(carts) == [("a/2", [1], [1, None]), ("a/2", [1, 1, 2], [None])]
    (every,) = rolling([FILE], HOUR_FOLD, "drop")
    assert [shown for _, shown, _ in asked(every)] == [[1], [1, 2], [2]]


def test_each_fold_ends_where_the_next_begins_and_learns_from_those_before():
    first, second = rolling([FILE], HALF_HOURS)
    assert second.until - first.until == 30 * MINUTE
    assert {session for session, _, _ in asked(first)} == {"a/2"}
    assert {session for session, _, _ in asked(second)} == {"b/2"}
    assert 9 in second.product_ids
    assert 9 not in first.product_ids


def test_questions_of_one_customer_hang_together_over_the_folds():
    file = events(*[("a" if i % 3 else "b", str(i), i % 2, 10 * i + place) for i in range(12) for place in range(3)])
    tasks = rolling([file], Folds(2, 1 / 48))
    owner = {task.clusters[i]: session[0] for task in tasks for i, (session, _, _) in enumerate(asked(task))}
    assert sorted(owner.values()) == ["a", "b"]


def test_an_act_at_the_moment_a_fold_begins_is_asked_about_and_not_learned_from():
    file = events(("a", "1", 1, 0), ("b", "1", 2, 60), ("b", "1", 1, 61), ("c", "1", 1, 120))
    file.times[-1] -= 1  # the last hour begins with the act of minute 60
    (task,) = rolling([file], HOUR_FOLD)
    assert task.until == START + 60 * MINUTE
    assert task.train.products.tolist() == [0]
    assert asked(task) == [("b/1", [None], [1])]


def test_by_default_the_second_half_is_cut():
    file = events(*[("a", str(day), product, day * 24 * 60 + product) for day in range(10) for product in range(2)])
    tasks = rolling([file], Folds(3))
    span = int(file.times.max()) + 1 - START
    assert tasks[0].until == pytest.approx(START + span / 2, abs=3)
    assert tasks[1].until - tasks[0].until == pytest.approx(span / 6, abs=3)


@pytest.mark.parametrize("folds", [Folds(0), Folds(2, 1), Folds(1, 0), Folds(1, 1 / 24, "clicks")])
def test_folds_that_do_not_fit_are_refused(folds):
    with pytest.raises(InvalidValueError):
        rolling([FILE], folds)


def test_a_fold_without_anything_to_ask_is_said():
    with pytest.raises(NoDataError, match="fewer or longer folds"):
        rolling([FILE], replace(HALF_HOURS, targets="purchase"))


def test_files_without_times_or_without_carts_are_refused():
    with pytest.raises(InvalidValueError, match="with times"):
        rolling([replace(FILE, times=None)], HOUR_FOLD)
    views = replace(FILE, event_types=np.full(len(FILE), VIEW, np.uint8))
    with pytest.raises(InvalidValueError, match="views only"):
        rolling([views], replace(HOUR_FOLD, targets="cart_add"))


def test_a_task_cannot_be_made_of_training_that_came_after_the_split():
    (task,) = rolling([FILE], HOUR_FOLD)
    with pytest.raises(AssertionError, match="training holds acts"):
        replace(task, until=int(task.train.times.max()))


def test_figures_are_means_over_the_questions_of_all_folds(shop):
    folds = Folds(3, targets="cart_add")
    tasks = rolling([shop], folds)
    report = evaluate(EvaluationRequest((shop,), None, ("popularity", "item_knn"), "rolling", k=5, folds=folds))
    figures = report.models["item_knn"]
    counts = [len(task.sessions) for task in tasks]
    assert figures.n_predictions == report.data["n_questions"] == sum(counts)
    assert figures.hr == pytest.approx(np.average([fold["hr"] for fold in figures.folds], weights=counts))
    assert {"recall", "recall_capped", "precision", "map"} <= set(figures.figures)
    assert len(report.data["folds"]) == 3
    assert set(report.comparisons[0].folds_agreeing.values()) <= {0, 1, 2, 3}


@pytest.fixture
def shop():
    """Ten days of customers who put what they look at into the cart, now and then."""
    rng = np.random.default_rng(8)
    rows = []
    for number in range(150):
        block = 10 * int(rng.integers(0, 3))
        for place, product in enumerate(block + rng.integers(0, 10, 5)):
            minute = number * 96 + place
            rows.append((f"c{number % 40}", str(number), int(product), minute, CART if rng.random() < 0.4 else VIEW))
    return events(*rows)


def test_without_customers_sessions_hang_together():
    file = Interactions(FILE.sessions, FILE.products, FILE.event_types, FILE.times)
    (task,) = rolling([file], HOUR_FOLD)
    assert len(set(task.clusters.tolist())) == 2
    assert DAY * HOUR_FOLD.days == 60 * MINUTE
