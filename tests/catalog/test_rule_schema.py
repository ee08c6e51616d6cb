"""What a rule may say; what does not go together is refused by its field, and a file comes back as it was stored."""

from __future__ import annotations

import pytest

from active_customers.catalog.filter_parser import parse_filter
from active_customers.catalog.filters import AnyOf, Compare
from active_customers.catalog.rule_file import as_yaml, read_rule_file
from active_customers.catalog.rule_schema import RuleIn, read_rules
from active_customers.catalog.rules import PageWish, Rule, RuleKind, changes_after
from active_customers.core.clock import parse_time
from active_customers.core.errors import InvalidValueError
from active_customers.core.event import Channel, Context

SPRING = {
    "name": "spring",
    "kind": "boost",
    "filter": "tags has spring",
    "product_ids": [7, "x"],
    "contexts": ["home", "category"],
    "channels": ["web"],
    "valid_from": "2025-03-01",
    "valid_until": "2025-06-01T06:00:00Z",
    "factor": 1.5,
}


def test_a_rule_is_read_into_what_is_put_in_force():
    assert RuleIn.read(SPRING).rule() == Rule(
        name="spring",
        kind=RuleKind.BOOST,
        filter=parse_filter("tags has spring"),
        product_ids=("7", "x"),
        contexts=frozenset({Context.HOME, Context.CATEGORY}),
        channels=frozenset({Channel.WEB}),
        valid_from=parse_time("2025-03-01T00:00:00Z"),
        valid_until=parse_time("2025-06-01T06:00:00Z"),
        factor=1.5,
    )


def test_a_record_has_what_was_given_and_is_read_again_as_the_same_rule():
    record = RuleIn.read(SPRING).record()
    assert record == SPRING | {"valid_from": "2025-03-01T00:00:00Z"}
    assert RuleIn.read(record) == RuleIn.read(SPRING)
    page = {"name": "page", "kind": "page", "one_per_variant_group": False, "max_per_brand": 0.3, "enabled": False}
    assert RuleIn.read(page).record() == page
    assert RuleIn.read(page).rule().page == PageWish(0.3, None, False, None)


def test_the_products_of_a_rule_are_those_of_its_filter_and_those_it_names():
    named = Compare("product_id", "=", ("7", "x"))
    assert RuleIn.read(SPRING).rule().products == AnyOf((parse_filter("tags has spring"), named))
    assert Rule("r", RuleKind.PIN, product_ids=("7", "x")).products == named
    assert Rule("r", RuleKind.EXCLUDE, filter=parse_filter("on_sale")).products == parse_filter("on_sale")


def test_a_rule_counts_from_its_beginning_until_before_its_end_while_it_is_enabled():
    rule = Rule("r", RuleKind.PAGE, valid_from=10, valid_until=20)
    assert [rule.is_valid_at(now) for now in (9, 10, 19, 20)] == [False, True, True, False]
    assert not Rule("r", RuleKind.PAGE, enabled=False).is_valid_at(10)
    assert [changes_after([rule], now) for now in (9, 10, 20)] == [10, 20, None]


def test_a_rule_counts_in_its_contexts_and_channels_or_in_all():
    rule = Rule("r", RuleKind.PAGE, contexts=frozenset({Context.CART}), channels=frozenset({Channel.WEB}))
    assert rule.is_for(Context.CART, Channel.WEB)
    assert not rule.is_for(Context.CART, Channel.EMAIL)
    assert not rule.is_for(Context.HOME, Channel.WEB)
    assert Rule("r", RuleKind.PAGE).is_for(Context.PUSH, Channel.PUSH)


@pytest.mark.parametrize(
    ("change", "field", "remedy"),
    [
        ({"name": None}, "name", "it is required"),
        ({"name": "two words"}, "name", "pattern"),
        ({"kind": "raise"}, "kind", "'include', 'exclude'"),
        ({"filter": "prise < 3"}, "filter", "at character 1, there is no field 'prise'; did you mean price?"),
        ({"filtre": "price < 3"}, "filtre", "did you mean filter?"),
        ({"contexts": ["hall"]}, "contexts", "send some of home, browse"),
        ({"channels": "web"}, "channels", "send a list"),
        ({"valid_from": "soon"}, "valid_from", "send a day such as 2025-01-01"),
        ({"valid_until": "2025-02-01"}, "valid_until", "give a time after `valid_from`"),
        ({"factor": 0.5}, "factor", "to boost, give a factor above 1"),
        ({"factor": None}, "factor", "to boost, give a factor above 1"),
        ({"kind": "bury"}, "factor", "to bury, give a factor from 0.000001 and below 1"),
        ({"kind": "bury", "factor": 1e-46}, "factor", "greater than or equal to 0.000001"),
        ({"kind": "exclude"}, "factor", "a rule that is to exclude has filter, product_ids"),
        ({"position": 3}, "position", "a rule that is to boost has filter, product_ids, factor"),
        ({"filter": None, "product_ids": None}, "filter", "give a rule that is to boost filter or product_ids"),
        ({"product_ids": []}, "product_ids", "at least 1"),
        ({"product_ids": [1.5]}, "product_ids[0]", "an id is an integer or a string"),
        ({"enabled": "yes"}, "enabled", "valid boolean"),
        ({"diversity": 0.5}, "diversity", "a rule that is to boost has"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_rule_is_named(change, field, remedy):
    with pytest.raises(InvalidValueError) as error:
        RuleIn.read(SPRING | change)
    assert error.value.field == field
    assert remedy in error.value.remedy


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ({"kind": "page"}, "max_per_brand"),
        ({"kind": "page", "diversity": 1.5}, "diversity"),
        ({"kind": "page", "max_per_brand": 0}, "max_per_brand"),
        ({"kind": "page", "filter": "on_sale", "diversity": 0.1}, "filter"),
        ({"kind": "pin", "filter": "on_sale"}, "filter"),
        ({"kind": "pin"}, "product_ids"),
        ({"kind": "pin", "product_ids": [1], "position": 0}, "position"),
        ({"kind": "pin", "product_ids": [1, 2], "position": 100}, "product_ids"),
    ],
    ids=str,
)
def test_pins_and_pages_have_fields_of_their_own(rule, field):
    with pytest.raises(InvalidValueError) as error:
        RuleIn.read({"name": "r", **rule})
    assert error.value.field == field


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ([], "rules"),
        ({"rules": {}}, "rules"),
        ({"rules": [], "extra": 1}, "extra"),
        ({"rules": [SPRING, {"name": "r", "kind": "page", "diversity": 2}]}, "rules[1].diversity"),
        ({"rules": [SPRING, SPRING]}, "rules[1].name"),
        ({"rules": ["spring"]}, "rules[0]"),
        ({"rules": [SPRING | {"filter": "x"}]}, "rules[0].filter"),
        ({"rules": [SPRING] * 2_001}, "rules"),
    ],
    ids=["list", "object", "extra", "second", "twice", "text", "filter", "many"],
)
def test_a_set_names_the_rule_that_is_wrong(sent, field):
    with pytest.raises(InvalidValueError) as error:
        read_rules(sent)
    assert error.value.field == field


def test_a_file_is_read_and_written_with_days_as_yaml_has_them(tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text("rules:\n  - name: a\n    kind: exclude\n    filter: on_sale\n    valid_from: 2025-03-01\n")
    [rule] = read_rule_file(path)
    assert rule.record()["valid_from"] == "2025-03-01T00:00:00Z"
    path.write_text(as_yaml([rule.record()]))
    assert read_rule_file(path) == [rule]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rules: [", "it cannot be read as YAML"),
        ("- name: a", "write `rules:`"),
        ("", "write `rules:`"),
        ("rules:\n  - kind: exclude\n    filter: on_sale", r"rules.yaml: rules\[0\].name"),
        ("rules: !!python/object/apply:os.system ['true']", "it cannot be read as YAML"),
    ],
)
def test_a_file_that_is_none_is_refused_by_its_name(tmp_path, text, told):
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    with pytest.raises(InvalidValueError, match=told) as error:
        read_rule_file(path)
    assert str(path) in str(error.value)
