"""Product feeds in XML (RSS and Atom): a stream of items, each parsed by itself.

So memory does not grow with the file, a broken item costs only itself, and there is nothing that entities could be
declared in: what a document type declares is refused before anything is parsed.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from active_customers.core.errors import InvalidValueError
from active_customers.importing.records import RecordRows
from active_customers.importing.source import RawBatch, Reject, Wanted
from active_customers.importing.stream import open_text

_LONGEST_ITEM = 1 << 20
_LONGEST_HEAD = 1 << 16
_ITEMS_LOOKED_AT = 100
_BEFORE = 30
"""Characters that are shown before and after the place where XML broke."""
_ITEM = re.compile(r"<(item|entry)(?=[\s>])")
_ENDS = {"item": "</item>", "entry": "</entry>"}
_PREFIX = re.compile(r"\sxmlns:[\w.-]+\s*=\s*(?:\"[^\"<&]*\"|'[^'<&]*')")
_ENCODING = re.compile(rb"<\?xml[^>]*?encoding\s*=\s*[\"']([A-Za-z0-9._-]+)[\"']")
_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_GOOGLE = "{http://base.google.com/ns/1.0}"
_UNREADABLE = "\ufffd"

CUT_OFF = "write the file whole: it is cut off within this item"
NO_FEED = "a feed has <item> or <entry> elements"


@dataclass(frozen=True, slots=True)
class FeedReader:
    """Reads the items of a feed; columns are the names of their elements, without the `g:` of Google."""

    batch_rows: int
    block_bytes: int = 1 << 20

    def column_names(self, path: Path) -> list[str]:
        """Return the names of the elements of the first hundred items."""
        names: dict[str, None] = {}
        for _, item, _ in islice(self._items(path), _ITEMS_LOOKED_AT):
            if isinstance(item, dict):
                names.update(dict.fromkeys(item))
        return list(names)

    def batches(self, path: Path, wanted: Wanted) -> Iterator[RawBatch]:
        """Read the file; items that are not well-formed, too long or in no known characters are rejected."""
        rows = RecordRows(wanted)
        numbers: list[int] = []
        values: list[list[str | None]] = []
        rejects: list[Reject] = []
        bytes_read = 0
        for number, item, bytes_read in self._items(path):
            if isinstance(item, Reject):
                rejects.append(item)
            else:
                values += rows.of(item)
                numbers.append(number)
            if len(numbers) + len(rejects) >= self.batch_rows:
                yield RawBatch(np.array(numbers, np.int64), rows.columns(values), rejects, bytes_read)
                numbers, values, rejects = [], [], []
        yield RawBatch(np.array(numbers, np.int64), rows.columns(values), rejects, bytes_read)

    def _items(self, path: Path) -> Iterator[tuple[int, dict[str, str] | Reject, int]]:
        """Yield each item's number, values by name (or what is wrong with it), and how far into the file it is."""
        with open_text(path) as stream:
            feed = _Feed(path)
            number = 0
            while block := stream.content.read(self.block_bytes):
                for line, text in feed.items(block):
                    number += 1
                    yield number, feed.parsed(number, line, text), stream.bytes_read()
            if left := feed.left(number + 1):
                yield number + 1, left, stream.bytes_read()


class _Feed:
    """One feed while it is read, as text whatever it is encoded in."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._decoder: codecs.IncrementalDecoder | None = None
        self._encoding = ""
        self._is_begun = False
        self._opening = "<feed>"
        """What items are parsed in: it declares the prefixes of names."""
        self.rest = ""
        self._line = 1
        """Of the file, in which `rest` begins."""

    def left(self, number: int) -> Reject | None:
        """Return what is wrong with the end of the file, if anything."""
        if not self._is_begun:
            return Reject(number, "file", self.rest[:60], NO_FEED)
        if not _ITEM.search(self.rest):
            return None
        return Reject(number, "file", self.rest[:60], CUT_OFF, self._line + self.rest.count("\n"))

    def items(self, block: bytes) -> Iterator[tuple[int, str]]:
        """Yield the items that are complete with a block of bytes, each with the line of the file in which it begins.

        Raises `InvalidValueError` for what is no feed.
        """
        text, place, line = self.rest + self._decoded(block), 0, self._line
        while begin := _ITEM.search(text, place):
            if not self._is_begun:
                self._begin(text[: begin.start()])
            found = text.find(_ENDS[begin[1]], begin.end())
            line += text.count("\n", place, begin.start())
            if found < 0:
                self.rest = _shortened(text[begin.start() :])
                self._line = line + text.count("\n", begin.start()) - self.rest.count("\n")
                return
            place = found + len(_ENDS[begin[1]])
            yield line, text[begin.start() : place]
            line += text.count("\n", begin.start(), place)
        kept = max(place, len(text) - len("<entry")) if self._is_begun else 0
        self.rest, self._line = text[kept:], line + text.count("\n", place, kept)
        if len(self.rest) > _LONGEST_HEAD:
            raise InvalidValueError(self._path.name, self.rest[:60], NO_FEED)

    def _decoded(self, block: bytes) -> str:
        if self._decoder is None:
            mark = next((name for mark, name in _MARKS.items() if block.startswith(mark)), None)
            declared = _ENCODING.search(block[:1024])
            self._encoding = mark or (declared[1].decode() if declared else "utf-8")
            if mark is None and not _reads_ascii(self._encoding):
                remedy = "it is no encoding that this feed is written in: write the feed in UTF-8"
                raise InvalidValueError(f"{self._path.name}: encoding", self._encoding, remedy)
            self._decoder = codecs.getincrementaldecoder(self._encoding)("replace")
        return self._decoder.decode(block)

    def _begin(self, head: str) -> None:
        if "<!ENTITY" in head or "<!DOCTYPE" in head:
            remedy = "take its document type out: a feed declares no entities"
            raise InvalidValueError(self._path.name, head[head.find("<!") :][:60], remedy)
        self._is_begun = True
        self._opening = f"<feed{''.join(dict.fromkeys(_PREFIX.findall(head)))}>"

    def parsed(self, number: int, line: int, text: str) -> dict[str, str] | Reject:
        """Return the values by name of an item that begins in a line, or what is wrong with it, and in which line."""
        if len(text) > _LONGEST_ITEM:
            return Reject(number, "item", text[:40], "an item has at most 1 MiB")
        if _UNREADABLE in text:
            at = text.index(_UNREADABLE)
            return Reject(
                number, "item", text[max(at - 20, 0) : at + 20], f"text is {self._encoding}, as the feed says"
            )
        try:
            root = fromstring(f"{self._opening}{text}</feed>", forbid_dtd=True)
        except ParseError as error:
            return self._broken(number, line, text, error)
        except DefusedXmlException as error:
            return Reject(number, "item", text[:200], f"write it as well-formed XML ({error})")
        return _values(root[0])

    def _broken(self, number: int, first: int, text: str, error: ParseError) -> Reject:
        """Return what is wrong with an item that begins in line `first`, with the piece and the line where it broke."""
        line, column = error.position
        broken = f"{self._opening}{text}".split("\n")[line - 1]
        begin = max(column - _BEFORE, len(self._opening) if line == 1 else 0)
        remedy = f"write it as well-formed XML ({str(error).partition(': line')[0]})"
        return Reject(number, "item", broken[begin : begin + 2 * _BEFORE].strip(), remedy, first + line - 1)


def _reads_ascii(encoding: str) -> bool:
    """Tell whether there is such an encoding of text, and it reads ASCII, in which its name was written, as it is."""
    try:
        decoder = codecs.getincrementaldecoder(encoding)("replace") if b"<item>".decode(encoding) == "<item>" else None
        return decoder is not None and decoder.decode(b"<item>") == "<item>"
    except (LookupError, UnicodeError):
        return False


def _shortened(item: str) -> str:
    """Return an item that has not ended yet; of a long one no more than tells that it is too long, and its end."""
    if len(item) <= 2 * _LONGEST_ITEM:
        return item
    return item[: _LONGEST_ITEM + 1] + item[-len(_ENDS["entry"]) :]


def _values(item: Element) -> dict[str, str]:
    """Return what the elements of an item say: Google's own first, of repeated ones the first."""
    values: dict[str, str] = {}
    own: set[str] = set()
    for element in item:
        name = element.tag.rpartition("}")[2]
        text = "".join(element.itertext()).strip() or element.get("href", "")
        is_own = element.tag.startswith(_GOOGLE)
        if text and (name not in values or (is_own and name not in own)):
            values[name] = text
            if is_own:
                own.add(name)
    return values
