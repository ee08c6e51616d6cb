"""The baselines of what people buy again."""

import numpy as np
import pytest
from tests.models.conftest import log_of

from active_customers.core.clock import DAY
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.session import SessionQuery
from active_customers.evaluation.contestants import CONTESTANTS
from active_customers.models.registry import new_model

LOG = log_of([[0, 1], [0, 2], [0, 1], [3]], 6)


def asked(*acts):
    """Return the question that shows (product, day), oldest first."""
    products, days = zip(*acts, strict=True) if acts else ((), ())
    times = np.array([int(day * DAY) for day in days], np.int64)
    return SessionQuery(np.array(products, np.uint32), np.ones(len(acts), np.uint8), times, int(times.max(initial=0)))


def fitted(name, **config):
    model = new_model(name, config, CONTESTANTS)
    model.fit(LOG)
    return model


def proposed(model, query, n=10, excluded=()):
    return model.candidates(query, n, np.array(excluded, np.uint32)).products.tolist()


HISTORY = ((4, 0), (5, 0), (5, 1), (3, 2))


def test_own_products_come_by_frequency_then_by_how_new_they_are():
    assert proposed(fitted("p_top_freq"), asked(*HISTORY)) == [5, 3, 4]


def test_the_popular_ones_fill_up():
    assert proposed(fitted("gp_top_freq"), asked(*HISTORY)) == [5, 3, 4, 0, 1, 2]
    assert proposed(fitted("gp_top_freq"), asked()) == [0, 1, 2, 3]


def test_old_acts_count_less_where_they_decay():
    history = ((1, 0), (1, 1), (2, 300))
    assert proposed(fitted("gp_top_freq"), asked(*history), 2) == [1, 2]
    assert proposed(fitted("buy_again"), asked(*history), 2) == [2, 1]
    scores = fitted("buy_again", half_life_days=10).candidates(asked((1, 0), (2, 10)), 2).scores
    assert scores.tolist() == [2.0, 1.5]


def test_a_product_counts_once_a_basket():
    assert proposed(fitted("p_top_freq"), asked((1, 0), (1, 0), (1, 0), (2, 1), (2, 2))) == [2, 1]


@pytest.mark.parametrize("name", ["p_top_freq", "gp_top_freq", "buy_again"])
def test_candidates_score_as_score_says_best_first(name):
    model, query = fitted(name), asked(*HISTORY)
    found = model.candidates(query, 10)
    np.testing.assert_array_equal(model.score(query, found.products), found.scores)
    assert (np.diff(found.scores) <= 0).all()
    rest = np.setdiff1d(np.arange(6, dtype=np.uint32), found.products)
    assert not model.score(query, np.append(rest, [77, NO_NUMBER]).astype(np.uint32)).any()


def test_excluded_products_do_not_come_and_the_others_move_up():
    assert proposed(fitted("gp_top_freq"), asked(*HISTORY), 4, [5, 0]) == [3, 4, 1, 2]


def test_only_what_the_question_shows_is_a_reason():
    found = fitted("gp_top_freq").candidates(asked(*HISTORY), 4)
    assert found.evidence.tolist() == [5, 3, 4, NO_NUMBER]
    assert fitted("gp_top_freq").why(asked(*HISTORY), 5) == 5
    assert fitted("gp_top_freq").why(asked(*HISTORY), 0) == NO_NUMBER


def test_unknown_products_are_passed_over():
    assert proposed(fitted("p_top_freq"), asked((77, 0), (NO_NUMBER, 0), (2, 1))) == [2]


def test_an_unfitted_model_proposes_nothing():
    assert proposed(new_model("buy_again", {}, CONTESTANTS), asked(*HISTORY)) == []


def test_a_model_made_again_from_its_arrays_answers_the_same():
    model, entry = fitted("p_top_freq"), CONTESTANTS["p_top_freq"]
    again = entry.load(model.arrays(), entry.config().model_dump(mode="json"))
    assert proposed(again, asked(*HISTORY)) == proposed(model, asked(*HISTORY))
