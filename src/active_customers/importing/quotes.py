"""A quote that is never closed, mended: one stray `"` must cost its own row, not the rest of the file."""

from __future__ import annotations

import io
from typing import Protocol

MARK = b"unclosed quote: "
"""What a mended row begins with; it has one value, so that the parser hands it over as one that does not fit."""

_MOST_LINES = 1_000
"""Lines that a quoted value may have."""


class ByteSource(Protocol):
    """Something that bytes are read from."""

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, none at the end."""
        ...


class QuoteMender(io.RawIOBase):
    """The bytes of a delimited file with every row whose quote is never closed turned into one that is rejected.

    A quoted value may hold line ends, so an open quote alone proves nothing. It counts as a slip when a line follows
    that is whole by itself (even quotes, as many delimiters as the header), when the file ends, or after 1,000 lines.
    """

    def __init__(self, source: ByteSource, delimiter: str) -> None:
        super().__init__()
        self._source = source
        self._delimiter = delimiter.encode()
        self._ready = bytearray()
        self._rest = b""
        self._open: list[bytes] = []
        self._expected: int | None = None
        self._ended = False

    def readable(self) -> bool:
        """Say that bytes can be read."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes (all, if negative), none at the end."""
        while not self._ended and (size < 0 or len(self._ready) < size):
            self._take(self._source.read(size if size > 0 else 1 << 20))
        chunk = bytes(self._ready if size < 0 else self._ready[:size])
        del self._ready[: len(chunk)]
        return chunk

    def _take(self, block: bytes) -> None:
        self._ended = not block
        whole, end, rest = (self._rest + block).rpartition(b"\n")
        self._rest = b"" if self._ended else rest
        lines = whole + end + (rest if self._ended else b"")
        if self._expected is None and lines:
            self._expected = self._delimiters(lines.partition(b"\n")[0])
        if self._open or b'"' in lines:
            for line in lines.splitlines(keepends=True):
                self._add(line)
        else:
            self._ready += lines
        if self._ended and self._open:
            self._resume()

    def _add(self, line: bytes) -> None:
        odd = line.count(b'"') % 2 == 1
        if self._open and not odd and (self._is_whole(line) or len(self._open) >= _MOST_LINES):
            self._resume()
        if not self._open and not odd:
            self._ready += line
            return
        self._open.append(line)
        if odd and len(self._open) > 1:
            self._ready += b"".join(self._open)
            self._open = []

    def _resume(self) -> None:
        """Give up the first open line and read the others again."""
        first, *others = self._open
        self._open = []
        text = first.rstrip(b"\r\n").replace(b'"', b"'").replace(self._delimiter, b" ")
        self._ready += MARK + text + b"\n"
        for line in others:
            self._add(line)
        if self._ended and self._open:
            self._resume()

    def _is_whole(self, line: bytes) -> bool:
        return self._delimiters(line) == self._expected

    def _delimiters(self, line: bytes) -> int:
        """Return how many delimiters stand outside quotes."""
        return sum(part.count(self._delimiter) for part in line.split(b'"')[::2])
