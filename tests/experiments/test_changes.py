"""What becomes of an experiment that is saved: its version, its places, what it cannot be beside others."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import NOW

from active_customers.core.clock import DAY, format_time
from active_customers.core.errors import InvalidValueError
from active_customers.experiments.assignment import PLACES
from active_customers.experiments.changes import MOST_NUMBER, Known, check_unused, saved, stopped
from active_customers.experiments.experiment_schema import ExperimentIn, experiment_of
from active_customers.experiments.strategy_schema import StrategyIn

STRATEGIES = {
    "best": {"name": "best", "setting": "best"},
    "calm": {"name": "calm", "context": False},
    "mixed": {"name": "mixed", "diversity": 0.5},
}
HALVES = {"control": {"weight": 50}, "best": {"weight": 50, "strategy": "best"}}


class Book:
    """Saves experiments one after the other, as the store would."""

    def __init__(self) -> None:
        self.records: dict[str, dict[str, Any]] = {}

    def save(self, name: str, now: int = NOW, **fields: object) -> dict[str, Any]:
        sent = {"name": name, "variants": HALVES, **fields}
        self.records[name] = saved(ExperimentIn.read(sent), Known(STRATEGIES, self.records), now)
        return self.records[name]

    def refused(self, name: str, **fields: object) -> InvalidValueError:
        with pytest.raises(InvalidValueError) as error:
            self.save(name, **fields)
        return error.value


def places(record: dict[str, Any]) -> set[int]:
    return set(experiment_of(record).places)


@pytest.fixture
def book() -> Book:
    return Book()


def test_it_begins_when_it_is_saved_unless_it_says_when(book):
    assert experiment_of(book.save("now")).is_running(NOW)
    later = experiment_of(book.save("later", layer="other", starts=format_time(NOW + DAY), variants=of("calm")))
    assert (later.is_running(NOW), later.is_running(NOW + DAY)) == (False, True)


def of(strategy: str) -> dict[str, Any]:
    return {"control": {"weight": 50}, "other": {"weight": 50, "strategy": strategy}}


def test_a_change_of_who_gets_what_begins_a_new_version_and_another_change_does_not(book):
    book.save("test", share=10)
    same = book.save("test", NOW + DAY, share=10, description="what it is for", ends=format_time(NOW + 9 * DAY))
    assert (same["version"], experiment_of(same).starts) == (1, NOW)
    other = book.save("test", NOW + 2 * DAY, share=10, variants={**HALVES, "best": {"weight": 50, "strategy": "calm"}})
    assert (other["version"], experiment_of(other).starts, other["number"]) == (2, NOW + 2 * DAY, same["number"] + 1)
    assert book.save("test", NOW + 3 * DAY, share=10, contexts=["cart"])["version"] == 3


def test_before_it_begins_everything_may_change_and_after_it_ended_it_begins_anew(book):
    book.save("test", starts=format_time(NOW + DAY), ends=format_time(NOW + 2 * DAY))
    changed = book.save("test", starts=format_time(NOW + DAY), variants=of("calm"), ends=format_time(NOW + 2 * DAY))
    assert changed["version"] == 1
    assert book.save("test", NOW + 5 * DAY, variants=of("calm"))["version"] == 1  # it ended, and nothing is new
    again = book.save("test", NOW + 5 * DAY, variants=of("calm"), starts=format_time(NOW + 5 * DAY))
    assert again["version"] == 2


def test_the_share_may_grow_and_who_takes_part_goes_on(book):
    before = places(book.save("test", share=5))
    after = places(book.save("test", NOW + DAY, share=20))
    assert (len(before), len(after), before < after) == (500, 2_000, True)
    refused = book.refused("test", now=NOW + 2 * DAY, share=10)
    assert (refused.field, "they are to stay" in refused.remedy) == ("share", True)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(1, 60), min_size=1, max_size=8))
def test_experiments_of_one_layer_never_share_a_place_and_never_get_more_than_there_is(shares):
    book = Book()
    for number, share in enumerate(shares):
        left = PLACES - sum(len(places(record)) for record in book.records.values())
        if round(share * 100) <= left:
            book.save(f"e{number}", share=share)
        else:
            assert book.refused(f"e{number}", share=share).field == "share"
    taken = [place for record in book.records.values() for place in places(record)]
    assert len(taken) == len(set(taken)) <= PLACES


def test_what_does_not_fit_into_its_layer_says_beside_whom(book):
    book.save("first", share=70)
    refused = book.refused("second", share=40)
    assert refused.field == "share"
    assert "has 30 % left beside 'first'" in refused.remedy
    book.records["first"] = stopped(book.records["first"], NOW + 1)
    assert book.save("second", NOW + DAY, share=40)["version"] == 1


def test_experiments_that_change_the_same_things_on_the_same_pages_belong_in_one_layer(book):
    book.save("first", contexts=["home", "cart"])
    refused = book.refused("second", layer="other", contexts=["cart"])
    assert refused.field == "layer"
    assert "the experiment 'first' of layer 'main' changes setting, too" in refused.remedy
    book.save("elsewhere", layer="other", contexts=["email"])
    book.save("otherwise", layer="third", contexts=["cart"], variants=of("mixed"))


def test_a_strategy_in_use_stays_and_an_unknown_one_is_refused(book):
    book.save("test")
    known = Known(STRATEGIES, book.records)
    with pytest.raises(InvalidValueError, match="'test' answers by it"):
        check_unused("best", known, NOW)
    check_unused("calm", known, NOW)
    check_unused("best", Known(STRATEGIES, {"test": stopped(book.records["test"], NOW + DAY)}), NOW + 2 * DAY)
    refused = book.refused("other", variants=of("bets"))
    assert (refused.field, refused.value) == ("variants.other.strategy", "bets")


def test_only_what_runs_can_be_stopped(book):
    record = stopped(book.save("test"), NOW + DAY, "seen enough")
    assert (experiment_of(record).is_running(NOW + DAY), record["stopped_because"]) == (False, "seen enough")
    with pytest.raises(InvalidValueError, match="it has ended"):
        stopped(record, NOW + 2 * DAY)
    with pytest.raises(InvalidValueError, match="it has not begun"):
        stopped(
            book.save("later", layer="l", contexts=["cart"], starts=format_time(NOW + DAY), variants=of("mixed")), NOW
        )


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"variants": {"a": {"weight": 50}, "b": {"weight": 49}}, "control": "a"}, "variants"),
        ({"variants": {"a": {"weight": 100}}}, "variants"),
        ({"variants": {f"v{n}": {"weight": 100 / 9} for n in range(9)}}, "variants"),
        ({"control": "nobody"}, "control"),
        ({"share": 0}, "share"),
        ({"share": 101}, "share"),
        ({"contexts": ["hom"]}, "contexts"),
        ({"testers": {"7": "nobody"}}, "testers.7"),
        ({"starts": "2025-01-02", "ends": "2025-01-01"}, "ends"),
        ({"starts": "tomorrow"}, "starts"),
        ({"varants": {}}, "varants"),
        ({"name": "bad name"}, "name"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_field(fields, field):
    with pytest.raises(InvalidValueError) as error:
        ExperimentIn.read({"name": "test", "variants": HALVES, **fields})
    assert error.value.field == field


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "some"),
        ({"sources": ["session"]}, "sources[0]"),
        ({"sources": [], "ranker": "trees"}, "ranker"),
        ({"diversity": 2}, "diversity"),
        ({"name": "default", "setting": "best"}, "name"),
        ({"diversty": 1}, "diversty"),
    ],
)
def test_a_strategy_that_makes_no_sense_is_refused_by_its_field(fields, field):
    with pytest.raises(InvalidValueError) as error:
        StrategyIn.read({"name": "some", **fields})
    assert error.value.field == field


def test_the_same_file_again_does_not_bring_back_what_was_stopped(book):
    book.records["test"] = stopped(book.save("test"), NOW + DAY, "it did harm")
    assert book.save("test", NOW + 2 * DAY) == book.records["test"]
    assert experiment_of(book.records["test"]).is_running(NOW + 2 * DAY) is False
    assert book.save("test", NOW + 3 * DAY, starts=format_time(NOW + 3 * DAY))["version"] == 2


def test_a_running_experiment_never_loses_its_customers_to_a_later_end(book):
    book.save("first", share=80, ends=format_time(NOW + 10 * DAY))
    book.save("second", share=80, starts=format_time(NOW + 10 * DAY))
    refused = book.refused("first", now=NOW + DAY, share=80, ends=format_time(NOW + 20 * DAY))
    assert (refused.field, "'second' has some of its customers" in refused.remedy) == ("ends", True)


def test_a_record_that_cannot_be_read_keeps_no_other_from_being_saved(book):
    book.records["odd"] = {"name": "odd"}
    assert book.save("test")["version"] == 1


def test_numbers_begin_anew_where_there_is_one_free(book):
    book.save("last")
    book.records["last"]["number"] = MOST_NUMBER
    assert book.save("next", layer="other", variants=of("mixed"))["number"] == 1
    assert book.save("third", layer="third", variants=of("calm"), contexts=["email"])["number"] == 2


def test_a_running_experiment_has_begun_when_it_did(book):
    book.save("test")
    assert book.refused("test", now=NOW + DAY, starts=format_time(NOW + 9 * DAY)).field == "starts"
    assert book.save("test", NOW + DAY, starts=format_time(NOW))["version"] == 1
