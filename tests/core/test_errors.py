"""Errors show what was given as whoever gave it would write it, and never as Python would."""

from __future__ import annotations

from datetime import date

import pytest

from active_customers.core.errors import InvalidValueError, as_given, shown


@pytest.mark.parametrize(
    ("value", "text", "given"),
    [
        ("0", "'0'", "0"),
        (0, "0", "0"),
        (True, "true", "true"),
        (None, "null", "null"),
        (b"{", "'{'", "{"),
        (b"\xff", "'\ufffd'", "\ufffd"),
        ([True, None], "[true, null]", "[true, null]"),
        ({"a": "ü"}, '{"a": "ü"}', '{"a": "ü"}'),
        ([date(2025, 1, 1)], '["2025-01-01"]', '["2025-01-01"]'),
        ("a\u200b", "'a\\u200b'", "a\u200b"),
        ("x" * 90, "'" + "x" * 76 + "...", "x" * 77 + "..."),
    ],
    ids=str,
)
def test_values_are_shown_as_they_were_written(value, text, given):
    assert (shown(value), as_given(value)) == (text, given)


def test_what_is_nested_too_deeply_is_said_to_be():
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert shown(deep) == "a list nested too deeply to show"
    while deep:  # taken apart here: its end would be a recursion as well
        deep = deep.pop()


def test_a_value_that_is_missing_is_not_shown():
    assert str(InvalidValueError("name", None, "it is required")) == "name: it is required"
    assert str(InvalidValueError("n", 0, "give 1 or more")) == "n: 0 is not valid: give 1 or more"
