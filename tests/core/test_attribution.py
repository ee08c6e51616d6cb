import pytest
from hypothesis import given
from hypothesis import strategies as st

from active_customers.core.attribution import Shown, TokenSigner
from active_customers.core.event import Channel, Context

TIME = 1_735_732_800_000_000


def shown(products, customer="7"):
    return Shown(customer, TIME, "v2025.01.01-001", Context.CART, Channel.MOBILE, products, variants=(3,))


def test_a_token_says_what_was_shown_to_whom_and_where():
    signer = TokenSigner({0: b"k" * 32})
    found = signer.verify(signer.sign(shown([5, 9, 70_000])))
    assert found is not None
    assert (found.time, found.context, found.channel, found.variants) == (TIME, Context.CART, Channel.MOBILE, (3,))
    assert [signer.position(found, "7", product) for product in (5, 9, 70_000)] == [0, 1, 2]
    assert signer.position(found, "7", 6) is None
    assert signer.position(found, "8", 5) is None


def test_a_token_of_ten_products_is_short():
    assert len(TokenSigner({0: b"k" * 32}).sign(shown(range(10)))) <= 110


@given(st.integers(min_value=0, max_value=90), st.integers(min_value=1, max_value=255))
def test_any_altered_byte_is_noticed(place, change):
    signer = TokenSigner({0: b"k" * 32})
    token = signer.sign(shown([1, 2, 3])).encode()
    altered = bytearray(token)
    altered[place % len(token)] = (altered[place % len(token)] + change) % 128
    if bytes(altered) != token:
        found = signer.verify(altered.decode("ascii"))
        # The last character of base64 has spare bits: another spelling of the same bytes is the same token.
        assert found is None or found == signer.verify(token.decode())


@pytest.mark.parametrize("text", ["", "x", "!!!", "A" * 200, "ü", "*"])
def test_rubbish_is_no_token(text):
    assert TokenSigner({0: b"k" * 32}).verify(text) is None


def test_rotated_keys_still_verify_and_foreign_ones_do_not():
    old, new = TokenSigner({0: b"a" * 32}), TokenSigner({0: b"a" * 32, 1: b"b" * 32})
    assert new.verify(old.sign(shown([1]))) is not None
    assert old.verify(new.sign(shown([1]))) is None
    assert TokenSigner({0: b"c" * 32}).verify(old.sign(shown([1]))) is None


def test_a_token_with_anything_put_into_it_is_none():
    signer = TokenSigner({0: b"k" * 32})
    token = signer.sign(shown([1, 2, 3]))
    assert all(signer.verify(token[:place] + "*" + token[place:]) is None for place in range(len(token) + 1))
