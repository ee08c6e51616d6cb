import pytest
from hypothesis import given
from hypothesis import strategies as st

from active_customers.core.identifiers import canonical_id, json_id


@pytest.mark.parametrize("value", [12345, "12345"])
def test_a_number_and_its_digits_are_one_id(value):
    assert canonical_id(value) == "12345"


@pytest.mark.parametrize("value", ["", "x" * 129, -1, 2**53, 1.5, True, None, [], "a\x00b", "a\nb"])
def test_what_is_no_id_is_refused(value):
    with pytest.raises(ValueError, match="id"):
        canonical_id(value)


@pytest.mark.parametrize("text", ["007", "+1", "1.0", "9007199254740992", "SKU-9", "٣", ""])
def test_only_plain_integers_come_back_as_numbers(text):
    assert text == "" or json_id(text) == text


@given(st.integers(min_value=0, max_value=2**53 - 1))
def test_integers_survive_the_way_in_and_out(number):
    assert json_id(canonical_id(number)) == number


@given(st.text(min_size=1, max_size=128).filter(str.isprintable))
def test_texts_survive_the_way_in_and_out(text):
    assert str(json_id(canonical_id(text))) == text
