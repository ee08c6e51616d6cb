"""What customers of an experiment brought, counted by the simulated shop itself, and what an analysis is held to."""

from __future__ import annotations

import numpy as np
import pytest

from active_customers.core.clock import DAY, HOUR
from active_customers.core.event import EventType
from active_customers.evaluation.closed_loop.accounts import Accounts, Span
from active_customers.evaluation.closed_loop.day import ShoppingDay
from active_customers.evaluation.closed_loop.experiment_truth import Counts, Judged
from active_customers.evaluation.simulator import Shop, SimulatorConfig, Truth
from active_customers.evaluation.simulator.simulation import Life
from active_customers.experiments.analysis import AnalysisConfig, analyse
from active_customers.experiments.definition import Experiment, Variant
from active_customers.experiments.exposed import Assignments
from active_customers.experiments.outcomes import FIGURES, Outcomes

NEVER = -1


def _acts(*rows):
    names = ("event_type", "customer", "time", "order", "product", "quantity", "price")
    return {name: np.array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def _since(*times, days=10):
    return Span(np.array(times), days * DAY)


def test_purchases_count_from_the_first_answer_on_and_for_their_days():
    accounts = Accounts(3, 10)
    for time, price in ((HOUR, 5.0), (2 * HOUR, 7.0), (11 * DAY, 9.0)):
        accounts.book(_acts((EventType.PURCHASE, 0, time, time, 1, 2, price)))
    accounts.book(_acts((EventType.PURCHASE, 1, HOUR, 4, 1, 1, 3.0)))
    assert accounts.brought(_since(2 * HOUR, NEVER, 0)).tolist() == [14.0, 0.0, 0.0]
    assert accounts.brought(_since(0, 0, 0, days=30)).tolist() == [42.0, 3.0, 0.0]


def test_what_was_sent_back_brought_nothing_whenever_it_came_back():
    accounts = Accounts(1, 10)
    bought = [(EventType.PURCHASE, 0, HOUR, 1, product, 2, 5.0) for product in (3, 4)]
    accounts.book(_acts(*bought))
    accounts.book(_acts((EventType.REFUND, 0, 12 * DAY, 1, 4, 2, 5.0)))
    assert accounts.brought(_since(0)).tolist() == [10.0]


def test_what_follows_from_an_answer_is_dated_no_earlier():
    accounts = Accounts(2, 10)
    accounts.answer(np.array([1]), 10 * HOUR)
    times = np.array([9 * HOUR, 9 * HOUR, 11 * HOUR])
    assert accounts.dated(np.array([0, 1, 1]), times).tolist() == [9 * HOUR, 10 * HOUR, 11 * HOUR]


def test_answers_count_at_their_worth_from_the_first_on():
    accounts = Accounts(2, 10)
    for now in (HOUR, 2 * HOUR, 3 * HOUR):
        accounts.show(np.array([0, 1]), now, np.array([1.5, 0.5]))
    worth, number = accounts.shown(_since(2 * HOUR, NEVER))
    assert (worth.tolist(), number.tolist()) == ([3.0, 0.0], [2.0, 0.0])


def test_nothing_booked_is_nothing_brought():
    accounts = Accounts(2, 10)
    assert accounts.brought(_since(0, 0)).tolist() == accounts.expected(_since(0, 0)).tolist() == [0.0, 0.0]


def test_what_visits_were_to_bring_is_what_they_bring_in_the_mean():
    config = SimulatorConfig(customers=6_000, products=120, days=9, seed=3, cart_rate=0.05, refund_rate=0.0)
    shop = Shop.open(config)
    life, accounts = Life(shop), Accounts(config.customers, config.products)
    for number in range(8):
        day, stop = ShoppingDay(life, number, 0.6), config.moment_of(number + 2)
        while len((turn := day.turn(stop))[0]):
            pages = Truth(shop).best_pages(day.minds(turn[0]), 3, day.day)
            day.see(*turn, pages, np.arange(len(pages)))
        accounts.expect(*day.ended())
        assert len(day.ended().customer) == 0
    accounts.book(life.journal.until(config.stop))
    span = Span(np.zeros(config.customers, np.int64), config.stop)
    brought, expected = accounts.brought(span), accounts.expected(span)
    error = (brought - expected).std() / np.sqrt(config.customers)
    assert abs((brought - expected).mean()) < 3 * error
    assert expected.std() < 0.7 * brought.std()


def _counts(brought, expected):
    return Counts(brought, expected, expected, np.full(len(expected), 4.0))


def _judged(revenue, expected=None):
    """Judge an experiment of which the analysis counted `revenue` by variant, where the shop counted the same."""
    names = list(revenue)
    experiment = Experiment("home", 1, [Variant(name, 1) for name in names], names[0], 0)
    variant = np.repeat(np.arange(len(names), dtype=np.int16), [len(revenue[name]) for name in names])
    columns = {name: np.zeros(len(variant)) for name in FIGURES}
    columns["revenue"] = np.concatenate(list(revenue.values()))
    columns["answers"] = np.ones(len(variant))
    customers = Assignments(np.arange(len(variant), dtype=np.uint32), np.zeros(len(variant), np.int64), variant)
    report = analyse(experiment, Outcomes(customers, columns, 0), AnalysisConfig(planned_customers=2_000))
    counts = {name: _counts(values, (expected or revenue)[name]) for name, values in revenue.items()}
    return Judged.of(report, counts)


def _spent(mean):
    return np.random.default_rng(int(mean * 10)).exponential(mean, 1_000)


def test_an_interval_that_has_the_true_effect_holds_it():
    judged = _judged({"usual": _spent(10.0), "bold": _spent(15.0)})
    bold = judged.truth["bold"].as_dict()
    assert bold["true_effect"] == pytest.approx(0.5, abs=0.15)
    assert bold["decision"] == "better"
    assert bold["sequential_interval_holds"] is bold["interval_holds"] is True
    assert bold["answer"] == pytest.approx(bold["expected"] / 4)
    assert bold["answer_effect_interval"][0] > 0
    assert judged.truth["usual"].as_dict()["true_effect"] is None


def test_an_analysis_that_misses_the_truth_is_told():
    counted = {"usual": _spent(10.0), "bold": _spent(15.0)}
    judged = _judged(counted, {"usual": _spent(15.0), "bold": _spent(10.0)})
    assert judged.truth["bold"].as_dict()["sequential_interval_holds"] is False
    assert any("misses it" in line for line in judged.lines())


def test_other_customers_or_other_revenue_than_the_shop_counted_are_told():
    counted = {"usual": _spent(10.0), "bold": _spent(15.0)}
    judged = _judged(counted)
    assert judged.is_counted_alike
    assert list(judged.lines())[-1].endswith("to the cent")
    for wrong in (counted["bold"][1:], counted["bold"] + 0.01):
        other = Judged.of(judged.report, {name: _counts(wrong, wrong) for name in counted})
        assert not other.is_counted_alike
        assert "does NOT have" in list(other.lines())[-1]


def test_an_experiment_without_customers_has_no_truth_yet():
    judged = Judged.of(_judged({"usual": _spent(10.0), "bold": _spent(15.0)}).report, {})
    assert judged.truth == {}
    assert judged.as_dict()["truth"] == {}
