"""Feeds that are fetched from an address, each only when it has changed since it was imported."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from http.client import HTTPException, HTTPMessage
from pathlib import Path, PurePosixPath
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import orjson

from active_customers.core.errors import InvalidValueError
from active_customers.storage.durable import write_whole

_TIMEOUT_SECONDS = 60
_ENDINGS = {
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "text/xml": ".xml",
    "application/xml": ".xml",
    "application/rss+xml": ".xml",
    "application/atom+xml": ".xml",
    "application/x-ndjson": ".jsonl",
    "application/jsonl": ".jsonl",
    "application/vnd.apache.parquet": ".parquet",
}
_KNOWN = (*dict.fromkeys(_ENDINGS.values()), ".ndjson", ".rss", ".atom", ".gz", ".zst")
_CONDITIONS = {"ETag": "If-None-Match", "Last-Modified": "If-Modified-Since"}


def is_remote(text: str) -> bool:
    """Tell whether a text is an address that feeds are fetched from, and no path."""
    return text.lower().startswith(("http://", "https://"))


class Downloads:
    """Fetches files into a folder. What a server said of their versions is kept in a file of JSON."""

    def __init__(self, folder: Path, memory: Path) -> None:
        self._folder = folder
        self._memory = memory
        self._fetched: dict[str, dict[str, str]] = {}

    def paths(self, names: Sequence[str], *, whole: bool) -> list[Path]:
        """Return the files behind paths and addresses, without those that have not changed since they were imported.

        If they are one `whole`, all of them where any has changed. Raises as `fetch` does.
        """
        found = [self.fetch(name) if is_remote(name) else Path(name) for name in names]
        if whole and any(found):
            found = [path or self.fetch(name, always=True) for name, path in zip(names, found, strict=True)]
        return [path for path in found if path is not None]

    def fetch(self, url: str, *, always: bool = False) -> Path | None:
        """Return the file behind an address; None when it is the one that was imported last, unless `always`.

        Raises `InvalidValueError` when it cannot be had, or is cut off.
        """
        known = {} if always else self._known().get(url, {})
        conditions = {condition: known[name] for name, condition in _CONDITIONS.items() if name in known}
        request = Request(url, headers={"User-Agent": "active-customers", **conditions})  # noqa: S310 - see is_remote
        try:
            with urlopen(request, timeout=_TIMEOUT_SECONDS) as reply:  # noqa: S310
                path = self._folder / f"{len(self._fetched)}{_ending(url, reply.headers)}"
                with path.open("wb") as file:
                    shutil.copyfileobj(reply, file, 1 << 20)
                _check_length(url, path, reply.headers)
                self._fetched[url] = {name: reply.headers[name] for name in _CONDITIONS if name in reply.headers}
        except HTTPError as error:
            error.close()
            if error.code == 304:
                return None
            raise InvalidValueError(url, error.code, "its server refuses to give it: check the address") from error
        except (URLError, HTTPException, OSError) as error:
            raise InvalidValueError(url, str(error), "it cannot be fetched: check the address, or try again") from error
        return path

    def remember(self) -> None:
        """Note that what was fetched has been imported."""
        if self._fetched:
            write_whole(self._memory, orjson.dumps({**self._known(), **self._fetched}))

    def _known(self) -> dict[str, dict[str, str]]:
        try:
            known: dict[str, dict[str, str]] = orjson.loads(self._memory.read_bytes())
        except (OSError, orjson.JSONDecodeError):  # then everything is fetched once more
            return {}
        return known


def _check_length(url: str, path: Path, headers: HTTPMessage) -> None:
    expected, found = headers["Content-Length"], path.stat().st_size
    if expected is not None and int(expected) != found:
        raise InvalidValueError(url, f"{found} of {expected} bytes", "it came cut off: try again")


def _ending(url: str, headers: HTTPMessage) -> str:
    """Return what tells the format of a file: how its address ends, or else what the server calls it."""
    endings = [ending.lower() for ending in PurePosixPath(urlsplit(url).path).suffixes[-2:]]
    known = "".join(ending for ending in endings if ending in _KNOWN)
    ending = known or _ENDINGS.get(headers.get_content_type(), "")
    if not ending:
        remedy = "let the address end in .xml, .csv, .tsv, .jsonl or .parquet, or its server name the content type"
        raise InvalidValueError(url, headers.get_content_type(), remedy)
    return ending
