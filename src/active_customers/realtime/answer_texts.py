"""The texts that answers are made of, side by side in one array, so that putting an answer together is copying."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np
import orjson
from numpy.typing import NDArray

from active_customers.core.recommendation import COUNTED, SOURCES, ReasonCode
from active_customers.kernels.answer_rows import LENGTH_BITS, Fragments, Rows, Versions, write_rows
from active_customers.models.kernel_arguments import Prepared
from active_customers.realtime.languages import PRODUCT, Languages, shipped_languages

Number = TypeVar("Number", np.int64, np.uint32, np.uint8)

_FIRST_BYTES = 1 << 16
_MOST_BYTES = 64 << 20
"""The texts of a larger catalogue are written again when they are needed."""

_BEFORE_ID = b'{"product_id":'


class Told(NamedTuple):
    """What answers tell of a product: its id and its name as JSON, and further members of its object.

    One that is hidden from everybody is not named as evidence either.
    """

    product_id: bytes
    name: bytes
    facts: bytes
    may_be_named: bool = True


class AnswerTexts:
    """Writes the rows of answers; the texts of a product are added when it is first shown. For one thread.

    `describe` returns what is told of a product number, `versions` the version of each: texts that were made of another
    one are made again. `languages` are English and what else is shipped where none are given.
    """

    def __init__(
        self, describe: Callable[[int], Told], versions: Callable[[], Versions], languages: Languages | None = None
    ) -> None:
        self.languages = languages or shipped_languages()
        self._describe = describe
        self._versions = versions
        self._write = Prepared(write_rows)
        self._out = np.empty(_FIRST_BYTES, np.uint8)
        self._start_over()

    def rows(self, rows: Rows, size: int, language: int = 0) -> bytes:
        """Return the first rows of an answer as the members of a JSON array, in one of the `languages`."""
        versions = self._versions()
        while True:
            length = self._write(self._fragments, versions, rows, (size, language), self._out)
            if 0 <= length < len(self._out):
                return self._out[:length].tobytes()
            if length < 0:
                self._add(-1 - length, versions)
            else:
                self._out = np.empty(2 * length, np.uint8)

    def _start_over(self) -> None:
        """Keep only the texts that every shop needs."""
        self._filled = 0
        n_products, n_languages, n_reasons = 1024, len(self.languages.known), len(ReasonCode)
        self._fragments = Fragments(
            text=np.zeros(_FIRST_BYTES, np.uint8),
            heads=np.zeros(n_products, np.int64),
            ids=np.zeros(n_products, np.int64),
            names=np.zeros(n_products, np.int64),
            made_of=np.zeros(n_products, np.uint32),
            begins=np.zeros((n_languages, n_reasons), np.int64),
            ends=np.zeros((n_languages, n_reasons), np.int64),
            counts=np.zeros(n_reasons, np.int64),
            tails=np.zeros(n_reasons, np.int64),
            unnamed=np.zeros(n_languages, np.int64),
        )
        self._put_sentences()

    def _put_sentences(self) -> None:
        """Add what reasons are called in each language, and what else is said of them in all."""
        fragments = self._fragments
        for number, language in enumerate(self.languages.known):
            fragments.unnamed[number] = self._put(orjson.dumps(language.unnamed)[1:-1])
            for code, sentence in language.sentences.items():
                before, _, after = (orjson.dumps(part)[1:-1] for part in sentence.partition(PRODUCT))
                code_and_ids = b'","reason_code":"%b","evidence":{"product_ids":[' % code.word.encode()
                if PRODUCT in sentence:
                    fragments.begins[number, code] = self._put(b',"reason":"' + before)
                    fragments.ends[number, code] = self._put(after + code_and_ids)
                else:
                    fragments.begins[number, code] = self._put(b',"reason":"' + before + code_and_ids)
        for code in ReasonCode:
            if code in COUNTED:
                fragments.counts[code] = self._put(b',"%b":' % COUNTED[code].encode())
            fragments.tails[code] = self._put(b'},"source":"%b"},' % SOURCES[code].encode())

    def _add(self, product: int, versions: Versions) -> None:
        """Add the texts of a product."""
        if self._filled > _MOST_BYTES:
            self._start_over()
        fragments = self._fragments
        if product >= len(fragments.heads):
            spans = (fragments.heads, fragments.ids, fragments.names)
            heads, ids, names = (_longer(each, product + 1) for each in spans)
            made_of = _longer(fragments.made_of, product + 1)
            self._fragments = fragments._replace(heads=heads, ids=ids, names=names, made_of=made_of)
        # Read before the product is: should it change meanwhile, the texts are made once more.
        self._fragments.made_of[product] = versions[product] if product < len(versions) else 0
        told = self._describe(product)
        begin = _BEFORE_ID + told.product_id + b',"product_name":"'
        head = self._put(begin + told.name[1:-1] + b'"' + told.facts + b',"score":')
        first, named = head >> LENGTH_BITS, told.may_be_named
        self._fragments.ids[product] = first + len(_BEFORE_ID) << LENGTH_BITS | len(told.product_id) if named else 0
        self._fragments.names[product] = first + len(begin) << LENGTH_BITS | len(told.name) - 2 if named else 0
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
