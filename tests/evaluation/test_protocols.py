"""Rest of the session, and what becomes of products that come again."""

import numpy as np
import pytest
from tests.evaluation.made import asked, events

from active_customers.core.errors import NoDataError
from active_customers.core.identifiers import NO_NUMBER
from active_customers.evaluation.contestants import CONTESTANTS
from active_customers.evaluation.evaluator import EvaluationRequest, evaluate
from active_customers.evaluation.protocols import leave_one_out, next_item, rest_of_session
from active_customers.evaluation.task import predict
from active_customers.models.registry import new_model

TRAIN = events(
    *[(f"c{i}", "s", product, 10 * i + place) for i in range(6) for place, product in enumerate([1, 1, 2, 3])]
)
TEST = events(*[("x", "s", product, 100 + place) for place, product in enumerate([1, 1, 8, 2, 9, 1])])


def test_the_rest_holds_each_product_once_and_unseen_ones_are_told_apart():
    assert asked(rest_of_session([TRAIN], TEST)) == [
        ("x/s", [1], [1, 2, None, None]),
        ("x/s", [1, 1], [1, 2, None, None]),
        ("x/s", [1, 1, None], [1, 2, None]),
        ("x/s", [1, 1, None, 2], [1, None]),
        ("x/s", [1, 1, None, 2, None], [1]),
    ]


def test_the_rest_of_the_session_is_measured_as_a_set():
    train = events(
        ("a", "s", 3, 0), ("b", "s", 3, 0), ("c", "s", 3, 0), ("a", "t", 2, 0), ("b", "t", 2, 0), ("c", "t", 1, 0)
    )
    report = evaluate(EvaluationRequest((train,), TEST, ("popularity",), "rest-of-session", k=2))
    figures = report.models["popularity"].figures  # always 3, 2; of the five questions 2 is right in the first three
    expected = {
        "hr": 3,
        "mrr": 3 / 2,
        "recall": 2 / 4 + 1 / 3,
        "recall_capped": 3 / 2,
        "precision": 3 / 2,
        "map": 3 / 4,
    }
    assert {name: figures[name] for name in expected} == pytest.approx({name: n / 5 for name, n in expected.items()})
    assert set(report.models["popularity"].intervals) == set(figures) == {*expected, "ndcg"}


@pytest.mark.parametrize("protocol", [next_item, rest_of_session])
def test_dropped_repeats_are_neither_learned_from_nor_asked(protocol):
    task = protocol([TRAIN], TEST, "drop")
    assert task.train.products.tolist() == [0, 1, 2] * 6
    assert [shown for _, shown, _ in asked(task)] == [[1], [1, None], [1, None, 2], [1, None, 2, None]]


@pytest.mark.parametrize("protocol", [next_item, rest_of_session])
def test_new_asks_for_what_was_not_shown_and_takes_nothing_else_for_an_answer(protocol):
    task = protocol([TRAIN], TEST, "new")
    assert all(not set(shown) & set(right) - {None} for _, shown, right in asked(task))
    model = new_model("buy_again", {}, CONTESTANTS)
    model.fit(task.train)
    proposed = predict(model, task, 3, lambda _done, _all: None).products
    for row, (_, shown, _) in zip(proposed, asked(task), strict=True):
        assert not set(task.product_ids[row[row != NO_NUMBER]].tolist()) & set(shown)


def test_new_leaves_the_training_as_it_is():
    kept, new = (next_item([TRAIN], TEST, repeats) for repeats in ("keep", "new"))
    np.testing.assert_array_equal(kept.train.products, new.train.products)


def test_sessions_that_only_repeat_leave_nothing_to_ask():
    test = events(("x", "s", 1, 0), ("x", "s", 1, 1))
    for repeats in ("drop", "new"):
        with pytest.raises(NoDataError, match="two acts"):
            next_item([TRAIN], test, repeats)


def test_leave_one_out_drops_repeats_before_it_splits():
    histories = events(*[("x", "s", product, place) for place, product in enumerate([1, 2, 3, 3, 3])])
    task = leave_one_out([histories], loose=True, repeats="drop")
    assert asked(task) == [("x", [1, 2], [3])]
    assert task.product_ids[task.train.products].tolist() == [1, 2]


@pytest.mark.parametrize("protocol", [next_item, rest_of_session])
def test_one_customer_counts_once_and_has_one_number_in_training_and_test(protocol):
    train = events(("a", "s", 1, 0), ("a", "t", 1, 5), ("b", "s", 1, 9))
    task = protocol([train], events(("b", "u", 1, 20), ("b", "u", 1, 21)))
    first, second, third = task.train.customers.tolist()
    assert first == second != third
    assert task.unfolding.test.customers.tolist() == [third]


def test_the_report_says_how_repeats_were_treated():
    report = evaluate(EvaluationRequest((TRAIN,), TEST, ("popularity",), repeats="drop"))
    assert report.data["repeats"] == "drop"
    assert report.data["n_questions"] == 4
