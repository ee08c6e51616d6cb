"""Tuning, with the real optimiser on a small log."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from tests.evaluation.made import START, events

from active_customers.core.clock import MINUTE
from active_customers.core.errors import InvalidValueError, MissingLibraryError, NoDataError
from active_customers.evaluation.described import DescribedProducts
from active_customers.evaluation.rolling import newest_sessions
from active_customers.evaluation.search_space import Range
from active_customers.evaluation.tuning import TuningRequest, tune
from active_customers.models.product_features import About
from active_customers.models.session_knn import SessionKnnConfig

SESSIONS, LENGTH = 200, 5


def chains(seed=1):
    """Return sessions that walk along a ring of products, so that what comes next is the product after the newest."""
    rng = np.random.default_rng(seed)
    return events(
        *(
            (f"c{number % 60}", str(number), int(start + place) % 30, number * 10 + place)
            for number, start in enumerate(rng.integers(0, 30, SESSIONS))
            for place in range(LENGTH)
        )
    )


REQUEST = TuningRequest((chains(),), "session_knn", trials=5, share=0.2, k=3)


def test_the_first_trial_is_the_published_settings():
    tuned = tune(REQUEST)
    published = SessionKnnConfig().model_dump()
    assert tuned.trials[0].parameters == {name: published[name] for name in tuned.space}
    assert [trial.number for trial in tuned.trials] == [1, 2, 3, 4, 5]
    assert tuned.best.score == max(trial.score for trial in tuned.trials)


def test_the_same_seed_makes_the_same_search_and_another_one_another():
    first, again, other = (tune(replace(REQUEST, seed=seed)) for seed in (3, 3, 4))
    assert first == again
    assert [trial.parameters for trial in first.trials[1:]] != [trial.parameters for trial in other.trials[1:]]


def early_hints():
    """Return sessions whose first product tells the last one, after five acts that tell nothing."""
    rng = np.random.default_rng(2)
    rows = []
    for number, hint in enumerate(rng.integers(0, 20, SESSIONS * 2)):
        products = [int(hint), *(100 + rng.permutation(5)).tolist(), 200 + int(hint)]
        rows += [(f"c{number}", str(number), product, number * 10 + place) for place, product in enumerate(products)]
    return events(*rows)


HINTS = replace(REQUEST, train=(early_hints(),), trials=12, share=0.3, measure="mrr", k=1, repeats="new")


def test_a_setting_that_is_better_than_the_published_one_is_found_and_confirmed_on_other_sessions():
    told = []
    tuned = tune(replace(HINTS, only=("query_decay", "distance_decay")), told.append)
    assert tuple(told) == tuned.trials
    assert set(tuned.space) == {"query_decay", "distance_decay"}
    assert tuned.best.parameters["query_decay"] > 2 * SessionKnnConfig().query_decay  # the hint is an old act
    assert tuned.is_gain_shown
    assert tuned.gain.mean == pytest.approx(tuned.best_score - tuned.default_score)
    whole = newest_sessions(HINTS.train, 0.3, repeats="new")
    assert tuned.searched + tuned.confirmed == len(whole.sessions)


def test_a_model_of_what_the_catalogue_says_is_tuned_by_a_catalogue():
    said = [[(About.NAME, str(p // 3)), (About.BRAND, str(p % 2))] for p in range(30)]
    known = DescribedProducts(np.arange(30).astype(np.str_), said)
    request = replace(REQUEST, model="content", only=("brand", "query_decay"), repeats="new")
    assert {trial.score for trial in tune(request).trials} == {0.0}
    scores = {trial.score for trial in tune(replace(request, catalogue=known)).trials}
    assert min(scores) > 0
    assert len(scores) > 1


def test_a_gain_by_luck_is_within_noise():
    file = chains()
    aimless = replace(file, products=np.random.default_rng(6).permutation(file.products))
    tuned = tune(replace(REQUEST, train=(aimless,), trials=15, share=0.3))
    assert tuned.best.score > tuned.trials[0].score
    assert tuned.gain is not None
    assert not tuned.is_gain_shown


def test_a_narrowed_range_is_kept_to_but_for_the_published_settings():
    narrow = Range(0.25, 0.5, is_whole=False)
    tuned = tune(replace(REQUEST, ranges={"query_decay": narrow}))
    assert tuned.trials[0].parameters["query_decay"] == SessionKnnConfig().query_decay
    assert all(narrow.holds(trial.parameters["query_decay"]) for trial in tuned.trials[1:])


def test_the_questions_that_confirm_are_of_other_sessions_than_those_that_steer():
    whole = newest_sessions(REQUEST.train, 0.2)
    chosen = whole.clusters % 2 == 0
    one, other = whole.part(chosen), whole.part(~chosen)
    assert not set(one.sessions.tolist()) & set(other.sessions.tolist())
    assert sorted([*one.targets, *other.targets]) == sorted(whole.targets)
    assert one.target_offsets[-1] == len(one.targets)


def test_nothing_but_the_newest_sessions_is_asked_and_nothing_of_their_time_is_learned():
    task = newest_sessions([chains()], 0.2)
    begin = START + SESSIONS * 0.8 * 10 * MINUTE
    assert task.train.times.max() < begin <= task.test.times.min()
    assert task.test.n_sessions == SESSIONS * 0.2


def test_what_is_learned_from_does_not_depend_on_what_is_asked():
    file = chains()
    late = file.times >= START + SESSIONS * 0.8 * 10 * MINUTE
    other = replace(file, products=np.where(late, 0, file.products))
    tasks = [newest_sessions([each], 0.2) for each in (file, other)]
    np.testing.assert_array_equal(tasks[0].train.products, tasks[1].train.products)


def test_files_without_times_are_split_in_their_order():
    file = replace(chains(), times=None)
    task = newest_sessions([file], 0.1)
    assert task.test.n_sessions == SESSIONS * 0.1
    assert task.train.n_sessions == SESSIONS * 0.9


def test_fixed_parameters_are_not_searched_and_keep_their_value():
    request = replace(REQUEST, base={"neighbours": 1, "query_depth": 1}, fixed=("neighbours", "query_depth"))
    tuned = tune(request)
    assert not {"neighbours", "query_depth"} & set(tuned.space)
    free = tune(replace(request, base={}))
    assert tuned.trials[0].score != free.trials[0].score


def test_what_is_spent_in_time_begins_no_other_trial():
    tuned = tune(replace(REQUEST, minutes=1e-9, trials=1_000))
    assert len(tuned.trials) == 1
    assert tuned.gain is None
    assert tuned.best_score == tuned.default_score


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"trials": 1}, "trials: 1"),
        ({"minutes": 0.0}, "minutes: 0.0"),
        ({"measure": "auc"}, "measure: 'auc'"),
        ({"k": 0}, "k: 0"),
        ({"share": 1.0}, "share: 1.0"),
        ({"targets": "clicks"}, "targets: 'clicks'"),
        ({"targets": "purchase"}, "holds views only"),
        ({"model": "nothing"}, "model: 'nothing'"),
        ({"only": ("nothing",)}, "only: 'nothing'"),
        ({"model": "sequential_rules", "fixed": ("steps", "kept")}, "no parameters left to search"),
        ({"ranges": {"neighbours": Range(0, 5, is_whole=True)}}, "session_knn.neighbours: 0"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(change, said):
    with pytest.raises(InvalidValueError, match=said):
        tune(replace(REQUEST, **change))


def test_one_customer_s_sessions_are_too_few():
    file = events(*(("a", str(i), i % 3 + place, i * 10 + place) for i in range(20) for place in range(3)))
    with pytest.raises(NoDataError, match="one customer"):
        tune(replace(REQUEST, train=(file,)))


def test_without_the_library_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingLibraryError, match=r"pip install 'active-customers\[tune\]'"):
        tune(REQUEST)
