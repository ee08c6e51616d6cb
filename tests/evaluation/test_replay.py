"""The replay: as of each moment, strictly; and live apart from static."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.conftest import lightgbm_or_skip
from tests.evaluation.made import BUY, CART, START, VIEW, events

from active_customers.core.clock import MINUTE
from active_customers.core.errors import InvalidValueError
from active_customers.core.recommendation import Goal
from active_customers.core.session import EVENTS_KEPT, CustomerState
from active_customers.evaluation.described import DescribedProducts
from active_customers.evaluation.evaluator import LIVE, EvaluationRequest, evaluate
from active_customers.evaluation.page import page
from active_customers.evaluation.protocols import next_item
from active_customers.evaluation.replay import SERVED, answer, fit_served, question_of_session
from active_customers.evaluation.rolling import Folds
from active_customers.models.product_features import About
from active_customers.realtime.live_index import LiveIndexConfig

lightgbm_or_skip()

SESSIONS, LENGTH, GAP = 90, 6, 3
CONFIG = LiveIndexConfig(max_sessions=1_000, segment_rows=16)
ROLLING = {"protocol": "rolling", "folds": Folds(1, 0.08)}


def shop(seed=1):
    """Return overlapping sessions over three blocks of products, ever newer ones among them."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(SESSIONS):
        products = number // 15 * 4 + 10 * int(rng.integers(0, 3)) + rng.integers(0, 10, LENGTH)
        kinds = rng.choice([VIEW, CART, BUY], LENGTH, p=[0.8, 0.1, 0.1])
        for place, (product, kind) in enumerate(zip(products, kinds, strict=True)):
            rows.append((f"c{number % 40}", str(number), int(product), number * GAP + 2 * place, int(kind)))
    return events(*rows)


def parts(file):
    """Return what is learned from, and the sessions that begin in the last third, which are asked."""
    later = np.array([int(session.split("/")[1]) >= SESSIONS * 2 // 3 for session in file.sessions.tolist()])
    return file.where(~later), file.where(later)


def request_of(file, protocol="next-item", **more):
    if protocol == "rolling":
        return EvaluationRequest((file,), None, (), protocol, k=10, live=CONFIG, **more)
    train, test = parts(file)
    return EvaluationRequest((train,), test, (), protocol, k=10, live=CONFIG, **more)


def answers(path, request):
    """Return the answers as {model: {(session, acts shown): [(product, score), ...]}}, and the report."""
    report = evaluate(replace(request, dump=path))
    found = {SERVED: {}, LIVE: {}}
    for row in pq.read_table(path).to_pylist():
        key = row["session_id"], row["prefix_len"]
        found[row["model"]].setdefault(key, []).append((row["product_id"], row["score"]))
    return found, report


def asked_at(file):
    """Return the moment of each question: that of the newest act it shows."""
    return {
        (str(session), place + 1): int(time)
        for session in np.unique(file.sessions)
        for place, time in enumerate(np.sort(file.times[file.sessions == session]))
    }


def other_products(file, later, rng):
    return replace(file, products=np.where(later, rng.integers(0, 80, len(file)), file.products))


def shuffled(file, later, rng):
    """Put the later acts into another order: each happens at the time of another one."""
    rows = np.flatnonzero(later)
    products, kinds = file.products.copy(), file.event_types.copy()
    order = rng.permutation(rows)
    products[rows], kinds[rows] = products[order], kinds[order]
    return replace(file, products=products, event_types=kinds)


def other_times(file, later, rng):
    """Let everything later happen at once, when the file ends."""
    return replace(file, times=np.where(later, file.times.max(), file.times))


@pytest.mark.parametrize("change", [other_products, shuffled, other_times])
@pytest.mark.parametrize("how", [{}, {"protocol": "rest-of-session"}, ROLLING], ids=["next", "rest", "rolling"])
def test_nothing_that_happens_after_a_question_changes_its_answer(how, change, tmp_path):
    file = shop()
    _, test = parts(file)
    moment = int(np.quantile(test.times, 0.6))
    other = change(file, file.times > moment, np.random.default_rng(2))
    found = [answers(tmp_path / f"{i}.parquet", request_of(each, **how))[0] for i, each in enumerate((file, other))]
    moments = asked_at(file)
    before = [{key: row for key, row in each[LIVE].items() if moments[key] <= moment} for each in found]
    assert before[0] == before[1]
    assert len(before[0]) > 20
    assert found[0][LIVE] != found[1][LIVE]


def test_what_others_do_at_the_moment_of_a_question_is_not_known_to_it(tmp_path):
    train, test = parts(shop())
    at_once = replace(test, times=np.full(len(test), int(test.times.max())))
    found, _ = answers(tmp_path / "a.parquet", EvaluationRequest((train,), at_once, (), k=10, live=CONFIG))
    assert found[LIVE] == found[SERVED]  # nothing is older than any question: the index was given nothing
    assert found[LIVE]


def test_what_others_did_before_a_question_is_known_to_it(tmp_path):
    found, _ = answers(tmp_path / "a.parquet", request_of(shop()))
    changed = {key for key, row in found[LIVE].items() if row != found[SERVED].get(key)}
    assert len(changed) > len(found[LIVE]) / 2


@pytest.mark.parametrize("goal", [Goal.RETURN, Goal.NEW])
def test_what_is_served_is_asked_for_what_the_task_is_for(goal):
    train, test = parts(shop())
    task = next_item((train,), test)
    models = fit_served(task.train, {})
    asked_next, asked_other = (
        answer(models, each, 10, lambda _done, _all: None).products for each in (task, replace(task, goal=goal))
    )
    assert (asked_next != asked_other).any()


def test_nobody_s_own_session_votes(tmp_path):
    train, test = parts(shop())
    alone = test.where(test.sessions == test.sessions[0])
    found, _ = answers(tmp_path / "a.parquet", EvaluationRequest((train,), alone, (), k=10, live=CONFIG))
    assert found[LIVE] == found[SERVED]
    assert len(found[LIVE]) == LENGTH - 1


@pytest.mark.parametrize(("first", "is_found"), [("a", True), ("b", False)])
def test_only_what_other_customers_did_lets_a_new_product_be_foretold(first, is_found):
    old = [(f"c{i}", "0", i * place % 7, i + place) for i in range(40) for place in range(4)]
    new = [(first, "1", 900, 101), (first, "1", 901, 102), ("b", "2", 900, 103), ("b", "2", 901, 104)]
    file = events(*old, *new)
    train, test = file.where(file.products < 900), file.where(file.products >= 900)
    report = evaluate(EvaluationRequest((train,), test, (), k=5, live=CONFIG))
    assert report.models[SERVED].hr == 0.0
    assert report.live[SERVED].hr == (0.5 if is_found else 0.0)
    assert report.live[SERVED].slices["target_popularity"]["unseen"]["targets"] == 2


def test_an_untouched_product_is_foretold_by_what_the_catalogue_says_of_it():
    old = [(f"c{i}", "0", i * place % 7, i + place) for i in range(40) for place in range(4)]
    file = events(*old, ("a", "1", 3, 101), ("a", "1", 900, 102))
    train, test = file.where(file.sessions != "a/1"), file.where(file.sessions == "a/1")
    oak, elm = [(About.BRAND, "oak")], [(About.BRAND, "elm")]
    said = DescribedProducts(np.array(["3", "900", "5"]), [oak, oak, elm])
    report = evaluate(EvaluationRequest((train,), test, (), k=8, live=CONFIG, catalogue=said))
    assert report.models[SERVED].hr == report.live[SERVED].hr == 1.0
    assert report.live[SERVED].slices["target_popularity"]["unseen"] == {"targets": 1, "found": 1.0}


def test_both_tables_and_what_the_second_gained_stand_apart_in_the_report():
    report = evaluate(replace(request_of(shop()), models=("popularity",)))
    written = report.as_dict()
    assert list(written["models"]) == ["popularity", SERVED]
    assert list(written["live"]["models"]) == [SERVED]
    (gained,) = written["live"]["comparisons"]
    assert (gained["model"], gained["against"]) == (LIVE, SERVED)
    assert gained["hr"]["difference"] == pytest.approx(report.live[SERVED].hr - report.models[SERVED].hr)
    assert [row["model"] for row in written["comparisons"]] == [SERVED]
    assert written["data"]["live"] == {
        "learned_acts": SESSIONS // 3 * LENGTH,
        "train_acts_after_first_question": int(
            (parts(shop())[0].times >= START + SESSIONS * 2 // 3 * GAP * MINUTE).sum()
        ),
    }


def test_the_page_shows_the_live_table_after_all_that_is_static():
    report = evaluate(request_of(shop()))
    static, live = page(report.as_dict()).split("<h1>Live</h1>")
    assert f"{report.models[SERVED].hr:.4f}" in static
    assert LIVE not in static
    assert f"{report.live[SERVED].hr:.4f}" in live
    assert f"Against {SERVED}" in live
    assert "<h1>Live</h1>" not in page(
        evaluate(replace(request_of(shop()), live=None, models=("popularity",))).as_dict()
    )


def test_no_fold_of_a_replay_learns_from_acts_after_its_questions():
    report = evaluate(request_of(shop(), **ROLLING))
    assert report.data["live"]["train_acts_after_first_question"] == 0
    assert report.data["live"]["learned_acts"] > 0


def test_what_the_session_showed_is_not_proposed_where_it_must_be_new(tmp_path):
    file = shop()
    found, _ = answers(tmp_path / "a.parquet", request_of(file, repeats="new"))
    for (session, length), row in found[LIVE].items():
        mine = file.sessions == session
        shown = file.products[mine][np.argsort(file.times[mine])][:length]
        assert not {product for product, _ in row} & set(shown.tolist())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"protocol": "leave-one-out", "test": None},
            "protocol: 'leave-one-out' is not valid: --live replays sessions",
        ),
        ({"k": 101}, "k: 101"),
        ({"configs": {"item_knn": {"neighbours": 0}}}, "item_knn.neighbours: 0"),
        ({"against": "stan"}, "name one of the models: served"),
    ],
)
def test_a_replay_that_cannot_be_made_is_refused(change, said):
    with pytest.raises(InvalidValueError, match=said):
        evaluate(replace(request_of(shop()), **change))


def test_a_question_is_the_state_that_the_service_keeps_of_a_session():
    rows = [("a", "1", place % 9, place, CART if place == 2 else VIEW) for place in range(EVENTS_KEPT + 5)]
    task = next_item((events(("b", "0", 3, 0), ("b", "0", 1, 1)),), events(*rows))
    state, asked = question_of_session(task.unfolding.test, 0, 3, 7)
    found = CustomerState.of(state)
    assert (found.events[:, 2] >> 32).tolist() == [VIEW, VIEW, CART]
    assert found.events[:, 0].tolist() == (START + np.arange(3) * MINUTE).tolist()
    assert (asked.n, asked.now, found.newest) == (7, START + 2 * MINUTE, START + 2 * MINUTE)
    state, _ = question_of_session(task.unfolding.test, 0, EVENTS_KEPT + 3, 7)
    assert CustomerState.of(state).events[[0, -1], 0].tolist() == [
        START + 3 * MINUTE,
        START + (EVENTS_KEPT + 2) * MINUTE,
    ]
