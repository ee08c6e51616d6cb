"""Figures beyond accuracy, worked out by hand."""

import numpy as np
import pytest
from tests.evaluation.made import events
from tests.models.conftest import log_of

from active_customers.core.identifiers import NO_NUMBER
from active_customers.evaluation.beyond import Catalogue, gini
from active_customers.evaluation.evaluator import EvaluationRequest, evaluate

# Acts of products 0 to 3: 4, 2, 2, 0; 0 and 1 share two sessions, 0 and 2 one, 1 and 2 none.
LOG = log_of([[0, 1], [0, 1], [0, 2], [0], [2]], 4)


def figures(lists, targets):
    filled = [row + [NO_NUMBER] * (len(lists[0]) - len(row)) for row in lists]
    return Catalogue(LOG).figures(np.array(filled, np.uint32), np.array(targets, np.uint32), np.random.default_rng(0))


def test_popularity_is_the_share_of_products_that_are_no_more_popular():
    assert Catalogue(LOG).popularity(np.array([0, 1, 2, 3, NO_NUMBER], np.uint32)).tolist() == [
        1,
        0.625,
        0.625,
        0.25,
        0,
    ]


def test_lift_is_what_is_shown_by_what_was_right():
    found = figures([[0, 1]], [3, NO_NUMBER])
    assert found["popularity"] == pytest.approx((1 + 0.625) / 2)
    assert found["popularity_of_targets"] == pytest.approx(0.125)
    assert found["popularity_lift"] == pytest.approx(0.8125 / 0.125)


def test_novelty_is_the_information_of_what_is_shown():
    assert figures([[0, 1]], [0])["novelty"] == pytest.approx((1 + 2) / 2)


def test_diversity_is_one_less_the_cosine_of_shared_sessions():
    assert figures([[0, 1]], [0])["diversity"] == pytest.approx(1 - 2 / np.sqrt(4 * 2))
    assert figures([[1, 2]], [0])["diversity"] == 1
    pairs = [1 - 2 / np.sqrt(8), 1 - 1 / np.sqrt(8), 1]
    assert figures([[0, 1, 2]], [0])["diversity"] == pytest.approx(np.mean(pairs))


def test_lists_that_are_too_short_have_no_diversity():
    assert figures([[0, 1], [2]], [0])["diversity"] == pytest.approx(1 - 2 / np.sqrt(8))
    assert (
        Catalogue(LOG).figures(np.full((2, 3), NO_NUMBER, np.uint32), np.zeros(1, np.uint32), np.random.default_rng(0))[
            "diversity"
        ]
        == 0
    )


def test_gini_tells_how_unequally_products_are_shown():
    assert gini(np.zeros(3)) == 0
    assert figures([[0], [1], [2], [3]], [0])["gini"] == pytest.approx(0)
    assert figures([[0], [0], [0], [0]], [0])["gini"] == pytest.approx(0.75)


def test_products_are_head_middle_tail_or_unseen():
    log = log_of([[product] * (100 - product) for product in range(100)], 100)
    tiers = Catalogue(log).tiers(np.append(np.arange(100), NO_NUMBER).astype(np.uint32)).tolist()
    assert [tiers.count(name) for name in ("head", "middle", "tail", "unseen")] == [5, 15, 80, 1]
    assert tiers[:5] == ["head"] * 5


def test_slices_count_each_question_and_each_target_once():
    train = events(*[(f"c{i}", "s", product, i * 10 + product) for i in range(20) for product in range(5)])
    test = events(
        ("x", "1", 0, 0),
        ("x", "1", 1, 1),
        ("x", "1", 0, 2),
        ("x", "1", 9, 3),
        ("x", "1", 2, 4),
        ("x", "1", 3, 5),
        ("x", "1", 4, 6),
    )
    report = evaluate(EvaluationRequest((train,), test, ("item_knn",), k=3)).models["item_knn"]
    shown = report.slices["acts_shown"]
    assert {name: part["questions"] for name, part in shown.items()} == {"1": 1, "2 to 4": 3, "5 or more": 2}
    assert sum(part["questions"] * part["hr"] for part in shown.values()) / 6 == pytest.approx(report.hr)
    assert report.slices["target_popularity"]["unseen"] == {"targets": 1, "found": 0.0}
    new = report.slices["target_in_session"]
    assert {name: part["targets"] for name, part in new.items()} == {"shown before": 1, "new": 5}
    assert sum(part["targets"] * part["found"] for part in new.values()) / 6 == pytest.approx(report.hr)


def test_hits_by_length_grow_up_to_the_length_of_the_list():
    train = events(*[(f"c{i}", "s", i * product % 7, i * 10 + product) for i in range(20) for product in range(5)])
    report = evaluate(EvaluationRequest((train,), train, ("item_knn",), k=7)).models["item_knn"]
    assert list(report.hr_at) == ["1", "3", "5", "7"]
    assert list(report.hr_at.values()) == sorted(report.hr_at.values())
    assert report.hr_at["7"] == report.hr


def test_macro_figures_count_every_session_alike():
    train = events(("a", "s", 1, 0), ("b", "s", 1, 1), ("c", "s", 2, 2))
    test = events(
        ("x", "1", 2, 0), ("x", "1", 1, 1), ("y", "1", 1, 10), ("y", "1", 2, 11), ("y", "1", 2, 12), ("y", "1", 2, 13)
    )
    report = evaluate(EvaluationRequest((train,), test, ("popularity",), k=1)).models["popularity"]
    assert report.hr == pytest.approx(1 / 4)
    assert report.macro["hr"] == pytest.approx(1 / 2)


def test_an_unseen_product_was_shown_only_where_the_same_one_was():
    train = events(("a", "s", 1, 0), ("b", "s", 1, 1))
    test = events(("x", "1", 8, 0), ("x", "1", 9, 1), ("x", "1", 8, 2))
    new = evaluate(EvaluationRequest((train,), test, ("popularity",))).models["popularity"].slices["target_in_session"]
    assert {name: part["targets"] for name, part in new.items()} == {"shown before": 1, "new": 1}
