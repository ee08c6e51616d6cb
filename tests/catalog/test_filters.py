"""What a filter says, of one product; and what is no filter is refused by its place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import NOW

from active_customers.catalog.filter_parser import MAX_DEPTH, MAX_LENGTH, MAX_QUESTIONS, parse_filter
from active_customers.catalog.filters import AllOf, AnyOf, Compare, Not, holds, is_timely
from active_customers.core.clock import DAY
from active_customers.core.errors import InvalidValueError
from active_customers.core.product import Product

BOARD = Product(
    "b-7",
    brand="Mare",
    category="Kitchen > Boards",
    price=40.0,
    sale_price=30.0,
    currency="EUR",
    stock=3,
    variant_group="g1",
    tags=("gift", "New"),
    attributes={"colour": "Brown", "sizes": ["S", "L"], "weight": "1.5", "oiled": True, "screen size": 10},
    released=NOW - 10 * DAY,
    replenishable=True,
)
BARE = Product("bare")


@pytest.mark.parametrize(
    "text",
    [
        'brand = "mare"',
        "brand = MARE",
        "brand == Mare",
        "brand != Oak",
        "brand in (Oak, Mare)",
        'brand in ["Oak", "Mare"]',
        "brand not in (Oak)",
        "price = 30",
        "price < 30.5",
        "price <= 30 and price >= 30",
        "price in (1, 30)",
        "stock > 2",
        "currency = eur",
        "availability = in_stock",
        'category = "Kitchen>Boards"',
        "category under kitchen",
        'category under "Kitchen > Boards"',
        "variant_group = g1",
        "product_id in (b-7, c)",
        "tags has gift",
        "tags has NEW",
        "tags in (sale, new)",
        "attributes.colour = brown",
        "attributes.sizes has L",
        "attributes.weight < 2",
        'attributes.weight = "1.50"',
        "attributes.oiled = true",
        'attributes."screen size" >= 10',
        "on_sale",
        "ON_SALE AND NOT not replenishable = true",
        "replenishable != false",
        "age <= 10 and age > 9.9",
        "released < 2025-01-15",
        "released >= 2025-01-05T12:00:00Z",
        "brand = Oak or price > 100 or stock = 3",
        "(brand = Oak or stock = 3) and on_sale",
        "brand=Mare and(price<50)",
    ],
)
def test_a_filter_holds_for_the_product_that_it_describes(text):
    assert holds(parse_filter(text), BOARD, NOW)
    assert not holds(parse_filter(f"not ({text})"), BOARD, NOW)


@pytest.mark.parametrize(
    "text",
    [
        *("brand = x", "price < 1000000", "price >= 0", "stock = 0", "category under Kitchen", "age < 1", "tags has x"),
        *("attributes.x = 1", "attributes.x < 1", "released > 2000-01-01", "variant_group = g", "on_sale"),
    ],
)
def test_what_a_product_does_not_have_answers_no(text):
    assert not holds(parse_filter(text), BARE, NOW)
    assert holds(parse_filter(f"not {text}"), BARE, NOW)


def test_not_equal_holds_where_there_is_no_value():
    assert holds(parse_filter("brand != Mare"), BARE, NOW)


def test_a_category_is_not_under_one_whose_name_only_begins_alike():
    assert not holds(parse_filter("category under Kit"), BOARD, NOW)


def test_and_binds_more_than_or():
    a, b, c = (Compare("brand", "=", (name,)) for name in "abc")
    assert parse_filter("brand = a or brand = b and brand = c") == AnyOf((a, AllOf((b, c))))
    assert parse_filter("not brand = a and brand = b") == AllOf((Not(a), b))


def test_only_an_age_makes_a_filter_change_with_time():
    assert is_timely(parse_filter("brand = x or not (age < 30)"))
    assert not is_timely(parse_filter("released > 2024-01-01 and brand = x"))


@pytest.mark.parametrize(
    ("text", "place", "remedy"),
    [
        ("", 1, "write the name of a field"),
        ("colour = red", 1, "there is no field 'colour'"),
        ("prise < 3", 1, "did you mean price?"),
        ("price", 6, "after 'price' write =, !=, <"),
        ("price <", 8, "write a value here"),
        ("price < cheap", 9, "'cheap' is no price: write a number"),
        ("price has 3", 7, "after 'price' write"),
        ("brand < Mare", 7, "after 'brand' write =, != or in"),
        ("brand in Mare", 10, 'open the list with "("'),
        ("brand in (Mare", 15, 'go on with "," or close the list'),
        ("brand in (Mare Oak)", 16, 'go on with "," or close the list'),
        ("(brand = Mare", 14, 'close the parenthesis with ")"'),
        ("brand = Mare) and price < 3", 13, 'end here, or go on with "and" or "or"'),
        ("brand = Mare price < 3", 14, 'end here, or go on with "and" or "or"'),
        ('brand = "Mare', 9, "close the quotation mark"),
        ("brand = $Mare; drop", 16, 'end here, or go on with "and"'),
        ("brand ! Mare", 7, "take out '!'"),
        ("availability = in_stok", 16, "did you mean in_stock?"),
        ("on_sale = maybe", 11, "write true or false"),
        ("released > soon", 12, "write a day such as 2025-01-01"),
        ("attributes. = 3", 1, "there is no field 'attributes.'"),
        ("attributes.weight < heavy", 21, "write a number"),
        ('category = " > "', 12, 'write a path such as "Kitchen > Boards"'),
        ("product_id = ''", 14, "an id has 1 to 128 characters"),
        ("not", 4, "write the name of a field"),
        ("brand not = Mare", 11, "after 'brand' write"),
        ("__import__('os')", 1, "there is no field '__import__'"),
        ("price < 9" + "9" * 400, 9, "write a number"),
    ],
)
def test_what_is_wrong_is_told_with_its_place_and_what_to_write(text, place, remedy):
    with pytest.raises(InvalidValueError) as error:
        parse_filter(text)
    assert error.value.field == "filter"
    assert error.value.remedy.startswith(f"at character {place}, ")
    assert remedy in error.value.remedy


def test_an_error_names_the_field_that_the_filter_stands_in():
    with pytest.raises(InvalidValueError, match=r"rules\[3\]\.filter"):
        parse_filter("nothing", "rules[3].filter")


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("x" * (MAX_LENGTH + 1), "at most 10,000 characters"),
        (" and ".join(["price < 3"] * (MAX_QUESTIONS + 1)), f"at most {MAX_QUESTIONS} questions"),
        ("(" * (MAX_DEPTH + 1) + "on_sale" + ")" * (MAX_DEPTH + 1), f"at most {MAX_DEPTH} deep"),
        ("not " * 2_000 + "on_sale", f"at most {MAX_DEPTH} deep"),
        (f"price in ({','.join(map(str, range(1_001)))})", "at most 1,000 values"),
    ],
    ids=["long", "questions", "parentheses", "nots", "values"],
)
def test_a_filter_of_absurd_size_is_refused(text, remedy):
    with pytest.raises(InvalidValueError) as error:
        parse_filter(text)
    assert remedy in error.value.remedy


def test_as_many_parentheses_and_questions_as_are_allowed_are_read():
    parse_filter("(" * MAX_DEPTH + "on_sale" + ")" * MAX_DEPTH)
    parse_filter(" or ".join(["price < 3"] * MAX_QUESTIONS))


pieces = st.sampled_from(
    [
        *("price", "brand", "tags", "attributes.x", "on_sale", "and", "or", "not", "in", "has", "under", "(", ")", ","),
        *("=", "!=", "<", ">=", "3", "3.5", '"a b"', "'", '"', "\\", "é", "2025-01-01", "\x00", "!", "[", "]", " "),
    ]
)


@given(st.one_of(st.text(max_size=60), st.lists(pieces, max_size=25).map(" ".join)))
def test_any_text_is_a_filter_or_is_refused_by_its_place(text):
    try:
        asked = parse_filter(text)
    except InvalidValueError as error:
        if not error.remedy.startswith("at character "):
            raise
    else:
        assert holds(asked, BOARD, NOW) in (True, False)
