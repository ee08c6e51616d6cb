"""Ids of customers and products: the shop's own, in one canonical form.

An id is a JSON integer or a string of 1 to 128 characters. `12345` and `"12345"` are one id: its canonical form is the
string. On the way out, ids that read as integers up to 2^53 - 1 (without sign or leading zeros) are JSON numbers again,
because those survive every JSON parser, and everything else is a string.
"""

from __future__ import annotations

MAX_ID_LENGTH = 128
MAX_JSON_INTEGER = 2**53 - 1

NO_NUMBER = 0xFFFFFFFF
"""The dense number (uint32) that means "none": no product, no customer."""


def canonical_id(value: object) -> str:
    """Return the canonical string of an id as it came in.

    Raises `ValueError` with the reason when it is neither an integer in 0..2^53-1 nor a string of 1..128 characters.

    >>> canonical_id(12345) == canonical_id("12345") == "12345"
    True
    """
    if isinstance(value, str):
        if not value or len(value) > MAX_ID_LENGTH:
            raise ValueError(f"an id has 1 to {MAX_ID_LENGTH} characters")
        if "\x00" in value or not value.isprintable():
            raise ValueError("an id has printable characters only")
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        if not 0 <= value <= MAX_JSON_INTEGER:
            raise ValueError("an integer id lies in 0..2^53-1: send larger ones as strings")
        return str(value)
    raise ValueError("an id is an integer or a string")


def json_id(canonical: str) -> int | str:
    """Return the id as it goes into JSON.

    >>> json_id("12345"), json_id("007"), json_id("SKU-9")
    (12345, '007', 'SKU-9')
    """
    if (
        canonical.isascii()
        and canonical.isdigit()
        and len(canonical) <= 16
        and (canonical[0] != "0" or len(canonical) == 1)
    ):
        number = int(canonical)
        if number <= MAX_JSON_INTEGER:
            return number
    return canonical
