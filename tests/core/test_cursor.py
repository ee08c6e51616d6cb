"""What a list has shown goes out and comes back as it was, for one customer and context, for a day."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from active_customers.core.attribution import Shown, TokenSigner
from active_customers.core.clock import HOUR, SECOND
from active_customers.core.cursor import CURSOR_AGE, MOST_SHOWN, START, Cursors
from active_customers.core.errors import InvalidValueError
from active_customers.core.event import Channel, Context

NOW = 1_735_732_800 * SECOND
SIGNER = TokenSigner({0: b"k" * 32})
CURSORS = Cursors(SIGNER)
HOME = Context.HOME


@given(st.sets(st.integers(0, 2**32 - 2), max_size=MOST_SHOWN))
def test_what_was_shown_comes_back(shown):
    assert CURSORS.read(CURSORS.write("7", HOME, shown, NOW), "7", HOME, NOW) == sorted(shown)


def test_a_list_begins_with_nothing_shown():
    assert CURSORS.read(START, "7", HOME, NOW) == []


def test_the_longest_list_fits_into_an_address():
    assert len(CURSORS.write("7", HOME, range(0, 100_000, 200), NOW)) < 1_400


@pytest.mark.parametrize(("customer", "context"), [("8", HOME), ("7", Context.CART), ("", HOME)])
def test_it_is_good_for_nobody_else_and_nowhere_else(customer, context):
    cursor = CURSORS.write("7", HOME, {1, 2}, NOW)
    with pytest.raises(InvalidValueError, match="customer_id and context of that"):
        CURSORS.read(cursor, customer, context, NOW)


def test_it_is_good_for_a_day():
    cursor = CURSORS.write("7", HOME, {1}, NOW)
    assert CURSORS.read(cursor, "7", HOME, NOW + CURSOR_AGE) == [1]
    with pytest.raises(InvalidValueError, match="over 24 hours old"):
        CURSORS.read(cursor, "7", HOME, NOW + CURSOR_AGE + HOUR)


@pytest.mark.parametrize("place", [0, 1, 3, 8, -2])
def test_one_that_was_altered_is_refused(place):
    cursor = CURSORS.write("7", HOME, {1, 500}, NOW)
    place %= len(cursor)
    altered = cursor[:place] + ("A" if cursor[place] != "A" else "B") + cursor[place + 1 :]
    with pytest.raises(InvalidValueError, match="cursor"):
        CURSORS.read(altered, "7", HOME, NOW)


@pytest.mark.parametrize("text", ["", "A", "AgA", "kürbis", "=====", "AAAA" * 1_000])
def test_what_is_none_is_refused(text):
    with pytest.raises(InvalidValueError):
        CURSORS.read(text, "7", HOME, NOW)


def test_a_token_is_no_cursor_and_a_cursor_no_token():
    token = SIGNER.sign(Shown("7", NOW, "v1", HOME, Channel.WEB, [1, 2]))
    with pytest.raises(InvalidValueError):
        CURSORS.read(token, "7", HOME, NOW)
    assert SIGNER.verify(CURSORS.write("7", HOME, {1, 2}, NOW)) is None


def test_it_outlives_a_change_of_keys():
    cursor = CURSORS.write("7", HOME, {4}, NOW)
    rotated = Cursors(TokenSigner({0: b"k" * 32, 1: b"n" * 32}))
    assert rotated.read(cursor, "7", HOME, NOW) == [4]
    with pytest.raises(InvalidValueError):
        Cursors(TokenSigner({1: b"n" * 32})).read(cursor, "7", HOME, NOW)
