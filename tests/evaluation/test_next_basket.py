"""The last order of each customer, foretold from those before."""

from dataclasses import replace

import numpy as np
import pytest
from tests.evaluation.made import BUY, START, VIEW, asked, events

from active_customers.core.clock import DAY, MINUTE
from active_customers.core.errors import InvalidValueError, NoDataError
from active_customers.core.event import EventType
from active_customers.evaluation.evaluator import EvaluationRequest, evaluate
from active_customers.evaluation.next_basket import next_basket
from active_customers.evaluation.rolling import Folds

D = 24 * 60


def order(customer, name, day, *products, kind=BUY):
    return [(customer, "s", product, day * D + place, kind, name) for place, product in enumerate(products)]


FILE = events(
    *order("a", "o1", 0, 1, 2, 2),
    *order("a", "o2", 5, 1, 3),
    *order("a", "o3", 9, 3, 1, 8, 8),
    *order("b", "o4", 2, 2),
    *order("b", "o5", 6, 4),  # before the window
    *order("c", "o6", 9, 5),  # the only one
    *order("d", "o7", 8, 3),  # in the window, but not learned from
    *order("d", "o8", 9, 2),
    *order("d", "o9", 9, 7, kind=VIEW),
)


def test_the_last_order_in_the_window_is_asked_with_all_orders_before_it():
    assert asked(next_basket([FILE], 2.0)) == [("a", [1, 2, 1, 3], [1, 3, None]), ("d", [3], [2])]


def test_only_orders_before_the_window_are_learned_from_each_as_a_session():
    task = next_basket([FILE], 2.0)
    assert task.train.times.max() < task.until
    baskets = np.split(task.product_ids[task.train.products], task.train.offsets[1:-1])
    assert [basket.tolist() for basket in baskets] == [[1, 2], [2], [1, 3], [4]]
    assert task.train.customers[0] == task.train.customers[2] != task.train.customers[1]


def test_orders_of_one_moment_stay_apart():
    file = events(*order("a", "o1", 0, 1), *order("b", "o2", 0, 2), *order("a", "o3", 9, 2), *order("a", "o4", 9, 1))
    assert asked(next_basket([file], 2.0)) == [("a", [1, 2], [1])]


def test_without_names_of_orders_a_session_is_a_basket():
    rows = [("a", "1", 1, 0, BUY), ("a", "1", 2, 1, BUY), ("a", "2", 2, 9 * D, BUY), ("a", "2", 1, 9 * D + 5, BUY)]
    assert asked(next_basket([events(*rows)], 2.0)) == [("a", [1, 2], [1, 2])]


def test_a_refund_is_no_purchase():
    file = replace(FILE, event_types=np.where(FILE.products == 8, EventType.REFUND, FILE.event_types).astype(np.uint8))
    assert asked(next_basket([file], 2.0))[0] == ("a", [1, 2, 1, 3], [1, 3])


def test_own_products_may_be_proposed_again():
    report = evaluate(EvaluationRequest((FILE,), None, ("p_top_freq",), "next-basket", k=2, folds=Folds(days=2.0)))
    assert report.models["p_top_freq"].figures["recall"] == pytest.approx((0 + 2 / 3) / 2)


@pytest.mark.parametrize("days", [0.0, -1.0, 400.0])
def test_a_window_that_leaves_nothing_to_learn_from_is_refused(days):
    with pytest.raises(InvalidValueError, match="horizon_days"):
        next_basket([FILE], days)


def test_files_without_customers_purchases_or_earlier_baskets_are_refused():
    with pytest.raises(InvalidValueError, match="customers"):
        next_basket([replace(FILE, customers=None)])
    with pytest.raises(NoDataError, match="no purchases"):
        next_basket([replace(FILE, event_types=np.full(len(FILE), VIEW, np.uint8))])
    with pytest.raises(NoDataError, match="no customer has a basket"):
        next_basket([events(*order("a", "o1", 0, 1), *order("b", "o2", 9, 2))], 2.0)


def test_the_window_ends_with_the_last_basket():
    task = next_basket([FILE], 2.0)
    assert task.until == START + 9 * D * MINUTE + 1 - 2 * DAY
