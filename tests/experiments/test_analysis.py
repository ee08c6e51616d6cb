"""What a report says follows from the outcomes, and no more than they prove."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import orjson
import pytest
from tests.experiments.simulated import outcomes_of

from active_customers.core.errors import InvalidValueError
from active_customers.experiments.analysis import AnalysisConfig, Guardrail, Watched, analyse
from active_customers.experiments.definition import Experiment, Variant
from active_customers.experiments.estimators import Counted
from active_customers.experiments.report_text import lines_of

CONFIG = AnalysisConfig(planned_customers=20_000)


def experiment(*names):
    return Experiment("home", 2, tuple(Variant(name, 1, "hybrid") for name in names), names[0], 0)


AB = experiment("usual", "bold")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(40)


def of_measure(report, name):
    return next(effect for effect in report.effects if effect.measure == name)


def test_a_variant_that_sells_more_is_better_and_one_that_sells_less_is_worse(rng):
    report = analyse(experiment("usual", "bold", "dull"), outcomes_of(rng, 60_000, (1.0, 1.4, 0.6)), CONFIG)
    assert {effect.variant: effect.decision for effect in report.of_primary()} == {"bold": "better", "dull": "worse"}
    assert report.as_dict()["decisions"] == {"bold": "better", "dull": "worse"}


def test_without_an_effect_nothing_is_known_yet(rng):
    report = analyse(AB, outcomes_of(rng, 20_000), CONFIG)
    assert {effect.decision for effect in report.effects} == {"not yet known"}


def test_reports_without_effect_looked_at_as_customers_come_rarely_decide_anything(rng):
    """All of the way, with what the past tells and with a small variant."""
    runs, decided = 100, 0
    for _ in range(runs):
        whole = outcomes_of(rng, 4_000, (1.0,) * 5)
        variant = (whole.assignments.variant == 4).astype(np.int16)
        decided += any(_is_decided(whole, variant, n) for n in range(500, 4_001, 700))
    assert decided / runs <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs)


def _is_decided(whole, variant, n):
    rows = slice(0, n)
    assignments = replace(
        whole.assignments, customer=whole.assignments.customer[rows], since=variant[rows], variant=variant[rows]
    )
    outcomes = replace(whole, assignments=assignments, columns={k: v[rows] for k, v in whole.columns.items()})
    unequal = Experiment("home", 2, (Variant("usual", 4, "hybrid"), Variant("bold", 1, "hybrid")), "usual", 0)
    [effect] = analyse(unequal, outcomes, CONFIG).of_primary()
    return effect.decision in {"better", "worse"}


def test_values_are_as_counted_and_the_past_saves_noise(rng):
    outcomes = outcomes_of(rng, 20_000)
    effect = of_measure(analyse(AB, outcomes, CONFIG), "revenue_per_customer")
    assert effect.value == pytest.approx(outcomes.of_variant("revenue", 1).mean())
    assert effect.control == pytest.approx(outcomes.of_variant("revenue", 0).mean())
    assert effect.variance_saved > 0.005
    assert effect.effect == pytest.approx(effect.value - effect.control, abs=2 * effect.control)


def test_click_through_is_clicks_of_answers(rng):
    outcomes = outcomes_of(rng, 2_000)
    effect = of_measure(analyse(AB, outcomes, CONFIG), "click_through")
    assert effect.value == outcomes.of_variant("clicks", 1).sum() / outcomes.of_variant("answers", 1).sum()


def test_capped_revenue_says_its_cap_and_one_order_cannot_move_it(rng):
    outcomes = outcomes_of(rng, 20_000)
    before = analyse(AB, outcomes, CONFIG)
    outcomes.columns["revenue"][np.argmax(outcomes.assignments.variant == 1)] = 1e6
    after = analyse(AB, outcomes, CONFIG)
    cap = np.quantile(outcomes.columns["revenue"][outcomes.columns["revenue"] > 0], 0.99)
    assert of_measure(after, "revenue_per_customer_capped").cap == pytest.approx(cap)
    moved = {
        name: of_measure(after, name).value - of_measure(before, name).value
        for name in ("revenue_per_customer", "revenue_per_customer_capped")
    }
    assert moved["revenue_per_customer"] > 50
    assert abs(moved["revenue_per_customer_capped"]) < 0.1


def test_a_margin_is_told_only_where_costs_are_known(rng):
    known = {effect.measure for effect in analyse(AB, outcomes_of(rng, 100), CONFIG).effects}
    unknown = {effect.measure for effect in analyse(AB, outcomes_of(rng, 100, has_costs=False), CONFIG).effects}
    assert known - unknown == {"margin_per_customer"}


def test_several_variants_are_corrected_for(rng):
    report = analyse(experiment("usual", "b", "c", "d"), outcomes_of(rng, 30_000, (1.0, 1.25, 1, 1)), CONFIG)
    first = min(report.of_primary(), key=lambda effect: effect.always_valid_p)
    assert first.p_corrected == pytest.approx(min(3 * first.always_valid_p, 1))


def test_with_a_wrong_sample_ratio_nothing_is_to_be_trusted(rng):
    outcomes = outcomes_of(rng, 20_000, (1.0, 1.0, 2.0))
    outcomes.assignments.variant[outcomes.assignments.variant == 2] = 1
    report = analyse(AB, outcomes, CONFIG)
    assert report.sample_ratio.is_wrong
    assert {effect.decision for effect in report.effects} == {"not to be trusted"}
    assert any("sample ratio is wrong: p=" in line and "not to be trusted" in line for line in lines_of(report))


def test_a_guardrail_stops_the_variant_that_does_harm(rng):
    names = experiment("usual", "slow", "fine")
    latency = Guardrail(
        "latency_ms", {"usual": Counted(2.0, 1.0, 9_000), "slow": Counted(2.5, 1.0, 9_000), "fine": Counted(2.0, 1, 9)}
    )
    empty = Guardrail("empty_answers", {name: Counted.of_share(10, 10_000) for name in names.names})
    report = analyse(names, outcomes_of(rng, 300, (1, 1, 1)), CONFIG, Watched([latency, empty]))
    assert report.should_stop == ["slow"]
    assert any(line == "slow: STOP, latency_ms is 2.5 instead of 2" for line in lines_of(report))


def test_harm_within_the_tolerance_is_none(rng):
    counted = {"usual": Counted(2.0, 1.0, 9_000), "bold": Counted(2.1, 1.0, 9_000)}
    outcomes = outcomes_of(rng, 300)
    assert analyse(AB, outcomes, CONFIG, Watched([Guardrail("latency_ms", counted, 0.1)])).should_stop == []
    assert analyse(AB, outcomes, CONFIG, Watched([Guardrail("latency_ms", counted)])).should_stop == ["bold"]


def test_unsubscribes_are_a_guardrail_of_every_test(rng):
    outcomes = outcomes_of(rng, 10_000)
    unsubscribed = (outcomes.assignments.variant == 1) & (rng.random(10_000) < 0.05)
    outcomes.columns["unsubscribed"] = unsubscribed.astype(float)
    assert analyse(AB, outcomes, CONFIG).should_stop == ["bold"]


def test_guardrails_without_harm_rarely_stop_anything_however_many_there_are(rng):
    runs, stopped = 150, 0
    few = outcomes_of(rng, 10)
    for _ in range(runs):
        seen = rng.binomial(1_000, 0.02, (5, 2, 8)).cumsum(axis=2)
        stopped += any(
            analyse(AB, few, CONFIG, Watched([_errors(str(number), pair[:, look], 1_000 * (look + 1))
                                              for number, pair in enumerate(seen)])).should_stop
            for look in range(8)
        )  # fmt: skip
    assert stopped / runs <= 0.05


def _errors(name, cases, n):
    return Guardrail(name, {variant: Counted.of_share(int(k), n) for variant, k in zip(AB.names, cases, strict=True)})


@pytest.mark.parametrize(
    ("counted", "said"),
    [({"usual": Counted(1, 1, 9), "other": Counted(1, 1, 9)}, "other"), ({"bold": Counted(1, 1, 9)}, "control")],
)
def test_a_guardrail_of_unknown_variants_or_without_control_is_refused(rng, counted, said):
    with pytest.raises(InvalidValueError, match=said):
        analyse(AB, outcomes_of(rng, 10), CONFIG, Watched([Guardrail("errors", counted)]))


def test_lost_exposures_are_told_above_a_tenth_of_a_percent(rng):
    outcomes = outcomes_of(rng, 10_000)
    assert not analyse(AB, outcomes, CONFIG, Watched(n_lost=10)).is_much_lost
    report = analyse(AB, outcomes, CONFIG, Watched(n_lost=20))
    assert any(line.startswith("0.20% of exposures were lost") for line in lines_of(report))


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_a_test_that_just_began_has_a_report_that_is_json(rng, n):
    report = analyse(AB, outcomes_of(rng, n), CONFIG)
    told = orjson.loads(orjson.dumps(report.as_dict()))
    assert sum(told["customers"].values()) == n
    assert not report.should_stop
    assert list(lines_of(report))


def test_without_any_answer_there_is_no_click_through(rng):
    outcomes = outcomes_of(rng, 100)
    outcomes.columns["answers"] = np.zeros(100)
    assert "click_through" not in {effect.measure for effect in analyse(AB, outcomes, CONFIG).effects}


def test_the_text_tells_the_decision_in_words_and_what_was_left_out(rng):
    outcomes = outcomes_of(rng, 60_000, (1.0, 1.5), left_out={"n_other_currency": 3, "n_without_price": 0})
    text = "\n".join(lines_of(analyse(AB, outcomes, CONFIG)))
    assert "bold: better by revenue_per_customer, its effect lies within +" in text
    assert "left out: 3 purchases in another currency" in text
    assert "without a price" not in text


def test_the_table_tells_the_wider_interval_under_the_heading_of_any_look(rng):
    report = analyse(AB, outcomes_of(rng, 60_000), CONFIG)
    ranges = of_measure(report, "conversion_rate").relative_ranges
    lines = list(lines_of(report))
    head = next(line for line in lines if line.startswith("measure"))
    row = next(line for line in lines if line.startswith("conversion_rate"))
    assert row[head.index("at any look") :].startswith(f"{ranges.sequential.low:+.1%} to")
    assert row[head.index("looked at once") :].startswith(f"{ranges.fixed.low:+.1%} to")
    assert ranges.sequential.low < ranges.fixed.low
