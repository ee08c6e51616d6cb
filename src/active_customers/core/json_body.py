"""The JSON of a request's body."""

from __future__ import annotations

from typing import Any

import orjson

from active_customers.core.errors import InvalidValueError


def json_of(body: bytes) -> Any:
    """Return what a body says; raises `InvalidValueError` naming `body` where it is no JSON."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidValueError("body", body[:60], f"send a JSON object ({error})") from error
