"""Errors as problem documents (RFC 9457); the only table from errors to HTTP statuses."""

from __future__ import annotations

from typing import NamedTuple

import orjson

from active_customers.core.errors import (
    ActiveCustomersError,
    BatchRejectedError,
    DiskFullError,
    ForbiddenError,
    InvalidValueError,
    OverloadedError,
    PayloadTooLargeError,
    PlacementsRejectedError,
    ProductsRejectedError,
    StorageError,
    UnauthorizedError,
    UnknownCustomerError,
    UnknownExperimentError,
    UnknownProductError,
    UnknownRuleError,
    UnmovableClockError,
    as_given,
)

STATUSES: dict[type[ActiveCustomersError], tuple[int, str]] = {
    InvalidValueError: (400, "Invalid value"),
    BatchRejectedError: (400, "All events rejected"),
    ProductsRejectedError: (400, "All products rejected"),
    PlacementsRejectedError: (400, "All placements rejected"),
    UnauthorizedError: (401, "API key needed"),
    ForbiddenError: (403, "Scope too small"),
    UnknownCustomerError: (404, "Unknown customer"),
    UnknownProductError: (404, "Unknown product"),
    UnknownExperimentError: (404, "Unknown experiment or strategy"),
    UnknownRuleError: (404, "Unknown rule"),
    UnmovableClockError: (409, "Clock not simulated"),
    PayloadTooLargeError: (413, "Too large"),
    OverloadedError: (503, "Overloaded"),
    DiskFullError: (507, "Storage full"),
    StorageError: (503, "Storage unavailable"),
}

Headers = list[tuple[bytes, bytes]]


class Reply(NamedTuple):
    """A complete HTTP answer."""

    status: int
    headers: Headers
    body: bytes


def problem(status: int, title: str, detail: str, headers: Headers | None = None, **extensions: object) -> Reply:
    """Return a problem document; `extensions` are further members."""
    slug = title.lower().replace(" ", "-")
    document = {"type": f"urn:active-customers:problem:{slug}", "title": title, "status": status, "detail": detail}
    body = orjson.dumps(document | {name: value for name, value in extensions.items() if value is not None})
    return Reply(status, [(b"content-type", b"application/problem+json"), *(headers or [])], body)


def problem_of(error: ActiveCustomersError) -> Reply:
    """Return the problem document of an error."""
    status, title = next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), (500, "Internal error"))
    if isinstance(error, InvalidValueError):
        value = None if error.value is None else as_given(error.value)
        return problem(status, title, str(error), field=error.field, value=value, remedy=error.remedy)
    if isinstance(error, BatchRejectedError):
        return problem(status, title, str(error), results=error.results)
    if isinstance(error, PayloadTooLargeError):
        return problem(status, title, str(error), field="body", remedy="split it into several requests")
    if isinstance(error, OverloadedError):
        return problem(status, title, str(error), [(b"retry-after", str(error.retry_after).encode())])
    if isinstance(error, UnauthorizedError):
        return problem(status, title, str(error), [(b"www-authenticate", b"Bearer")])
    return problem(status, title, str(error))
