"""`recommendation_id`: a signed token that says what was shown to whom, so that nothing need be stored when reading.

Layout before base64url (big-endian): version u8, key id u8, time u32 (seconds), model 4 bytes (hash of its version),
strategy u8, context u8, channel u8, customer 8 bytes (keyed hash), number of variants u8, number of products u8, a u16
for each variant, a u16 (keyed hash) for each product in the order shown, MAC 10 bytes. Ten products make 82 characters.
"""

from __future__ import annotations

import hmac
import struct
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from active_customers.core.clock import SECOND
from active_customers.core.event import Channel, Context

VERSION = 1
"""The first byte of a token."""
_HEAD = struct.Struct(">BBI4sBBB8sBB")
_MAC_BYTES = 10
_MOST_HASHES = 100_000
"""About 10 MB; those of a larger catalogue are made again when they are needed."""


class Shown(NamedTuple):
    """What one answer showed; products are numbers, in order."""

    customer_id: str
    time: int
    model_version: str
    context: Context
    channel: Channel
    products: Sequence[int]
    strategy: int = 0
    variants: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Attribution:
    """A verified token: when and where it was shown, and the keyed hashes it carries."""

    time: int
    context: Context
    channel: Channel
    strategy: int
    variants: tuple[int, ...]
    customer: bytes
    products: tuple[int, ...]
    key_id: int


class TokenSigner:
    """Makes and checks tokens. `keys` are 32-byte secrets by id 0..255; the highest id signs, all verify.

    >>> signer = TokenSigner({0: bytes(32)})
    >>> token = signer.sign(Shown("7", 1735732800000000, "v1", Context.HOME, Channel.WEB, [3, 5]))
    >>> shown = signer.verify(token)
    >>> [signer.position(shown, "7", product) for product in (3, 5, 4)]
    [0, 1, None]
    >>> signer.position(shown, "8", 3) is None
    True
    """

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        self._keys = {number: _Hashers(key) for number, key in keys.items()}
        self._current = max(keys)

    def sign(self, shown: Shown) -> str:
        """Return the token of an answer."""
        hashers = self._keys[self._current]
        head = _HEAD.pack(
            VERSION,
            self._current,
            shown.time // SECOND,
            _model_hash(shown.model_version),
            shown.strategy,
            shown.context,
            shown.channel,
            hashers.customer(shown.customer_id),
            len(shown.variants),
            len(shown.products),
        )
        variants = b"".join(variant.to_bytes(2, "big") for variant in shown.variants)
        body = b"".join((head, variants, *map(hashers.products.__getitem__, shown.products)))
        return urlsafe_b64encode(body + hashers.mac(body)).rstrip(b"=").decode()

    def verify(self, token: str) -> Attribution | None:
        """Return what a token says, or None when it is not one of ours or was altered."""
        try:
            raw = b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
            body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
            version, key_id, seconds, _, strategy, context, channel, customer, n_variants, n_products = (
                _HEAD.unpack_from(body)
            )
            hashers = self._keys[key_id]
            if version != VERSION or not hmac.compare_digest(mac, hashers.mac(body)):
                return None
            rest = struct.unpack_from(f">{n_variants + n_products}H", body, _HEAD.size)
        except (ValueError, KeyError, struct.error):
            return None
        return Attribution(
            time=seconds * SECOND,
            context=Context(context),
            channel=Channel(channel),
            strategy=strategy,
            variants=rest[:n_variants],
            customer=customer,
            products=rest[n_variants:],
            key_id=key_id,
        )

    def seal(self, kind: int, body: bytes, bound: bytes) -> str:
        """Return a text that carries `body` and that only holders of the keys can make, for one `bound` and no other.

        `kind`, a byte above `VERSION`, tells it from tokens and from texts of other kinds.
        """
        hashers = self._keys[self._current]
        signed = bytes((kind, self._current)) + body
        return urlsafe_b64encode(signed + hashers.mac(_after_length(signed) + bound)).rstrip(b"=").decode()

    def unseal(self, kind: int, text: str, bound: bytes) -> bytes | None:
        """Return what a text carries; None when it is not one of ours, was altered, or is bound to something else."""
        try:
            raw = b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            signed, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
            hashers = self._keys[signed[1]]
        except (ValueError, KeyError, IndexError):
            return None
        is_ours = signed[0] == kind and hmac.compare_digest(mac, hashers.mac(_after_length(signed) + bound))
        return signed[2:] if is_ours else None

    def shows(self, shown: Attribution, product: int) -> bool:
        """Tell whether a product stood in the answer, whoever it was for."""
        return int.from_bytes(self._keys[shown.key_id].products[product], "big") in shown.products

    def position(self, shown: Attribution, customer_id: str, product: int) -> int | None:
        """Return where a product stood in the answer, or None when it was not shown to this customer."""
        hashers = self._keys[shown.key_id]
        if not hmac.compare_digest(shown.customer, hashers.customer(customer_id)):
            return None
        wanted = int.from_bytes(hashers.products[product], "big")
        return shown.products.index(wanted) if wanted in shown.products else None


class _Hashers:
    """What one key makes of customers, products and whole tokens; the key goes into each hash once, not every time."""

    def __init__(self, key: bytes) -> None:
        self._mac = blake2b(digest_size=_MAC_BYTES, key=key, person=b"token")
        self._customer = blake2b(digest_size=8, key=key, person=b"customer")
        self.products = _ProductHashes(key)

    def mac(self, body: bytes) -> bytes:
        """Return the code that only holders of the key can make of a token's body."""
        hasher = self._mac.copy()
        hasher.update(body)
        return hasher.digest()

    def customer(self, customer_id: str) -> bytes:
        """Return what stands for a customer."""
        hasher = self._customer.copy()
        hasher.update(customer_id.encode())
        return hasher.digest()


class _ProductHashes(dict[int, bytes]):
    """Two bytes for each product number, made when they are first looked up.

    A keyed hash, so that they tell neither the numbers nor anything of the key.
    """

    def __init__(self, key: bytes) -> None:
        super().__init__()
        self._product = blake2b(digest_size=2, key=key, person=b"product")

    def __missing__(self, product: int) -> bytes:
        if len(self) >= _MOST_HASHES:
            self.clear()
        hasher = self._product.copy()
        hasher.update(product.to_bytes(4, "big"))
        made = self[product] = hasher.digest()
        return made


def _after_length(signed: bytes) -> bytes:
    """Return bytes in a form in which nothing that follows can be taken for a part of them, nor all of it for a token.

    >>> _after_length(b"ab").hex()
    '000000026162'
    """
    return len(signed).to_bytes(4, "big") + signed


@lru_cache(maxsize=16)
def _model_hash(version: str) -> bytes:
    return blake2b(version.encode(), digest_size=4).digest()
