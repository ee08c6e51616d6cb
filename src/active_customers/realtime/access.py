"""API keys and what they open: checked before anything else of a request is looked at."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from enum import IntEnum
from hashlib import sha256
from typing import Annotated

from pydantic import BeforeValidator, StringConstraints

from active_customers.core.config import Config, split_list
from active_customers.core.errors import ForbiddenError, SettingsError, UnauthorizedError

Key = Annotated[str, StringConstraints(min_length=16, max_length=256, pattern=r"^[!-~]+$")]
Secret = Annotated[str, StringConstraints(pattern=r"^([!-~]{16,256})?$")]
Keys = Annotated[tuple[Key, ...], BeforeValidator(split_list)]


class AccessConfig(Config):
    """API keys by scope. With none at all every request may do everything, and `serve` binds to loopback only."""

    public_keys: Keys = ()
    """May post events and read recommendations and products: for web pages and apps, where everybody can read them."""
    server_keys: Keys = ()
    """May also change products, read hidden ones, metrics and everything about customers: for the shop's servers."""
    admin_keys: Keys = ()
    """May do everything."""
    customer_secret: Secret = ""
    """Signs tokens that prove to a page with a public key which customer it shows; empty for none."""


def customer_token(secret: str, customer_id: str) -> str:
    """Return the token of a customer: HMAC-SHA256 of their id with the secret, in hexadecimal.

    >>> customer_token("shop-secret-0123456789", "12345")[:8]
    'cb10e1b7'
    """
    return hmac.new(secret.encode(), customer_id.encode(), sha256).hexdigest()


def token_of(config: AccessConfig, customer_id: str) -> str:
    """Return a customer's token; raises `SettingsError` where no secret is set."""
    if not config.customer_secret:
        remedy = "set 16 to 256 characters without spaces that nobody can guess"
        raise SettingsError("access.customer_secret", "", remedy)
    return customer_token(config.customer_secret, customer_id)


class Scope(IntEnum):
    """What a key may do; each scope covers those below it."""

    PUBLIC = 1
    SERVER = 2
    ADMIN = 3


class Access:
    """Checks API keys in constant time: every key is compared, by its hash, whatever was presented."""

    def __init__(self, config: AccessConfig) -> None:
        self._customer_secret = config.customer_secret
        self._hashes = [
            (sha256(key.encode()).digest(), scope)
            for scope, keys in (
                (Scope.PUBLIC, config.public_keys),
                (Scope.SERVER, config.server_keys),
                (Scope.ADMIN, config.admin_keys),
            )
            for key in keys
        ]

    def is_token_of(self, customer_id: str, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Tell whether a request's `X-Customer-Token` is that of a customer."""
        given = next((value for name, value in headers if name == b"x-customer-token"), b"")
        if not given or not self._customer_secret:
            return False
        return hmac.compare_digest(given, customer_token(self._customer_secret, customer_id).encode())

    @property
    def is_open(self) -> bool:
        """Whether there are no keys, so that everybody may do everything."""
        return not self._hashes

    def check(self, headers: Iterable[tuple[bytes, bytes]], needed: Scope) -> Scope:
        """Return what the request's key may do.

        Raises `UnauthorizedError` without a valid key, `ForbiddenError` when its scope is smaller than `needed`.
        """
        if not self._hashes:
            return Scope.ADMIN
        presented = sha256(_key_in(headers)).digest()
        granted = 0
        for known, scope in self._hashes:
            if hmac.compare_digest(presented, known):
                granted = max(granted, scope)
        if not granted:
            raise UnauthorizedError("no valid API key: send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`")
        if granted < needed:
            raise ForbiddenError(
                f"this API key is for the {Scope(granted).name.lower()} scope; {needed.name.lower()} is needed"
            )
        return Scope(granted)


def _key_in(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    for name, value in headers:
        if name == b"x-api-key":
            return value
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            return value[7:].strip()
    return b""
