"""What is popular, and what is getting so."""

from dataclasses import replace

import numpy as np
import pytest

from active_customers.core.clock import DAY, HOUR
from active_customers.core.event import EventType
from active_customers.models.base import SessionLog
from active_customers.models.popularity import EventWeights, Popularity, PopularityConfig


def fitted(log, **config):
    model = Popularity(PopularityConfig(**config))
    model.fit(log)
    return model


def ranked(candidates):
    return candidates.products.tolist()


def test_an_act_counts_half_after_its_half_life(make_log, ask):
    model = fitted(make_log([[0], [1]], 2, spacing=7 * DAY), half_life_days=7)
    assert model.score(ask(), np.array([0, 1], np.uint32)).tolist() == pytest.approx([0.5, 1.0])


def test_each_type_of_act_has_its_weight(make_log, ask):
    kinds = [[EventType.VIEW, EventType.CART_ADD, EventType.PURCHASE]]
    model = fitted(make_log([[0, 1, 2]], 3, kinds), weights=EventWeights(view=1, cart_add=4, purchase=9))
    assert model.score(ask(), np.arange(3, dtype=np.uint32)).tolist() == pytest.approx([1, 4, 9], rel=1e-4)
    assert ranked(model.candidates(ask(), 3)) == [2, 1, 0]


def test_equal_counts_come_by_ascending_product_number(make_log, ask):
    model = fitted(make_log([[2], [0], [1]], 3, spacing=0))
    assert ranked(model.candidates(ask(), 3)) == [0, 1, 2]


def test_the_session_changes_nothing(make_log, ask):
    model = fitted(make_log([[2, 1], [1, 0]], 3))
    assert ranked(model.candidates(ask(0), 3)) == ranked(model.candidates(ask(2, 1), 3))


def steady(days, per_day):
    """Each day every product in as many sessions as `per_day(day)` says, a list by product."""
    return [[product] for day in range(days) for product, times in enumerate(per_day(day)) for _ in range(times)]


def test_a_product_whose_share_grows_is_trending_and_one_that_keeps_it_is_not(make_log):
    log = make_log(steady(12, lambda day: [10, 2 if day < 10 else 30, 12 if day < 10 else 0]), 3, spacing=HOUR)
    model = fitted(log)
    assert [model.is_trending(product) for product in range(3)] == [False, True, False]
    assert ranked(model.trending(5)) == [1]


def test_a_shop_that_grows_as_a_whole_has_no_trending_products(make_log):
    sessions = [[product] for day in range(4) for _ in range(40 if day < 3 else 20) for product in range(3)]
    times = np.concatenate([np.full(120, day * 4 * DAY) for day in range(3)] + [np.full(60, 12 * DAY)])
    log = make_log(sessions, 3, spacing=0)
    model = fitted(type(log)(log.offsets, log.products, log.event_types, times, log.customers, 3, 10**15))
    assert not any(model.is_trending(product) for product in range(3))


def test_few_data_make_no_trend(make_log):
    log = make_log([[0]] * 300 + [[1]] * 4, 2)
    assert not fitted(log).is_trending(1)


def test_without_a_past_nothing_is_trending(make_log):
    assert not fitted(make_log([[0]] * 40, 1, spacing=1)).is_trending(0)


def test_popular_means_many_sessions_not_many_acts(make_log):
    model = fitted(make_log([[0] * 50, *[[1]] * 6], 2), popular_sessions=5)
    assert [model.is_popular(product) for product in range(2)] == [False, True]


def test_a_session_of_a_million_acts_counts_each_product_once():
    n = 1_000_000
    endless = SessionLog(
        np.array([0, n]), np.arange(n, dtype=np.uint32), np.ones(n, np.uint8), np.arange(n), np.zeros(1), n, n
    )
    model = fitted(endless, popular_sessions=1)
    assert all(model.is_popular(product) for product in range(0, n, 9999))
    assert model.arrays()["sessions"].sum() == n


def test_what_was_popular_long_ago_is_not_popular(make_log):
    model = fitted(make_log([*[[0]] * 9, [1]], 2, spacing=40 * DAY), popular_sessions=2)
    assert not model.is_popular(0)


def test_after_years_without_an_act_old_favourites_follow_by_how_many_chose_them(make_log):
    log = make_log([*[[0]] * 9, *[[1]] * 3, [2]], 3)
    times = log.times.copy()
    times[-1] += 5_000 * DAY
    ranking = fitted(replace(log, times=times, as_of=int(times[-1]))).ranking()
    assert (ranking.products.tolist(), bool(np.all(ranking.scores > 0))) == ([0, 1], True)  # not what one looked at


@pytest.mark.parametrize("product", [-1, 7, 0xFFFFFFFF])
def test_unknown_products_are_neither_popular_nor_trending(make_log, product):
    model = fitted(make_log([[0]] * 9, 1))
    assert not model.is_popular(product)
    assert not model.is_trending(product)
