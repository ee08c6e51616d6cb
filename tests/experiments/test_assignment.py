"""Who gets which variant: the same everywhere, in the shares that were asked for, and nobody moves without need."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import chi2_contingency, chisquare

from active_customers.catalog.rules import PageWish
from active_customers.core.event import Channel, Context
from active_customers.core.session import H_BOUGHT, H_EVENTS, empty_state
from active_customers.experiments.assignment import NOT_ASSIGNED, PLACES, Assignment, unit
from active_customers.experiments.definition import Experiment, Variant, code_of
from active_customers.experiments.strategies import RankingWish, RulesWish, Strategy

PAGE = Context.HOME, Channel.WEB
BEST = Strategy("best", RankingWish(setting="best"))
CALM = Strategy("calm", RankingWish(context=False))
STRATEGIES = {"best": BEST, "calm": CALM}
CUSTOMERS = [f"customer-{number}" for number in range(20_000)]
LEAST_P = 1e-4
"""Below this a split is no accident: one run in ten thousand would fail by chance, but customers' ids are fixed."""


def experiment(name: str = "test", **fields: object) -> Experiment:
    given = {
        "version": 1,
        "variants": (Variant("control", 50.0), Variant("treated", 50.0, "best")),
        "control": "control",
        "layer": "main",
        "places": tuple(range(PLACES)),
        "starts": 0,
    }
    number = fields.pop("number", 1)
    given |= fields
    coded = [replace(variant, code=code_of(number, place)) for place, variant in enumerate(given["variants"])]
    return Experiment(name, **{**given, "variants": tuple(coded)})


def variants(assignment: Assignment, customers: list[str] = CUSTOMERS, page=PAGE) -> list[str | None]:
    found = [assignment.assigned((customer, customer), page, lambda: None).variants for customer in customers]
    return [each[0].variant if each else None for each in found]


def test_a_hash_is_the_same_on_every_node_and_in_every_version_of_the_program():
    assert unit("anna", "main") == pytest.approx(0.6733986730, abs=1e-9)


def test_customers_are_split_by_the_weights():
    three = (Variant("control", 60.0), Variant("a", 30.0), Variant("b", 10.0))
    counts = Counter(variants(Assignment([experiment(variants=three)], STRATEGIES)))
    expected = [0.6 * len(CUSTOMERS), 0.3 * len(CUSTOMERS), 0.1 * len(CUSTOMERS)]
    assert chisquare([counts[name] for name in ("control", "a", "b")], expected).pvalue > LEAST_P


def test_more_places_change_nobodys_variant():
    few = variants(Assignment([experiment(places=tuple(range(1_000)))], STRATEGIES))
    many = variants(Assignment([experiment(places=tuple(range(3_000)))], STRATEGIES))
    assert 0.09 < np.mean([variant is not None for variant in few]) < 0.11
    assert all(before in (None, after) for before, after in zip(few, many, strict=True))


def test_two_experiments_are_independent_of_each_other_and_a_new_version_draws_anew():
    first = variants(Assignment([experiment("first")], STRATEGIES))
    for other in (experiment("second"), experiment("first", version=2)):
        counts = Counter(zip(first, variants(Assignment([other], STRATEGIES)), strict=True))
        table = [[counts[a, b] for b in ("control", "treated")] for a in ("control", "treated")]
        assert chi2_contingency(table).pvalue > LEAST_P


def test_experiments_of_one_layer_share_no_customer_and_those_of_others_do():
    halves = [
        experiment("first", places=tuple(range(5_000))),
        experiment("second", places=tuple(range(5_000, PLACES)), number=2),
        experiment("third", layer="other", number=3, variants=(Variant("control", 50), Variant("treated", 50, "calm"))),
    ]
    assignment = Assignment(halves, STRATEGIES)
    told = [assignment.assigned((customer, customer), PAGE, lambda: None) for customer in CUSTOMERS[:2_000]]
    names = Counter(tuple(variant.experiment for variant in each.variants) for each in told)
    assert set(names) == {("first", "third"), ("second", "third")}
    both = next(each for each in told if [variant.variant for variant in each.variants] == ["treated", "treated"])
    assert both.strategy == Strategy("best+calm", RankingWish(setting="best", context=False))
    assert both.codes() in ([9, 25], [17, 25])


def test_the_holdout_takes_part_in_nothing():
    without = Assignment([experiment(places=tuple(range(PLACES)))], STRATEGIES, holdout=10.0)
    found = variants(without)
    assert 0.09 < found.count(None) / len(found) < 0.11
    assert without.assigned((held_out := CUSTOMERS[found.index(None)], held_out), PAGE, lambda: None) is NOT_ASSIGNED


def test_an_experiment_counts_on_its_pages_only():
    cart = Assignment(
        [experiment(contexts=frozenset([Context.CART]), channels=frozenset([Channel.MOBILE]))], STRATEGIES
    )
    assert variants(cart, ["anna"]) == [None]
    assert variants(cart, ["anna"], (Context.CART, Channel.WEB)) == [None]
    assert variants(cart, ["anna"], (Context.CART, Channel.MOBILE)) != [None]


def test_customers_take_part_from_so_many_acts_and_purchases_on():
    assignment = Assignment([experiment(min_acts=2, min_purchases=1)], STRATEGIES)
    state = empty_state()
    asked = []
    for acts, bought in ((0, 0), (2, 0), (1, 1), (2, 1), (9, 9)):
        state[H_EVENTS], state[H_BOUGHT] = acts, bought
        asked.append(bool(assignment.assigned(("anna", "anna"), PAGE, lambda: state).variants))
    assert asked == [False, False, False, True, True]
    assert not assignment.assigned(("anna", "anna"), PAGE, lambda: None).variants


def test_a_tester_gets_what_is_written_down_for_them_and_does_not_count():
    assignment = Assignment([experiment(testers={"boss": "treated"}, places=())], STRATEGIES, holdout=99.0)
    found = assignment.assigned(("boss", "boss"), PAGE, lambda: None)
    assert (found.strategy, found.variants[0].variant, found.codes()) == (BEST, "treated", [])


def test_the_first_known_id_decides_and_not_the_one_that_is_asked_with():
    assignment = Assignment([experiment()], STRATEGIES)
    for root in CUSTOMERS[:50]:
        same = {assignment.assigned((asked, root), PAGE, lambda: None) for asked in (root, "cookie-7", "app-9")}
        assert len(same) == 1


def test_experiments_that_cannot_meet_are_not_multiplied():
    """One for each context, in a layer of its own, with three wishes each: 4^10 combinations if pages did not count."""
    wishes = {f"s{n}": Strategy(f"s{n}", rules=RulesWish(page=PageWish(diversity=n / 40))) for n in range(1, 31)}
    experiments = [
        experiment(
            f"on-{context.word}",
            number=place + 1,
            layer=f"layer-{place}",
            contexts=frozenset([context]),
            variants=(Variant("control", 25), *(Variant(f"v{n}", 25, f"s{3 * place + n}") for n in (1, 2, 3))),
        )
        for place, context in enumerate(Context)
    ]
    assert len(Assignment(experiments, wishes).rules_wishes()) == 31
