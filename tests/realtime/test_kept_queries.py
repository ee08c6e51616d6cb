"""What is kept of queries is bounded, whatever is asked."""

from __future__ import annotations

import pytest

from active_customers.core.errors import InvalidValueError
from active_customers.realtime.hot_routes import _wishes, parse_query


@pytest.fixture(autouse=True)
def nothing_kept():
    _wishes.cache_clear()


def test_a_long_query_is_answered_and_not_kept():
    """Anybody can send a megabyte: four thousand of them must not stay."""
    assert parse_query(b"customer_id=1&" + b"&" * 1_000_000).customer_id == "1"
    assert parse_query(b"customer_id=1" + b"&exclude=12345678" * 100).exclude == ("12345678",) * 100
    assert _wishes.cache_info().currsize == 0
    parse_query(b"customer_id=1&n=3")
    parse_query(b"customer_id=2&n=3")
    assert _wishes.cache_info().currsize == _wishes.cache_info().hits == 1


def test_a_second_customer_is_refused_however_it_is_written():
    """An encoded name is that name."""
    for second in (b"customer_id=2", b"customer%5Fid=2"):
        with pytest.raises(InvalidValueError, match="send it once"):
            parse_query(b"customer_id=1&" + second)
