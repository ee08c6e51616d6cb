"""What a customer was shown again and again without acting makes room, and comes back when they act or time passes."""

from __future__ import annotations

import pytest

from active_customers.catalog.rule_schema import RuleIn
from active_customers.core.clock import DAY
from active_customers.core.product import Product
from active_customers.realtime.rotation import Rotation, RotationConfig

AFTER = RotationConfig().after


def show(shop, customer, products, times=AFTER):
    for _ in range(times):
        event = {"customer_id": customer, "event_type": "impression", "product_ids": products}
        status, _ = shop.post(event | {"event_id": f"shown-{shop.store.events.next_position()}"})
        assert status == 202


def codes(account):
    return [because.code for because in account.not_shown]


@pytest.fixture
def visit(shop):
    """A shop whose customer anna looks at kitchen products."""
    shop.act("anna", "view", "k0")
    return shop


@pytest.mark.parametrize("context", ["home", "browse", "cart", "checkout", "discover"])
def test_what_was_shown_so_often_without_an_act_is_not_in_the_answer(visit, context):
    best = visit.products("anna", n=1, context=context)
    show(visit, "anna", best, AFTER - 1)
    assert visit.products("anna", n=1, context=context) == best
    show(visit, "anna", best, 1)
    assert visit.products("anna", n=1, context=context) != best
    assert visit.products("bert", n=1) == visit.products("bert", n=1)


def test_it_comes_back_when_the_customer_acts_on_it(visit):
    show(visit, "anna", ["k2"])
    assert "k2" not in visit.products("anna", n=3)
    visit.act("anna", "view", "k2")
    visit.act("anna", "view", "k0")
    assert "k2" in visit.products("anna", n=5)


def test_it_comes_back_when_the_impressions_are_too_long_ago(visit):
    best = visit.products("anna", n=1)
    show(visit, "anna", best)
    assert visit.products("anna", n=1) != best
    visit.clock.advance(RotationConfig().forget_days * DAY)
    assert visit.explain("anna", best[0], n=1).not_shown == [] or "rotated" not in codes(visit.explain("anna", best[0]))


def test_others_are_shown_what_one_customer_saw_too_often(visit):
    visit.act("bert", "view", "k0")
    before = visit.products("bert", n=3)
    show(visit, "anna", before)
    assert visit.products("bert", n=3) == before
    assert not set(visit.products("anna", n=3)) & set(before)


def test_an_answer_is_never_short_for_rotation_and_what_was_shown_least_comes_first(empty_shop):
    empty_shop.sell(*(Product(name) for name in ("pan", "pot", "lid", "jug")))
    show(empty_shop, "anna", ["pan"], AFTER + 2)
    show(empty_shop, "anna", ["pot"], AFTER)
    show(empty_shop, "anna", ["lid"], AFTER + 1)
    shown = empty_shop.ask("anna", n=4)["recommendations"]
    assert [each["product_id"] for each in shown] == ["jug", "pot", "lid", "pan"]
    scores = [each["score"] for each in shown]
    assert scores == sorted(scores, reverse=True)
    assert empty_shop.products("anna", n=2) == ["jug", "pot"]
    show(empty_shop, "anna", ["jug"], AFTER + 3)
    answer = empty_shop.ask("anna", n=4)
    assert [each["product_id"] for each in answer["recommendations"]] == ["pot", "lid", "pan", "jug"]
    assert "no_products" not in answer["metadata"]["degraded"]


def test_what_comes_back_is_still_nothing_that_may_not_be_shown(empty_shop):
    empty_shop.sell(Product("pan"), Product("pot", stock=0), Product("lid"), Product("jug"))
    show(empty_shop, "anna", ["pan", "pot", "lid", "jug"])
    empty_shop.act("anna", "hide", "lid")
    assert empty_shop.products("anna", n=4, exclude=["jug"]) == ["pan"]


def test_what_comes_back_keeps_the_limits_of_the_page(empty_shop):
    empty_shop.sell(*(Product(name, brand="Mare") for name in ("pan", "pot", "lid")), Product("jug", brand="Oak"))
    record = RuleIn.read({"name": "page", "kind": "page", "max_per_brand": 2}).record()
    empty_shop.store.rules.change({"page": record})
    empty_shop.engine.rules.follow()
    show(empty_shop, "anna", ["pan", "pot"])
    assert empty_shop.products("anna", n=4) == ["jug", "lid", "pan"]


def test_a_category_with_nothing_else_still_shows_what_was_shown_too_often(empty_shop):
    empty_shop.sell(Product("pan", category="Kitchen"), Product("pot", category="Kitchen"), Product("rake"))
    show(empty_shop, "anna", ["pan"])
    assert empty_shop.products("anna", n=5, context="category", category="Kitchen")[:2] == ["pot", "pan"]


def test_the_account_says_how_often_it_was_shown(visit):
    best = visit.products("anna", n=1)[0]
    show(visit, "anna", [best], AFTER + 1)
    [because] = visit.explain("anna", best, n=3).not_shown
    assert (because.code, because.text) == ("rotated", "it was shown 6 times without an act of the customer on it")
    assert codes(visit.explain("anna", best, n=3, exclude=[best])) == ["excluded", "rotated"]


def test_shelves_leave_it_out_but_for_what_the_customer_did_themselves(visit):
    others = {row["product_id"] for shelf in visit.page("anna", shelves=10)["shelves"] for row in shelf["products"]}
    shown = sorted(others - {"k0"})[:3]
    show(visit, "anna", ["k0", *shown])
    page = visit.page("anna", shelves=10)["shelves"]
    assert not {row["product_id"] for shelf in page for row in shelf["products"]} & set(shown)
    assert visit.shelf("anna", "continue") == ["k0"]


def test_with_0_nothing_rotates(visit):
    best = visit.products("anna", n=1)
    visit.engine.rotation = Rotation(RotationConfig(after=0))
    show(visit, "anna", best, 20)
    assert visit.products("anna", n=1) == best


@pytest.mark.parametrize(
    "wrong",
    [
        {"event_type": "view", "product_ids": ["p"]},
        {"event_type": "impression", "product_ids": ["p"], "product_id": "q"},
        {"event_type": "impression", "product_ids": []},
        {"event_type": "impression", "product_ids": [f"p{i}" for i in range(101)]},
    ],
)
def test_a_list_is_for_impressions_only_and_neither_empty_nor_endless(empty_shop, wrong):
    status, problem = empty_shop.post({"customer_id": "anna", **wrong})
    assert (status, problem["field"]) == (400, "product_ids")


def test_a_list_is_one_event_with_one_result_and_its_retry_counts_nothing(empty_shop):
    event = {"customer_id": "anna", "event_type": "impression", "product_ids": ["p", "q", "p"], "event_id": "e1"}
    batch = {"events": [event, {"customer_id": "anna", "event_type": "view", "product_id": "q", "event_id": "e2"}]}
    assert [each["status"] for each in empty_shop.post(batch)[1]["results"]] == ["accepted", "accepted"]
    assert [each["status"] for each in empty_shop.post(batch)[1]["results"]] == ["duplicate", "duplicate"]
    entries = list(empty_shop.store.events.read(1, 100))
    assert [entry.event.product_id for entry in entries] == ["p", "q", "q"]
