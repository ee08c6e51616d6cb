"""What a list is truly worth: what its clicks bring, and no list is worth more than the best one."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from active_customers.core.clock import DAY
from active_customers.evaluation.simulator import Intent, Shop, SimulatorConfig, Truth
from active_customers.evaluation.simulator.truth import best_lists, reached


@pytest.fixture(scope="module")
def shop():
    return Shop.open(SimulatorConfig(customers=200, products=200, days=30, seed=5))


@pytest.fixture(scope="module")
def truth(shop):
    return Truth(shop)


def _intent(shop, product):
    catalogue = shop.catalogue
    return Intent(int(catalogue.category[product]), int(catalogue.kind[product]), catalogue.style[product])


def _worth(click, worth, read_on, places):
    places = list(places)
    chance = click[places][None, :]
    return float((reached(chance, read_on)[0] * chance[0] * worth[places]).sum())


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("read_on", [1.0, 0.9, 0.4])
def test_no_list_is_worth_more_than_the_best_one(seed, read_on):
    rng = np.random.default_rng(seed)
    click, worth = rng.random((1, 6)), rng.exponential(1, (1, 6))
    best = best_lists(click, worth, read_on, 3)[0]
    every = max(_worth(click[0], worth[0], read_on, places) for places in permutations(range(6), 3))
    assert _worth(click[0], worth[0], read_on, best) == pytest.approx(every, rel=1e-12)


def test_what_brings_nothing_is_not_in_the_best_list():
    click, worth = np.array([[0.5, 0.0, 0.5]]), np.array([[0.0, 9.0, 1.0]])
    assert best_lists(click, worth, 0.9, 3).tolist() == [[2, -1, -1]]


def test_the_first_place_is_always_looked_at_and_each_further_one_less():
    looked = reached(np.array([[0.2, 0.1, 0.5]]), 0.9)[0]
    np.testing.assert_allclose(looked, [1.0, 0.9 * 0.8, 0.9 * 0.8 * 0.9 * 0.9])


def test_a_list_is_worth_what_its_clicks_bring(shop, truth):
    answer = np.flatnonzero(shop.catalogue.released <= shop.config.start)[:4]
    intent, moment = _intent(shop, answer[2]), shop.config.start
    alone = np.array([truth.value(7, [product], moment, intent) for product in answer])
    click = shop.click_probability(7, answer, moment, intent)
    chosen = shop.choice_probabilities(7, answer, moment, intent)
    assert truth.value(7, answer, moment, intent) == pytest.approx(float((chosen * alone / click).sum()))


def test_the_same_products_are_worth_more_in_a_better_order(shop, truth):
    intent = _intent(shop, 20)
    best = truth.best(7, 6, intent=intent)
    assert truth.value(7, best, intent=intent) > truth.value(7, best[::-1], intent=intent)


def test_a_list_made_for_the_customer_and_the_need_is_worth_more_than_what_everybody_likes(shop, truth):
    popular = np.argsort(-shop.catalogue.demand)[:10]
    made = sum(
        truth.value(who, truth.best(who, 10, intent=_intent(shop, 40)), intent=_intent(shop, 40)) for who in range(20)
    )
    same = sum(truth.value(who, popular, intent=_intent(shop, 40)) for who in range(20))
    assert made > 2 * same


def test_what_is_sold_out_or_not_yet_released_brings_nothing(shop, truth):
    product, first, _ = shop.catalogue.stock_outs[0]
    moment = shop.config.moment_of(int(first))
    assert truth.value(3, [int(product)], moment) == 0
    late = int(np.argmax(shop.catalogue.released))
    assert truth.value(3, [late], int(shop.catalogue.released[late]) - DAY) == 0
    assert truth.value(3, [late]) > 0


def test_what_was_viewed_in_the_visit_is_in_no_best_page(shop, truth):
    product = int(truth.best(3, 1)[0])
    minds = replace(truth._newcomer(3, None), viewed=np.array([[product, -1]]))
    assert product not in truth.best_pages(minds, 5, 29)
    assert truth.values(minds, np.array([[product, -1]]), 29) == 0


def test_nothing_shown_is_worth_nothing(truth):
    assert truth.value(3, []) == 0
