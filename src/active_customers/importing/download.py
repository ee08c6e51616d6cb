"""Feeds that are fetched from an address, each only when it has changed since it was imported."""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path, PurePosixPath
from typing import Annotated
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

import orjson
from pydantic import Field

from active_customers.core.config import Config
from active_customers.core.errors import DiskFullError, InvalidValueError
from active_customers.storage.durable import write_whole

_BLOCK = 1 << 20
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


class DownloadConfig(Config):
    """What is fetched from an address, at most."""

    most_mb: Annotated[int, Field(gt=0)] = 4_096
    """Largest feed; what is larger is not read to its end."""
    timeout_seconds: Annotated[float, Field(gt=0)] = 60.0
    """For how long a server may say nothing."""


class Downloads:
    """Fetches files into a folder. What a server said of their versions is kept in a file of JSON.

    A file is known by its address and by what it was imported for, `purpose`: a preset, flags.
    """

    def __init__(self, folder: Path, memory: Path, config: DownloadConfig, purpose: str = "") -> None:
        self._folder = folder
        self._memory = memory
        self._config = config
        self._purpose = purpose
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

        Raises `InvalidValueError` when it cannot be had, is cut off or too large, `DiskFullError` when it cannot be
        saved.
        """
        key = f"{url} {self._purpose}".rstrip()
        known = {} if always else self._known().get(key, {})
        reply = self._asked(url, {condition: known[name] for name, condition in _CONDITIONS.items() if name in known})
        if reply is None:
            return None
        with reply:
            path = self._folder / f"{len(self._fetched)}{_ending(url, reply.headers)}"
            self._save(url, reply, path)
            self._fetched[key] = {name: reply.headers[name] for name in _CONDITIONS if name in reply.headers}
        return path

    def _asked(self, url: str, conditions: dict[str, str]) -> HTTPResponse | None:
        """Return the reply of an address's server, or None where it has nothing newer."""
        try:
            plain = quote(url, safe=string.punctuation)  # "ä" is sent as "%C3%A4"
            request = Request(plain, headers={"User-Agent": "active-customers", **conditions})  # noqa: S310 - see is_remote
            reply: HTTPResponse = urlopen(request, timeout=self._config.timeout_seconds)  # noqa: S310
        except HTTPError as error:
            error.close()
            if error.code == 304:
                return None
            raise InvalidValueError(url, error.code, "its server refuses to give it: check the address") from error
        except (HTTPException, OSError, ValueError) as error:
            raise _unreachable(url, error) from error
        return reply

    def _save(self, url: str, reply: HTTPResponse, path: Path) -> None:
        """Write what comes to a file; what goes wrong there is not the server's fault."""
        try:
            with path.open("wb") as file:
                for block in _blocks(url, reply):
                    file.write(block)
                    if file.tell() > self._config.most_mb << 20:
                        remedy = "imports.download.most_mb is less: have it packed (.gz), or raise the setting"
                        raise InvalidValueError(url, f"over {self._config.most_mb} MB", remedy)
        except OSError as error:
            raise DiskFullError(f"{url} cannot be saved in {path.parent} ({error}): free some space there") from error
        found = path.stat().st_size
        expected = reply.headers["Content-Length"]
        if expected is not None and expected.strip().isdecimal() and int(expected) != found:
            raise InvalidValueError(url, f"{found} of {expected} bytes", "it came cut off: try again")

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


def _blocks(url: str, reply: HTTPResponse) -> Iterator[bytes]:
    try:
        while block := reply.read(_BLOCK):
            yield block
    except (HTTPException, OSError) as error:
        raise _unreachable(url, error) from error


def _unreachable(url: str, error: Exception) -> InvalidValueError:
    return InvalidValueError(url, str(error), "it cannot be fetched: check the address, or try again")


def _ending(url: str, headers: HTTPMessage) -> str:
    """Return what tells the format of a file: how its address ends, or else what the server calls it."""
    endings = [ending.lower() for ending in PurePosixPath(urlsplit(url).path).suffixes[-2:]]
    known = "".join(ending for ending in endings if ending in _KNOWN)
    ending = known or _ENDINGS.get(headers.get_content_type(), "")
    if not ending:
        remedy = "let the address end in .xml, .csv, .tsv, .jsonl or .parquet, or its server name the content type"
        raise InvalidValueError(url, headers.get_content_type(), remedy)
    return ending
