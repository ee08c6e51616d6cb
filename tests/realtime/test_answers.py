"""Answers as JSON: every name survives, and the token says what was shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.realtime.conftest import SIGNER, Shop

from active_customers.core.event import Channel, Context
from active_customers.core.product import Product

NAMES = [
    'say "cheese"',
    "back\\slash",
    "tab\tline\nbell\x07",
    "%b %s %(x)d 100 %",
    "käse 🧀 \u2028",
    "</script>",
    "{}[],:",
]


def shop_selling(name: str) -> Shop:
    """Return a shop whose product "named" has a name and stands in sessions with "plain"."""
    shop = Shop()
    for number in range(1, 5):
        shop.session(number, ["named", "plain"])
    shop.sell(Product("named", name=name))
    shop.learn()
    return shop


@pytest.mark.parametrize("name", NAMES)
def test_any_name_stands_in_the_answer_as_it_is(name):
    shop = shop_selling(name)
    [other, *_] = shop.ask("new", product_id="plain")["recommendations"]
    assert (other["product_id"], other["product_name"]) == ("named", name)
    [plain, *_] = shop.ask("new", product_id="named")["recommendations"]
    assert plain["reason"] == f"Of interest in visits like yours that included {name}"


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_any_text_is_a_name(name):
    shop = Shop()
    shop.sell(Product("p", name=name))
    assert shop.ask("new")["recommendations"][0]["product_name"] == name


def test_a_product_without_a_name_is_shown_by_its_id(shop):
    names = {row["product_id"]: row["product_name"] for row in shop.ask("new", n=11)["recommendations"]}
    assert (names["k0"], names["k1"]) == ("k0", "Pan")


def test_a_changed_name_is_in_the_next_answer(shop):
    shop.ask("new", n=11)
    shop.sell(Product("k0", name="Ladle"))
    assert "Ladle" in [row["product_name"] for row in shop.ask("new", n=11)["recommendations"]]


@given(st.text(min_size=1, max_size=128).filter(str.isprintable))
def test_any_customer_id_comes_back_as_it_was(customer):
    assert str(Shop().ask(customer)["customer_id"]) == customer


def test_the_metadata_says_where_and_when_the_answer_is_for(shop):
    metadata = shop.ask("anna", context="cart", channel="mobile")["metadata"]
    del metadata["recommendation_id"]
    assert metadata == {
        "model_version": "v1",
        "timestamp": "2025-01-15T12:00:00Z",
        "context": "cart",
        "channel": "mobile",
        "degraded": [],
    }


def test_the_recommendation_id_verifies_and_names_what_was_shown_to_whom(shop):
    answer = shop.ask("anna", n=5, context="browse", channel="mobile")
    shown = SIGNER.verify(answer["metadata"]["recommendation_id"])
    assert (shown.context, shown.channel, shown.time) == (Context.BROWSE, Channel.MOBILE, shop.clock.now())
    numbers = [shop.store.catalog.product_number(row["product_id"]) for row in answer["recommendations"]]
    assert [SIGNER.position(shown, "anna", number) for number in numbers] == [0, 1, 2, 3, 4]
    assert SIGNER.position(shown, "ben", numbers[0]) is None


def test_a_customer_and_their_digits_get_the_same_token(shop):
    tokens = [shop.ask(customer)["metadata"]["recommendation_id"] for customer in (7, "7")]
    assert tokens[0] == tokens[1]
