"""The texts that answers are made of, side by side in one array, so that putting an answer together is copying."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from active_customers.core.recommendation import ReasonCode
from active_customers.kernels.answer_rows import LENGTH_BITS, Fragments, Rows, Versions, write_rows
from active_customers.models.kernel_arguments import Prepared

Number = TypeVar("Number", np.int64, np.uint32, np.uint8)

_FIRST_BYTES = 1 << 16
_MOST_BYTES = 64 << 20
"""The texts of a larger catalogue are written again when they are needed."""

# Each sentence says what the source really knows; the name of the evidence follows those that end with a space.
SENTENCES = {
    ReasonCode.SESSION: b"Of interest in visits like yours that included ",
    ReasonCode.REVISIT: b"You looked at this before",
    ReasonCode.VIEWED_TOGETHER: b"Of interest in the same visits as ",
    ReasonCode.BOUGHT_TOGETHER: b"Bought together with ",
    ReasonCode.POPULAR: b"Popular with customers of this shop",
    ReasonCode.TRENDING: b"Trending: more and more customers look at this",
    ReasonCode.SEEN: b"Looked at by other customers of this shop",
    ReasonCode.CATALOG: b"From the catalogue of this shop",
    ReasonCode.RELATED: b"Related to ",
    ReasonCode.SIMILAR: b"Similar to ",
    ReasonCode.BUY_AGAIN: b"You bought this before",
    ReasonCode.PRICE_DROP: b"Cheaper than when you looked at it",
}


class Told(NamedTuple):
    """What answers tell of a product: its id and its name as JSON, and further members of its object."""

    product_id: bytes
    name: bytes
    facts: bytes


class AnswerTexts:
    """Writes the rows of answers; the texts of a product are added when it is first shown. For one thread.

    `describe` returns what is told of a product number, `versions` the version of each: texts that were made of another
    one are made again.
    """

    def __init__(self, describe: Callable[[int], Told], versions: Callable[[], Versions]) -> None:
        self._describe = describe
        self._versions = versions
        self._write = Prepared(write_rows)
        self._out = np.empty(_FIRST_BYTES, np.uint8)
        self._start_over()

    def rows(self, rows: Rows, size: int) -> bytes:
        """Return the first rows of an answer as the members of a JSON array."""
        versions = self._versions()
        while True:
            length = self._write(self._fragments, versions, rows, size, self._out)
            if 0 <= length < len(self._out):
                return self._out[:length].tobytes()
            if length < 0:
                self._add(-1 - length, versions)
            else:
                self._out = np.empty(2 * length, np.uint8)

    def _start_over(self) -> None:
        """Keep only the texts that every shop needs."""
        self._filled = 0
        nothing = np.zeros(1024, np.int64)
        reasons = np.zeros(len(ReasonCode), np.int64)
        self._fragments = Fragments(
            np.zeros(_FIRST_BYTES, np.uint8), nothing, nothing.copy(), np.zeros(len(nothing), np.uint32), reasons
        )
        for code, sentence in SENTENCES.items():
            reasons[code] = self._put(b',"reason":"' + sentence)

    def _add(self, product: int, versions: Versions) -> None:
        """Add the texts of a product."""
        if self._filled > _MOST_BYTES:
            self._start_over()
        fragments = self._fragments
        if product >= len(fragments.heads):
            heads, names = (_longer(spans, product + 1) for spans in (fragments.heads, fragments.names))
            made_of = _longer(fragments.made_of, product + 1)
            self._fragments = fragments._replace(heads=heads, names=names, made_of=made_of)
        # Read before the product is: should it change meanwhile, the texts are made once more.
        self._fragments.made_of[product] = versions[product] if product < len(versions) else 0
        told = self._describe(product)
        begin = b'{"product_id":%b,"product_name":"' % told.product_id
        head = self._put(begin + told.name[1:-1] + b'"' + told.facts + b',"score":')
        first = (head >> LENGTH_BITS) + len(begin)
        self._fragments.names[product] = first << LENGTH_BITS | len(told.name) - 2
        self._fragments.heads[product] = head

    def _put(self, text: bytes) -> int:
        """Append a text; return its span."""
        first, self._filled = self._filled, self._filled + len(text)
        if self._filled > len(self._fragments.text):
            self._fragments = self._fragments._replace(text=_longer(self._fragments.text, self._filled))
        self._fragments.text[first : self._filled] = np.frombuffer(text, np.uint8)
        return first << LENGTH_BITS | len(text)


def _longer(array: NDArray[Number], least: int) -> NDArray[Number]:
    """Return a copy at least twice as long, zeros behind."""
    longer = np.zeros(max(2 * len(array), least), array.dtype)
    longer[: len(array)] = array
    return longer
