"""API keys and what they open: checked before anything else of a request is looked at."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from enum import IntEnum
from hashlib import sha256
from typing import Annotated

from pydantic import BeforeValidator, StringConstraints

from active_customers.core.config import Config, split_list
from active_customers.core.errors import ForbiddenError, UnauthorizedError

Key = Annotated[str, StringConstraints(min_length=16, max_length=256, pattern=r"^[!-~]+$")]
Keys = Annotated[tuple[Key, ...], BeforeValidator(split_list)]


class AccessConfig(Config):
    """API keys by scope. With none at all every request may do everything, and `serve` binds to loopback only."""

    public_keys: Keys = ()
    """May post events and read recommendations and products: for web pages and apps, where everybody can read them."""
    server_keys: Keys = ()
    """May also change products, read hidden ones, metrics and everything about customers: for the shop's servers."""
    admin_keys: Keys = ()
    """May do everything."""


class Scope(IntEnum):
    """What a key may do; each scope covers those below it."""

    PUBLIC = 1
    SERVER = 2
    ADMIN = 3


class Access:
    """Checks API keys in constant time: every key is compared, by its hash, whatever was presented."""

    def __init__(self, config: AccessConfig) -> None:
        self._hashes = [
            (sha256(key.encode()).digest(), scope)
            for scope, keys in (
                (Scope.PUBLIC, config.public_keys),
                (Scope.SERVER, config.server_keys),
                (Scope.ADMIN, config.admin_keys),
            )
            for key in keys
        ]

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
