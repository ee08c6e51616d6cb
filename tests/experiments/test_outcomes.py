"""What is counted of an experiment's customers, and what is left out and said so."""

from __future__ import annotations

import numpy as np
import pytest
from tests.experiments.conftest import EXPERIMENT, NOW, START

from active_customers.core.clock import DAY, HOUR
from active_customers.core.errors import StorageError
from active_customers.core.event import EventType
from active_customers.experiments.definition import Experiment, Variant

BUY, CART, CLICK, SEEN, REFUND = (
    EventType.PURCHASE,
    EventType.CART_ADD,
    EventType.CLICK,
    EventType.IMPRESSION,
    EventType.REFUND,
)
DAYS = 24


def column(log, name, **asked):
    outcomes = log.outcomes(**asked)
    return dict(zip(outcomes.assignments.customer.tolist(), outcomes.columns[name].tolist(), strict=True))


def variants(log, **asked):
    found = log.outcomes(**asked).assignments
    return dict(zip(found.customer.tolist(), found.variant.tolist(), strict=True))


def test_of_several_exposures_the_first_wins(log):
    log.expose(7, "bold", 5)
    log.expose(7, "usual", 2)
    log.expose(8, "bold")
    assert variants(log) == {7: 0, 8: 1}


def test_other_experiments_versions_and_times_are_not_counted(log):
    log.expose(1, "usual")
    log.expose(2, "usual", version=1)
    log.expose(3, "usual", experiment="cart")
    log.expose(4, "usual", -1)
    log.expose(5, "never")
    outcomes = log.outcomes()
    assert outcomes.assignments.customer.tolist() == [1]
    assert outcomes.assignments.n_invalid == 2


def test_an_experiment_that_ended_takes_no_more_customers(log):
    log.expose(1, "usual")
    log.expose(2, "usual", 25)
    ended = Experiment("home", 2, EXPERIMENT.variants, "usual", START, START + DAY)
    assert variants(log, experiment=ended) == {1: 0}


def test_who_met_two_variants_before_a_login_joined_them_leaves_and_is_counted(log):
    log.expose(1, "usual")
    log.expose(2, "bold", 3)
    log.expose(3, "bold")
    log.joined = [(2, 1)]
    outcomes = log.outcomes()
    assert outcomes.assignments.customer.tolist() == [3]
    assert outcomes.assignments.n_merged_out == 1


def test_who_met_one_variant_twice_stays_with_the_older_exposure_and_all_their_acts(log):
    log.expose(1, "bold", 5)
    log.expose(2, "bold", 2)
    log.add(2, BUY, 3, price=10.0)
    log.add(1, BUY, 6, price=20.0)
    log.joined = [(2, 1)]
    outcomes = log.outcomes()
    assert (outcomes.assignments.since - START).tolist() == [2 * HOUR]
    assert outcomes.columns["revenue"].tolist() == [30]
    assert outcomes.assignments.n_merged_out == 0


def test_acts_of_a_joined_number_that_was_never_exposed_are_the_customers(log):
    log.expose(1, "bold")
    log.add(9, BUY, 3, price=10.0)
    log.joined = [(9, 1)]
    assert column(log, "bought") == {1: 1}


def test_who_is_passed_over_is_not_there_and_is_counted(log):
    for customer in (1, 2, 3):
        log.expose(customer, "usual")
    log.joined, log.passed_over = [(2, 4)], [1, 4]
    outcomes = log.outcomes()
    assert outcomes.assignments.customer.tolist() == [3]
    assert outcomes.assignments.n_passed_over == 2


def test_only_acts_within_the_window_after_exposure_are_outcomes(log):
    log.expose(1, "usual", 10)
    log.add(1, BUY, 9, price=1.0)
    log.add(1, BUY, 10, price=2.0)
    log.add(1, BUY, 10 + 7 * DAYS - 1, price=4.0)
    log.add(1, BUY, 10 + 7 * DAYS, price=8.0)
    log.add(1, BUY, 9 - 10 * DAYS, price=16.0)
    outcomes = log.outcomes()
    assert outcomes.columns["revenue"].tolist() == [6]
    assert outcomes.columns["revenue_before"].tolist() == [1]


def test_what_has_not_happened_yet_is_not_counted(log):
    log.expose(1, "usual")
    log.add(1, CART, 2)
    log.add(1, BUY, 30, price=1.0)
    assert column(log, "bought", now=START + DAY) == {1: 0}
    assert column(log, "carted", now=START + DAY) == {1: 1}
    log.expose(2, "usual", 30)
    assert column(log, "carted", now=START + DAY) == {1: 1}


def test_carts_orders_and_unsubscribes_count_customers_not_acts(log):
    for customer in (1, 2):
        log.expose(customer, "usual")
    for _ in range(2):
        log.add(1, CART)
        log.add(1, BUY, price=1.0)
        log.add(1, EventType.UNSUBSCRIBE, product=None)
        log.add(1, CART, -1)
    outcomes = log.outcomes()
    for name in ("carted", "bought", "unsubscribed", "carted_before"):
        assert outcomes.columns[name].tolist() == [1, 0]


def test_a_refund_takes_pieces_out_of_the_order_it_names_whenever_it_comes(log):
    log.expose(1, "usual")
    log.add(1, BUY, quantity=4, price=5.0, order_id="a")
    log.add(1, BUY, product=4, price=7.0, order_id="a")
    log.add(1, BUY, quantity=4, price=5.0, order_id="b")
    log.add(1, REFUND, 20 * DAYS, quantity=3, order_id="a")
    outcomes = log.outcomes()
    assert outcomes.columns["revenue"].tolist() == [5 + 7 + 20]
    assert outcomes.columns["bought"].tolist() == [1]


def test_a_refund_without_product_gives_the_whole_order_back(log):
    log.expose(1, "usual")
    log.add(1, BUY, price=5.0, order_id="a")
    log.add(1, BUY, product=4, price=7.0, order_id="a")
    log.add(1, BUY, price=9.0, order_id="b")
    log.add(1, REFUND, 2, product=None, order_id="a")
    assert column(log, "revenue") == {1: 9}


def test_more_than_was_bought_is_not_given_back(log):
    log.expose(1, "usual")
    log.add(1, BUY, price=5.0, order_id="a")
    log.add(1, REFUND, 2, quantity=9, order_id="a")
    assert column(log, "revenue") == {1: 0}


def test_refunds_that_name_no_known_order_change_nothing_and_are_counted(log):
    log.expose(1, "usual")
    log.add(1, BUY, -1, price=3.0, order_id="before")
    log.add(1, BUY, price=5.0, order_id="a")
    log.add(1, REFUND, 2)
    log.add(1, REFUND, 2, order_id="other")
    log.add(1, REFUND, 2, order_id="before")
    outcomes = log.outcomes()
    assert outcomes.columns["revenue"].tolist() == [5]
    assert outcomes.left_out["n_refunds_unmatched"] == 2


def test_other_currencies_and_purchases_without_a_price_are_left_out_and_counted(log):
    log.expose(1, "usual")
    for currency, price in (("EUR", 5.0), ("EUR", 6.0), ("USD", 100.0)):
        log.add(1, BUY, price=price, currency=currency)
    log.add(1, BUY, price=7.0)
    log.add(1, BUY)
    outcomes = log.outcomes()
    assert outcomes.columns["revenue"].tolist() == [18]
    assert outcomes.currency == "EUR"
    assert (outcomes.left_out["n_other_currency"], outcomes.left_out["n_without_price"]) == (1, 1)
    log.config = log.config.model_copy(update={"currency": "USD"})
    assert column(log, "revenue") == {1: 107}


def test_margin_is_the_price_less_what_the_product_costs_where_that_is_known(log):
    log.expose(1, "usual")
    log.add(1, BUY, quantity=2, price=5.0, order_id="a")
    log.add(1, BUY, product=4, price=7.0)
    log.add(1, BUY, product=90, price=7.0)
    log.add(1, REFUND, 2, order_id="a")
    assert not log.outcomes().has_costs
    log.costs = np.array([np.nan, np.nan, np.nan, 2.0, np.nan])
    outcomes = log.outcomes()
    assert outcomes.has_costs
    assert outcomes.columns["margin"].tolist() == [3]


def test_without_impressions_each_customer_has_one_answer_and_clicks_are_told_by_their_token(log):
    for customer in (1, 2):
        log.expose(customer, "bold")
    log.add(1, CLICK, recommendation_id=log.token(1, [12]))
    log.add(1, CLICK)
    outcomes = log.outcomes()
    assert outcomes.columns["answers"].tolist() == [1, 1]
    assert outcomes.columns["clicks"].tolist() == [1, 0]
    assert not outcomes.has_impressions


def test_impressions_of_one_answer_are_one_and_a_click_shows_that_there_was_an_answer(log):
    log.expose(1, "bold")
    for hours in (1, 2):
        for product in (3, 5):
            log.add(1, SEEN, hours, product, recommendation_id=log.token(1, [99, 12], hours=hours))
    log.add(1, CLICK, 3, recommendation_id=log.token(1, [12], hours=3))
    outcomes = log.outcomes()
    assert outcomes.columns["answers"].tolist() == [3]
    assert outcomes.columns["clicks"].tolist() == [1]
    assert outcomes.has_impressions


def test_forged_tokens_other_variants_other_tests_and_products_not_shown_are_no_clicks(log):
    log.expose(1, "bold")
    log.add(1, CLICK, recommendation_id="forged")
    log.add(1, CLICK, recommendation_id=log.token(1, [11]))
    log.add(1, CLICK, recommendation_id=log.token(1, [99]))
    log.add(1, CLICK, product=4, recommendation_id=log.token(1, [12]))
    outcomes = log.outcomes()
    assert outcomes.columns["clicks"].tolist() == [0]
    assert (outcomes.left_out["n_forged_tokens"], outcomes.left_out["n_of_other_variants"]) == (1, 1)


def test_variants_without_a_code_claim_no_clicks(log):
    log.expose(1, "bold")
    log.add(1, CLICK, recommendation_id=log.token(1, [0]))
    bare = Experiment("home", 2, (Variant("usual", 1, "hybrid"), Variant("bold", 1, "discover")), "usual", START)
    assert column(log, "clicks", experiment=bare) == {1: 0}


def test_without_exposures_there_is_nothing(log):
    assert len(log.outcomes().assignments) == 0
    log.add(1, BUY, price=1.0)
    outcomes = log.outcomes()
    assert len(outcomes.assignments) == 0
    assert all(len(values) == 0 for values in outcomes.columns.values())


def test_a_damaged_archive_is_refused(log):
    log.expose(1, "usual")
    log.outcomes()
    [part] = log.archive.parts()
    part.path.write_bytes(part.path.read_bytes()[:-20])
    with pytest.raises(StorageError, match="restore it"):
        log.outcomes(now=NOW)
