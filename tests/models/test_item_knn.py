"""What stands together, looked at or bought."""

import numpy as np

from active_customers.core.event import EventType
from active_customers.models.item_knn import ItemKnn, ItemKnnConfig

VIEW, CART, BUY = EventType.VIEW, EventType.CART_ADD, EventType.PURCHASE


def fitted(log, **config):
    model = ItemKnn(ItemKnnConfig(**config))
    model.fit(log)
    return model


def numbers(*products):
    return np.array(products, np.uint32)


def bought_with(model, *products, excluded=()):
    return model.bought_with(numbers(*products), 10, numbers(*excluded)).products.tolist()


def test_looking_is_not_buying(make_log, ask):
    model = fitted(make_log([[0, 1], [0, 2], [0, 2]], 3, [[VIEW, VIEW], [BUY, BUY], [BUY, BUY]]))
    assert bought_with(model, 0) == [2]
    assert set(model.candidates(ask(0), 10).products.tolist()) == {1, 2}


def test_carts_strengthen_what_purchases_have_shown(make_log):
    sessions = [*[[0, 1]] * 2, *[[0, 2]] * 3, *[[0, 3]] * 3]
    kinds = [*[[BUY, BUY]] * 4, *[[CART, CART]] * 4]
    model = fitted(make_log(sessions, 4, kinds), recency_half_life_days=1e9, damping=0)
    assert bought_with(model, 0) == [2, 1]


def test_one_basket_is_no_evidence_that_products_are_often_in_one(make_log):
    sessions = [[0, 1, 0, 1], [0, 2], [0, 2], [0, 1]]
    kinds = [[BUY] * 4, [BUY, BUY], [BUY, BUY], [BUY, CART]]
    assert bought_with(fitted(make_log(sessions, 3, kinds)), 0) == [2]
    assert set(bought_with(fitted(make_log(sessions, 3, kinds), min_support=1), 0)) == {1, 2}


def test_support_counts_the_sessions_that_bought_both(make_log):
    kinds = [[BUY, BUY], [CART, BUY], [BUY, BUY]]
    model = fitted(make_log([[0, 1], [0, 1], [1, 0]], 2, kinds))
    assert model.bought.support.tolist() == [2, 2]


def test_a_product_put_into_the_cart_and_bought_counts_as_bought(make_log):
    model = fitted(make_log([[0, 1, 0, 1]] * 2, 2, [[CART, CART, BUY, BUY]] * 2))
    assert bought_with(model, 0) == [1]
    model = fitted(make_log([[0, 1, 0, 1]] * 2, 2, [[BUY, BUY, CART, CART]] * 2))
    assert bought_with(model, 0) == [1]


def test_bought_with_takes_all_products_of_the_cart_alike(make_log):
    model = fitted(make_log([[0, 2], [1, 3]] * 2, 4, [[BUY, BUY]] * 4), recency_half_life_days=1e9)
    assert bought_with(model, 0, 1) == bought_with(model, 1, 0) == [2, 3]


def test_bought_with_never_proposes_what_is_excluded(make_log):
    model = fitted(make_log([[0, 1, 2]] * 2, 3, [[BUY] * 3] * 2))
    assert bought_with(model, 0, excluded=(1, 0)) == [2]


def test_nearer_products_are_related_stronger(make_log, ask):
    model = fitted(make_log([[0, 1, 2, 3]], 4))
    assert model.candidates(ask(0), 10).products.tolist() == [1, 2, 3]


def test_products_beyond_the_window_are_not_related(make_log, ask):
    model = fitted(make_log([range(9)], 9), window=3)
    assert model.candidates(ask(0), 10).products.tolist() == [1, 2, 3]


def test_rows_are_pruned_to_the_strongest(make_log, ask):
    model = fitted(make_log([range(9)], 9), neighbours=2)
    assert model.candidates(ask(0), 10).products.tolist() == [1, 2]
    assert (np.diff(model.viewed.offsets) <= 2).all()


def test_a_pair_seen_more_often_is_related_stronger(make_log, ask):
    model = fitted(make_log([[0, 1], [0, 2], [0, 2]], 3), damping=0.2)
    assert model.candidates(ask(0), 10).products.tolist() == [2, 1]


def test_sessions_longer_than_kept_count_their_newest_acts_only(make_log, ask):
    model = fitted(make_log([range(9)], 9), session_length=3)
    assert model.candidates(ask(0), 10).products.tolist() == []
    assert set(model.candidates(ask(7), 10).products.tolist()) == {6, 8}
