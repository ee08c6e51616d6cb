"""What the nearest sessions propose."""

import numpy as np
import pytest
from pydantic import ValidationError

from active_customers.core.clock import DAY
from active_customers.models.session_knn import SessionKnn, SessionKnnConfig, repeat_share


def fitted(log, **config):
    model = SessionKnn(SessionKnnConfig(**config))
    model.fit(log)
    return model


def ranked(model, query, excluded=()):
    return model.candidates(query, 10, np.array(excluded, np.uint32)).products.tolist()


def test_newer_sessions_count_more(make_log, ask):
    log = make_log([[0, 1], [0, 2]], 3, spacing=400 * DAY)
    assert ranked(fitted(log), ask(0), [0]) == [2, 1]


def test_a_session_older_than_any_memory_still_counts_before_nothing(make_log, ask):
    log = make_log([[0, 1], [2, 3]], 4, spacing=300 * 365 * DAY)
    assert ranked(fitted(log), ask(0), [0]) == [1]


def test_the_newest_product_of_the_query_counts_most(make_log, ask):
    log = make_log([[0, 2], [1, 3]], 4)
    model = fitted(log)
    assert ranked(model, ask(0, 1), [0, 1]) == [3, 2]
    assert ranked(model, ask(1, 0), [0, 1]) == [2, 3]


def test_neighbours_of_the_shared_product_count_more_than_distant_ones(make_log, ask):
    log = make_log([[5, 4, 3, 0, 1]], 6)
    assert ranked(fitted(log), ask(0), [0]) == [1, 3, 4, 5]


def test_a_rare_product_counts_more_than_a_common_one(make_log, ask):
    sessions = [[0, 1], [0, 2], [1, 3], [1, 4], [1, 5], [1, 6]]
    products = ranked(fitted(make_log(sessions, 7), query_decay=1e6), ask(0, 1), [0, 1])
    assert set(products[:1]) <= {2}


def test_only_the_newest_sessions_of_a_product_are_kept(make_log, ask):
    log = make_log([[0, i] for i in range(1, 9)], 9)
    assert set(ranked(fitted(log, sessions_per_product=3), ask(0), [0])) == {6, 7, 8}


def test_only_the_nearest_sessions_vote(make_log, ask):
    log = make_log([[0, 2], [1, 3], [0, 1, 4]], 5)
    assert ranked(fitted(log, neighbours=1), ask(0, 1), [0, 1]) == [4]


def test_long_sessions_are_cut_to_their_newest_acts(make_log, ask):
    log = make_log([range(20)], 20)
    assert set(ranked(fitted(log, session_length=3), ask(18), [18])) == {17, 19}
    assert ranked(fitted(log, session_length=3), ask(5)) == []


def test_the_product_being_looked_at_is_proposed_only_where_customers_repeat(make_log, ask):
    never = fitted(make_log([[0, 1], [1, 0], [0, 2]], 3))
    often = fitted(make_log([[0, 0, 1], [1, 1, 0], [0, 0, 2]], 3))
    assert 0 not in ranked(never, ask(0))
    assert ranked(often, ask(0))[0] == 0


def test_a_product_seen_before_may_come_back(make_log, ask):
    assert 0 in ranked(fitted(make_log([[0, 1], [1, 0], [0, 2]], 3)), ask(0, 1))


@pytest.mark.parametrize(
    ("sessions", "share"), [([[0, 0, 1], [1, 1]], 2 / 3), ([[0], [0]], 0.0), ([[0, 1], [1, 0]], 0.0), ([], 0.0)]
)
def test_the_share_of_repeats_is_counted_within_sessions(make_log, sessions, share):
    assert repeat_share(make_log(sessions, 2)) == pytest.approx(share)


def test_what_customers_did_after_the_question_changes_nothing(make_log, ask):
    log = make_log([[0, 1, 2], [1, 2, 3], [0, 3]], 4)
    model = fitted(log)
    answers = [ranked(model, ask(*future[:2])) for future in ([0, 1, 2, 3], [0, 1, 3, 2])]
    assert answers[0] == answers[1]


@pytest.mark.parametrize("wrong", [{"neighbours": 0}, {"query_decay": 0}, {"session_length": 2000}, {"neighbors": 5}])
def test_parameters_out_of_range_or_unknown_are_refused(wrong):
    with pytest.raises(ValidationError):
        SessionKnnConfig(**wrong)


def test_acts_after_the_time_of_reading_are_as_new_as_can_be(make_log, ask):
    log = make_log([[0, 1], [0, 2]], 3, spacing=400 * DAY)
    early = type(log)(log.offsets, log.products, log.event_types, log.times, log.customers, 3, as_of=0)
    assert set(ranked(fitted(early), ask(0), [0])) == {1, 2}


def test_later_calls_answer_as_the_first_one_does(blocks, ask):
    for products in ([0], [11, 2], [], [29, 0, 1], [99]):
        for excluded in ([], [2], [3, 1]):
            model = SessionKnn()
            model.fit(blocks)
            first, *later = (model.candidates(ask(*products), 5, np.array(excluded, np.uint32)) for _ in range(3))
            for again in later:
                assert [column.tolist() for column in again] == [column.tolist() for column in first]
