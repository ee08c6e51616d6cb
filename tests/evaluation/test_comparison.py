"""Differences between models, against cases whose answer is known."""

import numpy as np
import pytest
from tests.evaluation.made import events

from active_customers.core.errors import InvalidValueError
from active_customers.evaluation.comparison import Comparison, Difference, corrected, differences, holm
from active_customers.evaluation.evaluator import EvaluationRequest, evaluate


def compared(apart, clusters, seed=0):
    ours, theirs = {"hr": np.asarray(apart, float)}, {"hr": np.zeros(len(apart))}
    return differences(ours, theirs, np.asarray(clusters), np.random.default_rng(seed))["hr"]


def test_a_difference_that_is_the_same_everywhere_has_no_width():
    found = compared([0.25] * 40, np.arange(40))
    assert found.mean == found.interval[0] == found.interval[1] == 0.25
    assert found.excludes_zero
    assert found.smallest_detectable == pytest.approx(0)
    assert found.p < 0.001


def test_equal_models_do_not_differ():
    found = compared([0.0] * 40, np.arange(40))
    assert not found.excludes_zero
    assert found.p == 1


def test_chance_alone_is_rarely_called_a_difference():
    rng = np.random.default_rng(4)
    called = [compared(rng.normal(size=60), np.arange(60), seed) for seed in range(40)]
    assert sum(found.excludes_zero for found in called) <= 6
    assert sum(found.p < 0.05 for found in called) <= 6


def test_questions_of_one_cluster_count_as_one():
    values = np.random.default_rng(5).normal(0.2, 1, 50)
    apart, alone = compared(np.repeat(values, 20), np.repeat(np.arange(50), 20)), compared(values, np.arange(50))
    width = np.subtract(*apart.interval[::-1])
    assert width == pytest.approx(np.subtract(*alone.interval[::-1]), rel=0.05)
    assert width == pytest.approx(2 * 1.96 * values.std() / np.sqrt(50), rel=0.1)


def test_the_smallest_detectable_difference_is_found_four_times_in_five():
    rng = np.random.default_rng(2)
    n = 100
    assert compared(rng.normal(size=n), np.arange(n)).smallest_detectable == pytest.approx(2.8 / np.sqrt(n), rel=0.2)
    found = [compared(rng.normal(2.8 / np.sqrt(n), 1, n), np.arange(n), seed).excludes_zero for seed in range(100)]
    assert 0.68 < np.mean(found) < 0.92


def test_p_grows_with_the_number_of_comparisons():
    assert holm(np.array([0.02, 0.001, 0.5])).tolist() == [0.04, 0.003, 0.5]
    assert holm(np.array([0.9, 0.8])).tolist() == [1, 1]


def test_p_is_corrected_over_models_measure_by_measure():
    def one(name, p):
        return Comparison(name, "c", {"hr": Difference(0.1, (0.0, 0.2), p, 0.1)}, {"hr": 1})

    found = corrected([one("a", 0.01), one("b", 0.04)])
    assert [comparison.differences["hr"].p for comparison in found] == [0.02, 0.04]
    assert corrected([]) == []


TRAIN = events(
    *[(f"c{i}", "s", product, 10 * i + product) for i in range(30) for product in (i % 3 * 2, i % 3 * 2 + 1)]
)


def test_every_other_model_is_compared_with_the_first_or_the_named_one():
    models = ("popularity", "item_knn", "session_knn")
    report = evaluate(EvaluationRequest((TRAIN,), TRAIN, models))
    assert [(found.model, found.against) for found in report.comparisons] == [
        ("item_knn", "popularity"),
        ("session_knn", "popularity"),
    ]
    named = evaluate(EvaluationRequest((TRAIN,), TRAIN, models, against="item_knn"))
    assert [found.against for found in named.comparisons] == ["item_knn", "item_knn"]
    for found in named.comparisons:
        for measure, difference in found.differences.items():
            ours, theirs = named.models[found.model].figures[measure], named.models["item_knn"].figures[measure]
            assert difference.mean == pytest.approx(ours - theirs)


def test_a_model_that_is_not_measured_cannot_be_compared_with():
    with pytest.raises(InvalidValueError, match="against"):
        evaluate(EvaluationRequest((TRAIN,), TRAIN, ("popularity",), against="vstan"))
