"""A file of held-out purchases."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.evaluation.made import BUY, asked, events, named

from active_customers.core.errors import InvalidValueError, NoDataError
from active_customers.core.identifiers import NO_NUMBER
from active_customers.evaluation.evaluator import EvaluationRequest, evaluate
from active_customers.evaluation.held_out import held_out
from active_customers.evaluation.interactions import Interactions
from active_customers.evaluation.task import predict
from active_customers.importing.interactions import read_held_out
from active_customers.models.registry import new_model

HISTORY = events(
    ("1", "x", 1, 0), ("2", "x", 2, 1), ("1", "x", 2, 2), ("1", "y", 3, 90, BUY), ("2", "y", 3, 100), ("3", "x", 4, 5)
)


def bought(*pairs):
    customers, products = (np.array(column) for column in zip(*pairs, strict=True))
    return Interactions(customers, products, np.full(len(pairs), BUY, np.uint8), None)


def test_every_customer_is_asked_once_with_all_they_did():
    task = held_out([HISTORY], bought((2, 1), (1, 4)))
    assert sorted(asked(task)) == [("1", [1, 2, 3], [4]), ("2", [2, 3], [1])]


def test_all_of_the_history_is_learned_from_in_its_own_sessions():
    task = held_out([HISTORY], bought((2, 1)))
    assert task.train.n_sessions == 5
    assert len(set(task.train.customers.tolist())) == 3


def test_several_rows_of_a_customer_are_all_right_and_unseen_products_stay_in_the_count():
    task = held_out([HISTORY], bought((1, 4), (1, 9), (1, 8), (1, 4)))
    assert asked(task) == [("1", [1, 2, 3], [4, None, None])]


def test_what_the_customer_had_is_not_proposed():
    task = held_out([HISTORY], bought((1, 4), (2, 1)))
    model = new_model("popularity")
    model.fit(task.train)
    products = predict(model, task, 4, lambda _done, _all: None).products
    proposed = {str(task.session_ids[i]): named(task, sorted(row[row != NO_NUMBER])) for i, row in enumerate(products)}
    assert proposed == {"1": [4], "2": [1, 4]}


def test_what_the_history_holds_already_is_not_asked_for():
    task = held_out([HISTORY], bought((1, 4), (1, 2), (2, 3)))
    assert asked(task) == [("1", [1, 2, 3], [4])]
    assert task.n_left_out == 2


def test_a_customer_without_a_history_is_refused_by_name():
    with pytest.raises(InvalidValueError, match="'77'"):
        held_out([HISTORY], bought((1, 4), (77, 1)))


def test_an_empty_file_holds_no_data():
    with pytest.raises(NoDataError, match="no rows"):
        held_out([HISTORY], bought((1, 1)).where(np.zeros(1, bool)))


def test_figures_are_those_of_the_file(tmp_path):
    pq.write_table(pa.table({"user_id": [1, 2], "item_id": [4, 9]}), tmp_path / "held.parquet")
    request = EvaluationRequest((HISTORY,), read_held_out(tmp_path / "held.parquet"), ("popularity",), "held-out", k=1)
    report = evaluate(request)
    assert report.models["popularity"].hr == 0.5
    assert report.data["n_unseen_targets"] == 1
    assert report.data["test_files"][0]["name"] == "held.parquet"


@pytest.mark.parametrize(
    "columns", [{"user_id": [1]}, {"item_id": [1]}, {"user_id": [None, "2"], "item_id": ["a", "b"]}]
)
def test_a_file_with_a_gap_is_refused(tmp_path, columns):
    pq.write_table(pa.table(columns), tmp_path / "held.parquet")
    with pytest.raises(InvalidValueError):
        read_held_out(tmp_path / "held.parquet")
