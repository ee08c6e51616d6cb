"""Accounts are true: they say what the answer says, add up to its score, and name every reason for not showing."""

from __future__ import annotations

import math
from urllib.parse import urlencode

import pytest
from tests.realtime.conftest import GARDEN, KITCHEN, Shop, two_worlds

from active_customers.core.clock import DAY
from active_customers.core.errors import InvalidValueError
from active_customers.core.product import Product, ProductChange
from active_customers.features.names import PRODUCT_FACTS
from active_customers.kernels.hybrid import N_FEATURES
from active_customers.realtime.explain_routes import ExplainQuery, parse_explain
from active_customers.realtime.feature_words import FEATURES
from active_customers.realtime.schemas import RecommendationQuery

EVERYTHING = [*KITCHEN, *GARDEN, "rare"]


def codes(account):
    return [because.code for because in account.not_shown]


@pytest.fixture
def busy() -> Shop:
    """A shop that "anna" has looked around in."""
    shop = two_worlds()
    for kind, product in (("view", "k0"), ("view", "k2"), ("cart_add", "k1"), ("view", "g0"), ("view", "k2")):
        shop.act("anna", kind, product)
    return shop


@pytest.mark.parametrize("context", ["home", "browse", "cart", "checkout", "discover"])
@pytest.mark.parametrize("n", [2, 10])
def test_an_account_says_what_the_answer_says(busy, context, n):
    """Of every product: its row and place where it is shown, and a reason where it is not."""
    rows = busy.ask("anna", context=context, n=n)["recommendations"]
    shown = {row["product_id"]: (place, row) for place, row in enumerate(rows, 1)}
    for product in EVERYTHING:
        account = busy.explain("anna", product, context=context, n=n)
        if product in shown:
            assert (account.rank, account.shown.model_dump(exclude_none=True)) == shown[product]
            assert account.not_shown == []
        else:
            assert (account.rank, account.shown) == (None, None)
            assert codes(account)


@pytest.mark.parametrize("context", ["home", "cart", "discover"])
def test_what_features_add_is_the_logit_and_falls_with_the_place(busy, context):
    accounts = [busy.explain("anna", product, context=context, n=20) for product in EVERYTHING]
    ranked = sorted((a.ranking for a in accounts if a.ranking is not None), key=lambda ranking: ranking.place)
    assert [ranking.place for ranking in ranked] == list(range(1, ranked[0].ranked + 1))
    assert [ranking.logit for ranking in ranked] == sorted((ranking.logit for ranking in ranked), reverse=True)
    for ranking in ranked:
        total = ranking.base + ranking.first_guess + sum(each.contribution for each in ranking.contributions)
        assert total == pytest.approx(ranking.logit, abs=1e-6)
        assert ranking.probability == pytest.approx(1 / (1 + math.exp(-ranking.logit)))


def test_the_score_of_the_answer_follows_from_the_logit(busy):
    """As the answer has it: a share of the best one's probability."""
    rows = busy.ask("anna", n=3)["recommendations"]
    best, *others = (busy.explain("anna", row["product_id"], n=3).ranking for row in rows)
    for row, ranking in zip(rows[1:], others, strict=True):
        assert row["score"] == pytest.approx(0.1 + 0.9 * ranking.probability / best.probability, abs=1e-4)


def test_every_feature_has_a_name_of_its_own_and_words():
    assert len({feature.name for feature in FEATURES}) == len(FEATURES) == N_FEATURES + len(PRODUCT_FACTS)
    assert all(feature.words for feature in FEATURES)


def test_a_product_that_nobody_named_is_unknown(busy):
    account = busy.explain("anna", "nothing")
    assert (codes(account), account.sources, account.ranking) == (["unknown"], [], None)


@pytest.mark.parametrize(
    ("product", "code"),
    [
        (Product("k3", stock=0), "sold_out"),
        (Product("k3", hidden=True), "hidden"),
        (Product("k3", released=2**60), "not_yet_released"),
    ],
)
def test_what_the_catalogue_forbids_is_said(busy, product, code):
    busy.sell(product)
    assert codes(busy.explain("anna", "k3")) == [code]


def test_what_was_taken_out_of_the_catalogue_is_said(busy):
    busy.sell(Product("k3"))
    busy.store.catalog.change_products([ProductChange("k3", None)])
    busy.table.update(["k3"])
    assert codes(busy.explain("anna", "k3")) == ["deleted"]


def test_what_is_in_the_cart_is_said(busy):
    assert codes(busy.explain("anna", "k1")) == ["in_cart"]


def test_a_cart_line_that_was_forgotten_keeps_nothing_out(busy):
    busy.clock.advance(40 * DAY)
    assert "in_cart" not in codes(busy.explain("anna", "k1"))


def test_what_the_customer_hid_is_said(busy):
    busy.act("anna", "hide", "k4")
    assert codes(busy.explain("anna", "k4")) == ["hidden_by_customer"]


def test_what_was_bought_for_good_is_said_and_what_is_bought_again_is_not(busy):
    for product in ("k4", "g1"):
        busy.act("anna", "purchase", product)
    assert codes(busy.explain("anna", "k4")) == ["bought"]
    assert codes(busy.explain("anna", "g1", n=20)) == []


def test_what_is_on_the_page_is_said(busy):
    assert codes(busy.explain("anna", "k3", page_product_id="k3")) == ["on_page"]
    assert codes(busy.explain("anna", "k2", context="browse")) == ["on_page"]


def test_what_the_request_excludes_is_said(busy):
    assert codes(busy.explain("anna", "k3", exclude=["k3", "k4"])) == ["excluded"]


def test_everything_that_applies_is_said(busy):
    busy.act("anna", "hide", "k1")
    busy.sell(Product("k1", stock=0))
    account = busy.explain("anna", "k1", exclude="k1")
    assert codes(account) == ["sold_out", "in_cart", "hidden_by_customer", "excluded"]


def test_what_is_known_already_is_said_where_only_new_products_are_asked_for(busy):
    assert codes(busy.explain("anna", "k0", context="discover")) == ["known_already"]


def test_what_is_ranked_below_the_end_is_said_with_its_place(busy):
    answer = busy.products("anna", n=10)
    account = busy.explain("anna", answer[3], n=2)
    assert codes(account) == ["ranked_below"]
    assert account.not_shown[0].text.startswith("it is at place 4 of")


def test_what_only_its_popularity_proposes_is_said(shop):
    last = shop.products("new", n=11)[-1]
    account = shop.explain("new", last, n=2)
    assert codes(account) == ["popular_below"]
    assert f"at place {shop.products('new', n=11).index(last) + 1}" in account.not_shown[0].text


def test_what_no_source_proposes_is_said(shop):
    shop.sell(Product("lonely"))
    account = shop.explain("new", "lonely", n=2)
    assert codes(account) == ["no_source"]
    assert "has done nothing" in account.not_shown[0].text
    shop.act("anna", "view", "g0")
    assert "for what the customer did" in shop.explain("anna", "lonely", n=2).not_shown[0].text


def test_what_is_proposed_and_not_among_the_most_promising_is_said():
    """The fast hybrid ranks 64: of a hundred products that stand with one, the weakest are not ranked."""
    shop = Shop()
    products = ["seed", *(f"p{number}" for number in range(100))]
    for number in range(6):
        shop.session(number + 1, ["seed", *products[1 + number * 16 : number * 16 + 31]])
    shop.learn()
    shop.act("anna", "view", "seed")
    accounts = {product: shop.explain("anna", product, n=5) for product in products}
    far = [account for account in accounts.values() if codes(account) == ["not_promising"]]
    assert far
    assert all(account.ranking is None for account in far)
    assert sum(account.ranking is not None for account in accounts.values()) == 64


def test_sources_say_their_numbers(busy):
    words = {word.source: word for word in busy.explain("anna", "k3").sources}
    assert set(words) == {"near_sessions", "content", "linear", "after", "beside", "taste", "own_acts", "popular"}
    assert words["near_sessions"].numbers["votes"] == 10
    assert words["near_sessions"].text.startswith("it stands 10 times in the")
    assert words["beside"].numbers["sum"] > 0
    assert abs(words["taste"].numbers["cosine"]) < 1 + 1e-6
    assert words["own_acts"].text == "the customer did not act on it"
    assert {word.source: word for word in busy.explain("anna", "k2").sources}["own_acts"].numbers["acts"] == 2


def test_votes_in_the_account_are_those_that_the_answer_tells(busy):
    told = 0
    for row in busy.ask("anna", n=20)["recommendations"]:
        if row["reason_code"] == "session":
            numbers = busy.explain("anna", row["product_id"], n=20).sources[0].numbers
            assert row["evidence"]["votes"] == numbers["votes"] + numbers["live_votes"]
            told += 1
    assert told


def test_what_goes_with_the_cart_is_said_on_cart_pages_only(busy):
    assert "bought_together" not in [word.source for word in busy.explain("anna", "k4").sources]
    busy.act("anna", "cart_add", "k0")
    words = {word.source: word.text for word in busy.explain("anna", "k4", context="cart").sources}
    assert words["bought_together"] == "it is at place 1 of 1 that are bought with what is in the cart"


def test_the_acts_are_those_that_sources_are_asked_with(busy):
    assert busy.explain("anna", "k3").acts == ["k0", "k2", "k1", "g0", "k2"]
    assert busy.explain("nobody", "k3").acts == []


def test_what_rules_do_is_told_and_keeps_out_what_they_removed(busy):
    busy.store.rules.change(
        {
            "more-k3": {"name": "more-k3", "kind": "boost", "factor": 1.5, "product_ids": ["k3"]},
            "no-k4": {"name": "no-k4", "kind": "exclude", "product_ids": ["k4"]},
        }
    )
    busy.engine.rules.follow()
    boosted, removed = busy.explain("anna", "k3"), busy.explain("anna", "k4")
    assert [(found.kind, found.name, found.factor) for found in boosted.applied] == [("rule", "more-k3", 1.5)]
    assert (boosted.rank is not None, codes(removed)) == (True, ["rule"])


def test_what_the_request_filters_out_is_said(busy):
    busy.engine.rules.follow()
    assert codes(busy.explain("anna", "k4", filter="product_id != 'k4'")) == ["filtered"]


def test_before_anything_was_learned_there_is_an_account(empty_shop):
    empty_shop.act("anna", "view", "p1")
    account = empty_shop.explain("anna", "p1")
    assert (account.model_version, account.rank, account.shown.reason_code) == ("none", 1, "seen")


def test_the_parameters_are_those_of_the_answer_but_for_the_products():
    assert set(ExplainQuery.model_fields) == {*RecommendationQuery.model_fields, "page_product_id"}
    given = {"customer_id": "7", "product_id": "é & co", "page_product_id": ["1", "2"], "n": 3, "context": "browse"}
    query, product = parse_explain(urlencode(given, doseq=True).encode())
    assert (query.customer_id, query.product_id, query.n, query.context, product) == ("7", ("1", "2"), 3, 1, "é & co")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        (b"customer_id=1", "product_id"),
        (b"customer_id=1&product_id=1&product_id=2", "product_id"),
        (b"customer_id=1&product_id=", "product_id"),
        (b"product_id=1", "customer_id"),
        (b"customer_id=1&product_id=1&n=0", "n"),
        (b"customer_id=1&product_id=1&colour=red", "colour"),
        (b"customer_id=1&product_id=%FF", "query"),
        (b"customer_id=1&product_id=\xff", "query"),
    ],
)
def test_parameters_that_make_no_sense_are_refused_by_name(query, field):
    with pytest.raises(InvalidValueError) as refused:
        parse_explain(query)
    assert refused.value.field == field
