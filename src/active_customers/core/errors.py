"""One tree of errors; each carries what was wrong and what to do about it.

`realtime.api` holds the only table that maps them to HTTP statuses; the command line prints `str(error)`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from difflib import get_close_matches


class ActiveCustomersError(Exception):
    """Root of every error this package raises on purpose."""


class InvalidValueError(ActiveCustomersError):
    """A value from outside is not acceptable.

    Parameters
    ----------
    field: dotted name of the field, as the caller wrote it (``events[3].price``).
    value: the offending value, shortened when it is shown.
    remedy: one sentence that says what to send instead.
    """

    def __init__(self, field: str, value: object, remedy: str) -> None:
        super().__init__(field, value, remedy)
        self.field = field
        self.value = value
        self.remedy = remedy

    def __str__(self) -> str:
        if self.value is None:  # there is nothing to show
            return f"{self.field}: {self.remedy}"
        return f"{self.field}: {shown(self.value)} is not valid: {self.remedy}"


class SettingsError(InvalidValueError):
    """A setting in a file, the environment or a flag is unknown or has a wrong value."""


class BatchRejectedError(ActiveCustomersError):
    """Every event of a batch was rejected; `results` holds the answer for each of them."""

    what = "events"

    def __init__(self, results: list[dict[str, object]]) -> None:
        super().__init__(f"all {len(results)} {self.what} were rejected")
        self.results = results


class ProductsRejectedError(BatchRejectedError):
    """Every product of a batch was rejected or unknown."""

    what = "products"


class PlacementsRejectedError(BatchRejectedError):
    """No placement of a page could be answered."""

    what = "placements"


class PayloadTooLargeError(ActiveCustomersError):
    """A request body or batch is over its limit."""

    def __init__(self, what: str, limit: str) -> None:
        super().__init__(f"{what} is over the limit of {limit}: split it")


class UnauthorizedError(ActiveCustomersError):
    """No valid API key came with the request."""


class ForbiddenError(ActiveCustomersError):
    """The API key is valid but its scope does not cover the request."""


class UnmovableClockError(ActiveCustomersError):
    """The service goes by the machine's clock, which it does not set."""


class UnknownCustomerError(ActiveCustomersError):
    """Nothing is held about this customer."""


class UnknownProductError(ActiveCustomersError):
    """The catalogue has no such product, or none that the caller may see."""


class UnknownExperimentError(ActiveCustomersError):
    """There is no such experiment or strategy."""


class UnknownRuleError(ActiveCustomersError):
    """The shop has no rule of this name."""


class OverloadedError(ActiveCustomersError):
    """Events cannot be taken at the moment; the caller should come back after `retry_after` seconds."""

    def __init__(self, reason: str, retry_after: int = 1) -> None:
        super().__init__(f"{reason}: retry after {retry_after} s")
        self.retry_after = retry_after


class StorageError(ActiveCustomersError):
    """The data directory cannot be read or written."""


class DiskFullError(StorageError):
    """The disk or the configured map size is used up; nothing was stored."""


class StoreLockedError(StorageError):
    """Another process owns the data directory."""


class NewerDataError(StorageError):
    """The data directory was written by a newer version of this software."""


class ArtifactError(StorageError):
    """A model version is missing, incomplete or does not match its hashes."""


class RefreshRefusedError(ActiveCustomersError):
    """The new models are worse than those in force, or cannot be compared where they must be; those stay in force."""


class MissingLibraryError(ActiveCustomersError):
    """A library of the system that an optional part needs is not installed."""


class NoDataError(ActiveCustomersError):
    """There is nothing to work on; the message says how to get some."""


def shown(value: object, limit: int = 80) -> str:
    """Return a value as JSON has it, a text in single quotes, cut to `limit` characters.

    >>> shown("x" * 200, 10)
    "'xxxxxx..."
    >>> shown([True, {"a": None}]), shown(b"{")
    ('[true, {"a": null}]', "'{'")
    """
    value = _text_of(value)
    return _cut(repr(value) if isinstance(value, str) else _json(value), limit)


def as_given(value: object, limit: int = 80) -> str:
    """Return a value as it was given: a text as it is, anything else as JSON has it; cut to `limit` characters.

    >>> as_given("0"), as_given(0), as_given([1])
    ('0', '0', '[1]')
    """
    value = _text_of(value)
    return _cut(value if isinstance(value, str) else _json(value), limit)


def _text_of(value: object) -> object:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _json(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except RecursionError:
        return f"a {type(value).__name__} nested too deeply to show"
    except (TypeError, ValueError):  # JSON has no word for it
        return repr(value)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."


def meant(name: str, known: Iterable[str]) -> str:
    """Say which name is meant by one that is none: the one that is written alike, or any.

    >>> meant("neighbors", ["neighbours", "window"]), meant("colour", ["price", "name"])
    ('did you mean neighbours?', 'known are price, name')
    """
    names = list(known)
    close = get_close_matches(name.lower(), names, n=1)
    return f"did you mean {close[0]}?" if close else f"known are {', '.join(names)}"
