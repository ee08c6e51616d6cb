"""Rules and filters in answers: what they close is nowhere, what they order is ordered, and what changed counts."""

from __future__ import annotations

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conftest import NOW
from tests.realtime.conftest import GARDEN, KITCHEN, Shop, two_worlds

from active_customers.catalog.filter_parser import parse_filter
from active_customers.catalog.filters import holds
from active_customers.catalog.rule_schema import RuleIn
from active_customers.core.clock import DAY, MINUTE, format_time
from active_customers.core.product import Product, ProductChange
from active_customers.realtime.schemas import MAX_N

EVERYTHING = {*KITCHEN, *GARDEN, "rare"}


def stocked() -> Shop:
    """Kitchen products are Mare's, garden products Oak's, dearer with their number; k2 and k3 are one in two sizes."""
    shop = two_worlds()
    for brand, category, products in (("Mare", "Kitchen > Pans", KITCHEN), ("Oak", "Garden", GARDEN)):
        for number, product in enumerate(products):
            group = "sizes" if product in ("k2", "k3") else None
            fields = {"brand": brand, "category": category, "price": 10.0 * (number + 1), "stock": 5}
            shop.sell(Product(product, variant_group=group, tags=(product,), released=NOW - number * DAY, **fields))
    shop.engine.rules.follow()
    return shop


@pytest.fixture
def shop() -> Shop:
    return stocked()


def rule(shop: Shop, name: str, kind: str, **fields: object) -> None:
    """Store a rule as the API does, and let the service take it up."""
    record = RuleIn.read({"name": name, "kind": kind, **fields}).record()
    shop.store.rules.change({name: record})
    shop.engine.rules.follow()


def test_without_rules_nothing_changes_but_one_of_a_variant_group_is_enough(shop):
    shown = shop.products("anna", n=MAX_N)
    assert len(set(shown) & {"k2", "k3"}) == 1
    assert set(shown) | {"k2", "k3"} == EVERYTHING
    rule(shop, "sizes", "page", one_per_variant_group=False)
    assert set(shop.products("anna", n=MAX_N)) == EVERYTHING


@pytest.mark.parametrize("context", ["home", "browse", "cart", "checkout", "discover"])
@pytest.mark.parametrize("deadline", [50, 1])
def test_what_is_excluded_is_on_no_page_whoever_proposes_it(shop, context, deadline):
    for product in ("k0", "k3"):
        shop.act("anna", "view", product)
    shop.act("anna", "cart_add", "k0")
    rule(shop, "no-mare", "exclude", filter="brand = Mare")
    for customer in ("anna", "a stranger"):
        shown = shop.products(customer, n=MAX_N, context=context, deadline_ms=deadline)
        assert set(shown) == {*GARDEN, "rare"}


def test_only_what_is_included_is_shown_and_several_includes_all_have_to_hold(shop):
    rule(shop, "mare", "include", filter="brand = Mare")
    assert set(shop.products("anna", n=MAX_N)) <= set(KITCHEN)
    rule(shop, "cheap", "include", filter="price <= 20", product_ids=["k4"])
    assert set(shop.products("anna", n=MAX_N)) == {"k0", "k1", "k4"}


def test_what_only_events_name_has_no_brand_to_be_included_by_nor_a_new_one(shop):
    rule(shop, "no-oak", "include", filter="brand = Mare")
    shop.act("ben", "view", "brand-new")
    assert {"rare", "brand-new"}.isdisjoint(shop.products("anna", n=MAX_N))
    assert {"rare", "brand-new"}.isdisjoint(shop.products("ben", n=MAX_N))


def test_named_products_are_excluded_also_when_they_come_later(shop):
    rule(shop, "recall", "exclude", product_ids=["rare", "coming"])
    assert "rare" not in shop.products("anna", n=MAX_N)
    shop.sell(Product("coming"))
    shop.engine.rules.follow()
    assert "coming" not in shop.products("anna", n=MAX_N)


def test_a_boost_and_a_bury_move_products_and_scores_go_on_falling_from_1(shop):
    shop.act("anna", "view", "k0")
    before = shop.products("anna", n=6)
    rule(shop, "oak", "boost", filter="brand = Oak", factor=1000.0)
    rule(shop, "last", "bury", filter="tags has g0", factor=0.001)
    answer = shop.ask("anna", n=6)
    shown = [row["product_id"] for row in answer["recommendations"]]
    assert set(before[:2]) <= set(KITCHEN)
    assert set(shown[:4]) == set(GARDEN) - {"g0"}
    scores = [row["score"] for row in answer["recommendations"]]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == 1


@pytest.mark.parametrize(("kind", "factor"), [("boost", 1000.0), ("bury", 0.000_001)])
def test_however_many_factors_multiply_a_product_stays_and_has_a_score(shop, kind, factor):
    for number in range(14):
        rule(shop, f"{kind}-{number}", kind, filter="tags has k0", factor=factor)
    rule(shop, "hero", "pin", product_ids=["k0"])
    answer = shop.ask("anna", n=MAX_N)
    scores = [row["score"] for row in answer["recommendations"]]
    assert answer["recommendations"][0]["product_id"] == "k0"
    assert len(scores) > 5
    assert all(np.isfinite(scores))
    rule(shop, "only", "include", product_ids=["k0"])
    assert [(row["product_id"], row["score"]) for row in shop.ask("anna")["recommendations"]] == [("k0", 1.0)]


def test_reasons_stay_those_of_their_products_when_products_move(shop):
    shop.act("anna", "view", "k0")
    before = {row["product_id"]: row["reason"] for row in shop.ask("anna", n=10)["recommendations"]}
    rule(shop, "oak", "boost", filter="brand = Oak", factor=1000.0)
    after = {row["product_id"]: row["reason"] for row in shop.ask("anna", n=10)["recommendations"]}
    assert {product: after[product] for product in before if product in after} == {
        product: reason for product, reason in before.items() if product in after
    }


def test_pinned_products_stand_where_the_shop_wants_them(shop):
    shop.act("anna", "view", "k0")
    rule(shop, "hero", "pin", product_ids=["rare", "g4"], position=2)
    shown = shop.products("anna", n=5)
    assert shown[1:3] == ["rare", "g4"]
    assert shown[0] in KITCHEN


def test_of_two_pins_of_one_place_the_first_by_name_has_it_and_no_product_is_there_twice(shop):
    rule(shop, "b", "pin", product_ids=["g1", "g2"])
    rule(shop, "a", "pin", product_ids=["g2"])
    assert shop.products("anna", n=4)[:2] == ["g2", "g1"]


def test_a_pinned_product_that_comes_later_is_there_from_then_on(shop):
    rule(shop, "hero", "pin", product_ids=["coming"])
    assert "coming" not in shop.products("anna", n=MAX_N)
    shop.sell(Product("coming"))
    shop.engine.rules.follow()
    assert shop.products("anna", n=2)[0] == "coming"


@pytest.mark.parametrize(
    "why", ["sold out", "in the cart", "hidden by the customer", "on the page", "excluded", "a rule"]
)
def test_a_pin_gives_no_right_to_be_shown(shop, why):
    rule(shop, "hero", "pin", product_ids=["g4"])
    assert shop.products("anna", n=3)[0] == "g4"
    parameters = {}
    if why == "sold out":
        shop.sell(Product("g4", stock=0))
    elif why == "in the cart":
        shop.act("anna", "cart_add", "g4")
    elif why == "hidden by the customer":
        shop.act("anna", "hide", "g4")
    elif why == "a rule":
        rule(shop, "no-g4", "exclude", filter="tags has g4")
    else:
        parameters = {"on the page": {"product_id": "g4"}, "excluded": {"exclude": "g4"}}[why]
    shown = shop.products("anna", n=MAX_N, **parameters)
    assert "g4" not in shown
    assert len(shown) > 5


def test_a_page_has_as_many_of_a_brand_as_allowed_and_fills_up_with_others(shop):
    shop.act("anna", "view", "k0")
    rule(shop, "mixed", "page", max_per_brand=2)
    shown = shop.products("anna", n=5)
    assert len(set(shown) & set(KITCHEN)) == 2
    assert len(set(shown) & set(GARDEN)) == 2
    assert "rare" in shown


def test_diversity_brings_another_category_up(shop):
    shop.act("anna", "view", "k0")
    assert set(shop.products("anna", n=3, context="browse")) <= set(KITCHEN)
    rule(shop, "variety", "page", diversity=0.8)
    assert not set(shop.products("anna", n=3, context="browse")) <= set(KITCHEN)


def test_of_several_page_rules_the_first_by_name_that_says_something_counts(shop):
    rule(shop, "b", "page", max_per_brand=4, max_per_category=1)
    rule(shop, "a", "page", max_per_brand=2)
    shown = shop.products("anna", n=MAX_N)
    assert len(set(shown) & set(KITCHEN)) == 1


def test_a_rule_counts_in_its_contexts_and_channels_only(shop):
    rule(shop, "cart-only", "exclude", filter="brand = Oak", contexts=["cart"], channels=["mobile"])
    assert set(GARDEN).isdisjoint(shop.products("anna", n=MAX_N, context="cart", channel="mobile"))
    assert set(GARDEN) <= set(shop.products("anna", n=MAX_N, context="cart"))
    assert set(GARDEN) <= set(shop.products("anna", n=MAX_N, channel="mobile"))


def test_a_rule_begins_and_ends_at_its_times(shop):
    times = {"valid_from": format_time(NOW + DAY), "valid_until": format_time(NOW + 2 * DAY)}
    rule(shop, "weekend", "exclude", filter="brand = Oak", **times)
    found = []
    for _day in range(3):
        shop.engine.rules.follow()
        found.append("g0" in shop.products("anna", n=MAX_N))
        shop.clock.advance(DAY)
    assert found == [True, False, True]


def test_what_is_disabled_or_taken_away_counts_no_more(shop):
    rule(shop, "no-oak", "exclude", filter="brand = Oak")
    assert "g0" not in shop.products("anna", n=MAX_N)
    rule(shop, "no-oak", "exclude", filter="brand = Oak", enabled=False)
    assert "g0" in shop.products("anna", n=MAX_N)
    rule(shop, "no-oak", "exclude", filter="brand = Oak")
    shop.store.rules.change({"no-oak": None})
    shop.engine.rules.follow()
    assert "g0" in shop.products("anna", n=MAX_N)


def test_a_record_that_is_no_rule_to_this_version_costs_none_of_the_others(shop, caplog):
    shop.store.rules.change({"odd": {"name": "odd", "kind": "shuffle"}})
    rule(shop, "no-oak", "exclude", filter="brand = Oak")
    assert "g0" not in shop.products("anna", n=MAX_N)
    assert "rule odd does not count" in caplog.text


def test_a_changed_product_is_asked_anew(shop):
    rule(shop, "low", "exclude", filter="stock < 3 or price > 1000")
    assert "g0" in shop.products("anna", n=MAX_N)
    for fields in ({"stock": 2}, {"price": 2000.0}):
        shop.store.catalog.change_products([ProductChange("g0", fields, merge=True)])
        shop.table.update(["g0"])
        shop.engine.rules.follow()
        assert "g0" not in shop.products("anna", n=MAX_N)
        shop.store.catalog.change_products([ProductChange("g0", {"stock": 5, "price": 10.0}, merge=True)])
        shop.table.update(["g0"])
        shop.engine.rules.follow()
        assert "g0" in shop.products("anna", n=MAX_N)


def test_what_is_sold_out_is_gone_from_the_next_answer_before_rules_look_again(shop):
    shop.act("anna", "view", "k1")
    rule(shop, "no-rare", "exclude", product_ids=["rare"])
    for filtered in ({}, {"filter": "brand = Mare"}):
        shop.sell(Product("k0", brand="Mare", stock=1))
        shop.engine.rules.follow()
        assert "k0" in shop.products("anna", n=MAX_N, **filtered)
        shop.sell(Product("k0", brand="Mare", stock=0))
        assert "k0" not in shop.products("anna", n=MAX_N, **filtered)


def test_an_age_passes_without_any_change(shop):
    rule(shop, "new", "include", filter="age < 3")
    assert set(shop.products("anna", n=MAX_N)) == {"k0", "k1", "k2", "g0", "g1", "g2"}
    shop.clock.advance(DAY + MINUTE)
    shop.engine.rules.follow()
    assert set(shop.products("anna", n=MAX_N)) == {"k0", "k1", "g0", "g1"}
    assert set(shop.products("anna", n=MAX_N, filter="age < 2")) == {"k0", "g0"}
    shop.clock.advance(DAY)
    shop.engine.rules.follow()
    assert shop.products("anna", n=MAX_N, filter="age < 2") == []


def test_a_request_filters_on_top_of_the_rules(shop):
    rule(shop, "no-k0", "exclude", product_ids=["k0"])
    assert set(shop.products("anna", n=MAX_N, filter="brand = Mare and price < 30")) == {"k1"}
    assert shop.products("anna", n=MAX_N, filter="brand = Nobody") == []
    assert shop.ask("anna", filter="brand = Nobody")["metadata"]["degraded"] == ["no_products"]


def test_a_request_may_filter_where_there_are_no_rules_and_knows_changes(shop):
    assert set(shop.products("anna", n=MAX_N, filter="price > 40")) == {"k4", "g4"}
    shop.sell(Product("g0", price=50.0), Product("newest", price=60.0))
    shop.engine.rules.follow()
    assert set(shop.products("anna", n=MAX_N, filter="price > 40")) == {"k4", "g4", "g0", "newest"}


@pytest.mark.parametrize("asked", ["colour = red", "price <", "x" * 2_001, "(" * 50])
def test_a_filter_that_is_none_is_refused_by_name(shop, asked):
    reply = shop.reply_to_get(f"customer_id=anna&filter={asked.replace(' ', '+')}")
    problem = orjson.loads(reply.body)
    assert (reply.status, problem["field"]) == (400, "filter")
    assert problem["remedy"]


def test_rules_and_filters_go_on_where_a_shop_outgrows_its_arrays(empty_shop):
    shop = empty_shop
    rule(shop, "odd", "exclude", filter="tags has odd")
    rule(shop, "last", "boost", product_ids=["4999", "5000"], factor=2.0)
    for first in (0, 5_000):
        numbers = range(first, first + 5_000)
        shop.sell(*(Product(str(n), price=float(n), tags=("odd",) if n % 2 else ("even",)) for n in numbers))
        shop.engine.rules.follow()
        newest = first + 4_998
        assert shop.products("anna", n=3) == [newest, newest - 2, newest - 4]
        assert shop.products("anna", n=3, filter="price < 5") == [4, 2, 0]


def test_factors_from_elsewhere_multiply_with_those_of_rules(shop):
    shop.act("anna", "view", "k0")
    factors = np.ones(shop.store.catalog.n_products(), np.float32)
    factors[shop.store.catalog.product_number("g0")] = 1000.0
    factors.flags.writeable = False
    shop.engine.factors = factors
    assert shop.products("anna", n=1) == ["g0"]
    rule(shop, "less", "bury", product_ids=["g0"], factor=0.0001)
    assert shop.products("anna", n=1) != ["g0"]


@pytest.fixture(scope="module")
def lasting_shop() -> Shop:
    """One shop for all examples; each is a customer of its own and has rules of its own."""
    return stocked()


texts = st.sampled_from(
    [
        "brand = Mare",
        "price < 30",
        "price >= 20 and brand = Oak",
        "tags in (k0, g3)",
        "not on_sale",
        "category under Kitchen",
    ]
)
several = st.lists(st.sampled_from(sorted(EVERYTHING)), min_size=1, max_size=3)
rules = st.dictionaries(
    st.sampled_from("abcd"),
    st.one_of(
        st.fixed_dictionaries({"kind": st.sampled_from(["include", "exclude"]), "filter": texts}),
        st.fixed_dictionaries({"kind": st.just("boost"), "filter": texts, "factor": st.sampled_from([2.0, 50.0])}),
        st.fixed_dictionaries({"kind": st.just("pin"), "product_ids": several, "position": st.integers(1, 4)}),
        st.fixed_dictionaries({"kind": st.just("page"), "max_per_brand": st.sampled_from([1.0, 2.0, 0.5])}),
    ),
    max_size=4,
)
acts = st.lists(
    st.tuples(st.sampled_from(["view", "cart_add", "hide", "purchase"]), st.sampled_from(sorted(EVERYTHING))),
    max_size=4,
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    wanted=rules,
    history=acts,
    asked=st.none() | texts,
    n=st.integers(1, 12),
    context=st.sampled_from(["home", "browse", "cart", "discover"]),
)
def test_any_answer_keeps_to_the_rules_and_is_as_full_as_they_allow(lasting_shop, wanted, history, asked, n, context):
    shop = lasting_shop
    customer = f"customer-{shop.store.events.next_position()}"
    for place, (kind, product) in enumerate(history):
        shop.act(customer, kind, product, timestamp=format_time(NOW + place))
    shop.store.rules.change({name: {"name": name, **fields} for name, fields in wanted.items()}, whole=True)
    shop.engine.rules.follow()
    query = {"n": n, "context": context} | ({"filter": asked} if asked else {})
    answer = shop.ask(customer, **query)["recommendations"]
    shown = [row["product_id"] for row in answer]
    allowed = {product for product in EVERYTHING if may_be_shown(shop, product, wanted, asked)}
    assert set(shown) <= allowed
    assert len(set(shown)) == len(shown)
    scores = [row["score"] for row in answer]
    assert scores == sorted(scores, reverse=True)
    assert not shown or scores[0] == 1
    pinned = {p for fields in wanted.values() for p in fields.get("product_ids", ())}
    free = [product for product in shown if product not in pinned]
    assert len({"k2", "k3"} & set(free)) <= 1
    limits = [fields["max_per_brand"] for name, fields in sorted(wanted.items()) if fields["kind"] == "page"]
    if limits:
        most = int(limits[0]) if limits[0] >= 1 else max(1, int(limits[0] * n))
        assert all(len(set(brand) & set(free)) <= most for brand in (KITCHEN, GARDEN))
    elif not history:
        assert len(shown) >= min(n, len(allowed) - int({"k2", "k3"} <= allowed))


def may_be_shown(shop: Shop, product: str, wanted: dict, asked: str | None) -> bool:
    """Tell by the plainest words whether rules and filter let a product be shown."""
    entry = shop.store.catalog.product(shop.store.catalog.product_number(product)) or Product(product)

    def found(text: str) -> bool:
        return holds(parse_filter(text), entry, shop.clock.now())

    closing = [fields for fields in wanted.values() if fields["kind"] in ("include", "exclude")]
    is_asked_for = not asked or found(asked)
    return is_asked_for and all(found(fields["filter"]) == (fields["kind"] == "include") for fields in closing)
