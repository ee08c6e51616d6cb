"""The next-item protocol from end to end, on sessions whose answers are known."""

import math
from collections import defaultdict

import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest
from tests.evaluation.made import asked as asked_of
from tests.evaluation.made import events

from active_customers.core.errors import InvalidValueError, NoDataError
from active_customers.core.event import EventType
from active_customers.core.identifiers import NO_NUMBER
from active_customers.evaluation.evaluator import EvaluationRequest, evaluate
from active_customers.evaluation.interactions import Interactions
from active_customers.evaluation.protocols import leave_one_out, next_item
from active_customers.evaluation.rolling import Folds
from active_customers.evaluation.task import predict
from active_customers.models.base import Candidates
from active_customers.models.registry import MODELS, new_model


def interactions(sessions, first_id=100):
    pairs = [(first_id + number, product) for number, session in enumerate(sessions) for product in session]
    ids = np.array([session for session, _ in pairs], np.int64)
    products = np.array([product for _, product in pairs])
    return Interactions(ids, products, np.full(len(pairs), EventType.VIEW, np.uint8), None)


@pytest.fixture
def train():
    rng = np.random.default_rng(3)
    return interactions([1000 + 10 * (i % 4) + rng.permutation(10)[: rng.integers(2, 7)] for i in range(200)])


@pytest.fixture
def asked():
    rng = np.random.default_rng(4)
    known = [1000 + 10 * (i % 4) + rng.integers(0, 10, rng.integers(1, 6)) for i in range(40)]
    return interactions([*known, [5, 6, 7], [1001, 5, 1002]], first_id=900)


def test_every_prefix_of_every_session_is_asked_once():
    task = next_item((interactions([[1, 2, 3]]),), interactions([[1, 2, 2, 3], [2], [9, 1]]))
    shown = [(int(s), int(n), int(t)) for s, n, t in zip(task.sessions, task.lengths, task.targets, strict=True)]
    assert shown == [(0, 1, 1), (0, 2, 1), (0, 3, 2), (2, 1, 0)]


def test_a_target_unseen_in_training_is_a_miss_and_stays_in_the_count():
    request = EvaluationRequest((interactions([[1, 2]] * 5),), interactions([[1, 2], [1, 8], [9, 8]]), ("item_knn",))
    report = evaluate(request)
    assert report.data["n_unseen_targets"] == 2
    assert report.models["item_knn"].n_predictions == 3
    assert report.models["item_knn"].hr == pytest.approx(1 / 3)


def test_figures_are_those_worked_out_by_hand():
    # Popularity always says 1, 2, 3: ranks of the targets 2, 3, 1, 4 (unseen) are 2, 3, 1, none.
    train = interactions([[1], [1], [1], [2], [2], [3]])
    report = evaluate(EvaluationRequest((train,), interactions([[9, 2, 3], [3, 1], [1, 4]]), ("popularity",), k=3))
    figures = report.models["popularity"]
    assert figures.hr == pytest.approx(3 / 4)
    assert figures.mrr == pytest.approx((1 / 2 + 1 / 3 + 1) / 4)
    assert figures.ndcg == pytest.approx((1 / math.log2(3) + 1 / 2 + 1) / 4)
    assert figures.coverage == 1.0


def test_train_and_valid_are_fitted_together():
    halves = (interactions([[1, 2]] * 3), interactions([[3, 4]] * 3))
    report = evaluate(EvaluationRequest(halves, interactions([[1, 2], [3, 4]]), ("session_knn",)))
    assert report.models["session_knn"].hr == 1.0


def recomputed(dump, sessions, k):
    """Return the figures by model from a dump and the test sessions, with nothing of the package."""
    lists = defaultdict(dict)
    for row in pq.read_table(dump).to_pylist():
        lists[row["model"]].setdefault((row["session_id"], row["prefix_len"]), {})[row["rank"]] = row["product_id"]
    figures = {}
    for model, answers in lists.items():
        hits = []
        for number, session in sessions.items():
            for length in range(1, len(session)):
                shown = answers.get((number, length), {})
                hits.append(next((rank for rank in sorted(shown) if shown[rank] == session[length] and rank <= k), 0))
        figures[model] = {
            "hr": sum(rank > 0 for rank in hits) / len(hits),
            "mrr": sum(1 / rank for rank in hits if rank) / len(hits),
            "ndcg": sum(1 / math.log2(1 + rank) for rank in hits if rank) / len(hits),
            "n_predictions": len(hits),
            "products": {product for shown in answers.values() for product in shown.values()},
        }
    return figures


def test_every_figure_can_be_recomputed_from_the_dump(train, asked, tmp_path):
    dump = tmp_path / "predictions.parquet"
    report = evaluate(EvaluationRequest((train,), asked, tuple(MODELS), k=7, dump=dump)).as_dict()
    sessions = defaultdict(list)
    for session, product in zip(asked.sessions.tolist(), asked.products.tolist(), strict=True):
        sessions[session].append(product)
    n_products = len(set(train.products.tolist()))
    figures = recomputed(dump, sessions, 7)
    for model in MODELS:
        ours = report["models"][model]
        for name in ("hr", "mrr", "ndcg", "n_predictions"):
            assert ours[name] == pytest.approx(figures[model][name]), (model, name)
        assert ours["coverage"] == pytest.approx(len(figures[model]["products"]) / n_products)


def test_the_dump_holds_the_ids_of_the_files_in_their_type(train, asked, tmp_path):
    dump = tmp_path / "predictions.parquet"
    evaluate(EvaluationRequest((train,), asked, ("popularity",), k=2, dump=dump))
    table = pq.read_table(dump)
    assert table.column_names == ["model", "session_id", "prefix_len", "rank", "product_id", "score"]
    assert table["session_id"].to_numpy().dtype == table["product_id"].to_numpy().dtype == np.int64
    assert set(table["product_id"].to_pylist()) <= set(train.products.tolist())
    assert min(table["rank"].to_pylist()) == min(table["prefix_len"].to_pylist()) == 1


def test_string_ids_come_back_as_strings(tmp_path):
    part = interactions([["a", "b"]] * 3)
    dump = tmp_path / "predictions.parquet"
    evaluate(EvaluationRequest((part,), part, ("item_knn",), dump=dump))
    assert set(pq.read_table(dump)["product_id"].to_pylist()) == {"b"}


def test_integer_and_string_ids_of_the_same_product_meet():
    text = interactions([["1", "2"]])
    report = evaluate(EvaluationRequest((interactions([[1, 2]] * 3),), text, ("item_knn",)))
    assert report.models["item_knn"].hr == 1.0


def test_the_future_of_a_session_does_not_change_its_predictions(train, tmp_path):
    answers = []
    for place, future in enumerate(([1005, 1006, 1007], [1007, 1005, 1006])):
        dump = tmp_path / f"{place}.parquet"
        part = interactions([[1001, 1002, *future]])
        evaluate(EvaluationRequest((train,), part, tuple(MODELS), dump=dump))
        table = pq.read_table(dump).to_pylist()
        answers.append([row for row in table if row["prefix_len"] <= 2])
    assert answers[0] == answers[1]


def test_the_report_is_json_in_the_documented_shape(train, asked, tmp_path):
    evaluate(EvaluationRequest((train,), asked, ("session_knn",))).write(tmp_path / "report.json")
    report = orjson.loads((tmp_path / "report.json").read_bytes())
    assert list(report) == ["protocol", "k", "data", "models", "comparisons"]
    assert (report["protocol"], report["k"]) == ("next-item", 20)
    figures = report["models"]["session_knn"]
    assert {"hr", "mrr", "ndcg", "coverage", "n_predictions", "us_per_prediction"} <= set(figures)
    assert figures["hr_interval"][0] <= figures["hr"] <= figures["hr_interval"][1]


def test_progress_ends_when_all_models_are_done(train, asked):
    told = []
    report = evaluate(EvaluationRequest((train,), asked, tuple(MODELS)), lambda done, total: told.append((done, total)))
    n = len(MODELS) * report.models["popularity"].n_predictions
    assert told[-1] == (n, n)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


@pytest.mark.parametrize(
    "wrong", [{"k": 0}, {"protocol": "hold-out"}, {"models": ("sknn",)}, {"configs": {"item_knn": {"n": 1}}}]
)
def test_wrong_requests_are_refused(train, asked, wrong):
    with pytest.raises(InvalidValueError):
        evaluate(EvaluationRequest(**({"train": (train,), "test": asked, "models": ("item_knn",)} | wrong)))


@pytest.mark.parametrize(
    ("wrong", "protocol", "said"),
    [
        ({"loose": True}, "next-item", "loose: true"),
        ({"folds": Folds(3)}, "next-item", "folds: 3"),
        ({"folds": Folds(targets="purchase")}, "held-out", "targets: 'purchase'"),
        ({"folds": Folds(days=2.0)}, "rest-of-session", "horizon_days: 2.0"),
        ({"folds": Folds(3), "test": None}, "next-basket", "folds: 3"),
        ({"folds": Folds(days=2.0), "test": None}, "leave-one-out", "horizon_days: 2.0"),
    ],
)
def test_a_flag_that_the_protocol_has_no_use_for_is_refused(train, asked, wrong, protocol, said):
    given = {"train": (train,), "test": asked, "models": ("item_knn",), "protocol": protocol} | wrong
    with pytest.raises(InvalidValueError, match=f"{said}.*leave it out: {protocol} has no use for it"):
        evaluate(EvaluationRequest(**given))


def test_nothing_to_learn_from_or_to_ask_is_said(train):
    with pytest.raises(NoDataError, match="training"):
        evaluate(EvaluationRequest((interactions([]),), train, ("popularity",)))
    with pytest.raises(NoDataError, match="two acts"):
        evaluate(EvaluationRequest((train,), interactions([[1001]]), ("popularity",)))


def histories(*customers):
    rows = [(customer, product, place) for customer, acts in enumerate(customers) for place, product in enumerate(acts)]
    sessions, products, places = np.array(rows, np.int64).T
    return Interactions(sessions, products, np.full(len(rows), EventType.VIEW, np.uint8), places * 60_000_000)


class Saying:
    """A model that answers everything with what it is told to."""

    def __init__(self, *products):
        self._products = np.array(products, np.uint32)

    def candidates(self, session, n, excluded=None):
        return Candidates(self._products, np.ones(len(self._products), np.float32), self._products)


@pytest.mark.parametrize(("repeats", "products"), [("keep", (1, 1)), ("new", (0,))])
def test_an_answer_with_a_product_twice_or_one_that_is_excluded_is_not_measured(repeats, products):
    task = next_item((interactions([[1, 2, 3]]),), interactions([[1, 2]]), repeats)
    with pytest.raises(AssertionError, match="mend the model"):
        predict(Saying(*products), task, 3, lambda _done, _all: None)


class TestLeaveOneOut:
    """Nobody learns from what is asked, and nobody is shown what they had."""

    def test_the_last_is_asked_with_all_before_it_and_the_last_two_are_not_learned_from(self):
        task = leave_one_out([histories([1, 2, 3, 4], [5, 6], [7, 8, 9])])
        assert task.product_ids[task.targets].tolist() == [9, 4]  # customers in the order of their last acts
        assert task.lengths.tolist() == [2, 3]
        assert sorted(task.product_ids[task.train.products].tolist()) == [1, 2, 5, 6, 7]

    def test_loose_learns_from_all_but_the_last(self):
        task = leave_one_out([histories([1, 2, 3, 4], [7, 8, 9])], loose=True)
        assert sorted(task.product_ids[task.train.products].tolist()) == [1, 2, 3, 7, 8]

    def test_what_the_customer_had_is_never_proposed(self):
        task = leave_one_out([histories(*[[1, 2, 3, 4, 5]] * 5)], loose=True)
        model = new_model("item_knn")
        model.fit(task.train)
        shown = predict(model, task, 3, lambda _done, _all: None).products
        assert set(task.product_ids[shown[shown != NO_NUMBER]].tolist()) == set()

    def test_who_had_the_last_product_before_is_not_asked_and_the_report_says_how_many_are(self):
        file = histories([1, 2, 3, 1], [2, 3, 4, 5], [4, 4, 4])
        report = evaluate(EvaluationRequest((file,), None, ("popularity",), "leave-one-out"))
        assert (report.data["n_questions"], report.data["n_targets_left_out"]) == (1, 2)
        with pytest.raises(NoDataError, match="in its question already"):
            leave_one_out([histories([1, 2, 3, 1])])

    def test_the_held_out_acts_change_no_answer(self):
        rng = np.random.default_rng(1)
        acts = [rng.permutation(20)[:6].tolist() for _ in range(40)]
        other = [[*customer[:-1], rng.choice(np.setdiff1d(np.arange(20), customer))] for customer in acts]
        answers = []
        for given in (acts, other):
            task = leave_one_out([histories(*given, list(range(20)))])
            model = new_model("session_knn")
            model.fit(task.train)
            answers.append(predict(model, task, 5, lambda _done, _all: None).products.tolist())
        assert answers[0] == answers[1]

    def test_one_question_is_asked_of_each_customer_however_many_sessions_they_had(self):
        file = events(("a", "s", 1, 0), ("a", "s", 2, 1), ("a", "t", 3, 9), ("a", "t", 4, 10), ("b", "s", 1, 2))
        task = leave_one_out([file])
        assert asked_of(task) == [("a", [1, 2, 3], [4])]
        assert task.product_ids[task.train.products].tolist() == [1, 2, 1]

    def test_a_test_file_is_refused_and_so_are_histories_that_are_too_short(self):
        with pytest.raises(InvalidValueError, match="leave it out"):
            evaluate(EvaluationRequest((histories([1, 2, 3]),), histories([1]), ("item_knn",), "leave-one-out"))
        with pytest.raises(NoDataError, match="3 acts"):
            leave_one_out([histories([1, 2])])
