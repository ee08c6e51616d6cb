"""What filters ask about, as arrays by product number: read from the catalogue once, then kept up row by row."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.catalog.filters import ATTRIBUTE, READERS, Compare, Value, answers, values_of
from active_customers.catalog.table import TableReader
from active_customers.core.clock import Clock
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.product import Product
from active_customers.kernels.product_words import WordTable
from active_customers.storage.base import CatalogStore

NUMBERS = ("price", "stock", "released")
"""Fields that are kept as numbers; NaN where a product has none."""
CODES = ("category", "brand", "currency", "availability", "variant_group", "on_sale", "replenishable")
"""Fields of which a product has one value at most, kept as the value's code; 0 where it has none."""
TAGS = "tags"

_FEWEST_ROWS = 4_096
_STATES_KEPT = 64
"""Changes that are remembered; who looks more rarely reads all rows again."""
_MOST_IDS = 100_000

Rows = NDArray[np.int64]


class Vocabulary:
    """Values of a field, and the code that each was given, from 1 on."""

    def __init__(self) -> None:
        self._codes: dict[Value, int] = {}
        self._values: list[Value] = []
        self._found: dict[Compare, tuple[int, list[int]]] = {}

    def code(self, value: Value) -> int:
        """Return the code of a value, given now where it is new."""
        known = self._codes.get(value)
        if known is None:
            self._values.append(value)
            known = self._codes[value] = len(self._values)
        return known

    def answering(self, question: Compare) -> list[int]:
        """Return the codes of all values that answer a question; only values that are new are looked at."""
        if question.operator == "=":
            return [self._codes[value] for value in question.values if value in self._codes]
        looked_at, found = self._found.get(question, (0, []))
        values = self._values[looked_at:]
        if values:
            found = found + [code for code, value in enumerate(values, looked_at + 1) if answers(question, value)]
            if len(self._found) >= 1024:
                self._found.clear()
            self._found[question] = (looked_at + len(values), found)
        return found


class Columns(NamedTuple):
    """The arrays of one moment, for products 0..n-1; rows are rewritten in place, and the next state says which."""

    n: int
    numbers: dict[str, NDArray[np.float64]]
    codes: dict[str, NDArray[np.uint32]]
    words: WordTable


class ProductColumns:
    """Keeps the columns up with the catalogue: `follow` is called by any thread, again and again; all may read.

    A product without an entry counts as one that only has its id.
    """

    def __init__(self, catalog: CatalogStore, table: TableReader, clock: Clock) -> None:
        self._catalog = catalog
        self._table = table
        self._clock = clock
        self._following = threading.Lock()
        self._vocabularies = {field: Vocabulary() for field in CODES}
        self._words: dict[str, Vocabulary] = {}
        self._word_numbers: dict[tuple[str, int], int] = {}
        self._ids: dict[str, int] = {}
        self._seen = np.empty(0, np.uint32)
        self._used = 0
        self._changes: deque[tuple[int, Rows]] = deque(maxlen=_STATES_KEPT)
        self.columns = Columns(
            0,
            {field: np.empty(0, np.float64) for field in NUMBERS},
            {field: np.empty(0, np.uint32) for field in CODES},
            _NO_WORDS,
        )
        """What was read so far."""
        self.state = 0
        """Grows with each change, once it is in the columns."""

    def follow(self) -> None:
        """Read the products that are new or have changed since the last time."""
        with self._following:
            n = self._catalog.n_products()
            before = self.columns.n
            if n > len(self._seen):
                self._grow(n)
            versions = np.array(self._table.columns().versions[:n])  # copied first: a later change is read next time
            changed = np.flatnonzero(versions != self._seen[: len(versions)])
            if n == before and not len(changed):
                return
            now = self._clock.now()
            for row in changed.tolist():
                self._write(row, self._catalog.product(row) or _NOTHING_KNOWN, now)
            self._seen[changed] = versions[changed]
            self.columns = self.columns._replace(n=n)
            self._changes.append((self.state + 1, np.union1d(changed, np.arange(before, n))))
            self.state += 1

    def since(self, state: int) -> Rows:
        """Return the rows that changed after a state, ascending; all of them where that is not known any more."""
        changes = [rows for number, rows in list(self._changes) if number > state]
        if len(changes) < self.state - state:
            return np.arange(self.columns.n)
        return np.unique(np.concatenate(changes)) if changes else np.empty(0, np.int64)

    def answering(self, question: Compare) -> list[int]:
        """Return the codes (of a field of one value) or numbers of words (of tags and attributes) that answer."""
        if question.field in self._vocabularies:
            return self._vocabularies[question.field].answering(question)
        found = self._words[question.field].answering(question) if question.field in self._words else []
        return sorted(self._word_numbers[question.field, code] for code in found)

    def numbers_of(self, product_ids: Sequence[Value]) -> NDArray[np.int64]:
        """Return the numbers of the products that there are."""
        numbers = [self._number(str(product_id)) for product_id in product_ids]
        return np.array([number for number in numbers if number != NO_NUMBER], np.int64)

    def _number(self, product_id: str) -> int:
        known = self._ids.get(product_id, NO_NUMBER)
        if known == NO_NUMBER:
            known = self._catalog.product_number(product_id)
            if known != NO_NUMBER:  # given for life
                if len(self._ids) >= _MOST_IDS:
                    self._ids.clear()
                self._ids[product_id] = known
        return known

    def _grow(self, n: int) -> None:
        """Make room for products; new rows are as if nothing were known of them."""
        columns, old = self.columns, len(self._seen)
        rows = max(n, 2 * old, _FEWEST_ROWS)
        bare = {field: self._code(field, _NOTHING_KNOWN, 0) for field in CODES}
        numbers = {field: _longer(columns.numbers[field], rows, np.float64, np.nan) for field in NUMBERS}
        codes = {field: _longer(columns.codes[field], rows, np.uint32, bare[field]) for field in CODES}
        starts, lengths = (_longer(each, rows, np.int64, 0) for each in columns.words[:2])
        self._seen = _longer(self._seen, rows, np.uint32, 0)
        self.columns = Columns(columns.n, numbers, codes, WordTable(starts, lengths, columns.words.words))

    def _write(self, row: int, product: Product, now: int) -> None:
        for field, column in self.columns.numbers.items():
            value = READERS[field](product, now)
            column[row] = np.nan if value is None else value
        for field, codes in self.columns.codes.items():
            codes[row] = self._code(field, product, now)
        fields = [TAGS, *(f"{ATTRIBUTE}{name}" for name in product.attributes)]
        self._put_words(row, [self._word(field, value) for field in fields for value in values_of(field, product, now)])

    def _code(self, field: str, product: Product, now: int) -> int:
        value = READERS[field](product, now)
        return 0 if value is None else self._vocabularies[field].code(value)

    def _word(self, field: str, value: Value) -> int:
        """Return the number of a word, one numbering over all fields."""
        if field not in self._words:
            self._words[field] = Vocabulary()
        key = field, self._words[field].code(value)
        return self._word_numbers.setdefault(key, len(self._word_numbers))

    def _put_words(self, row: int, words: list[int]) -> None:
        """Append the words of a row, and begin anew where most of what is there is of rows as they were."""
        table = self.columns.words
        if len(words) <= table.lengths[row]:
            at = int(table.starts[row])
        else:
            if self._used + len(words) > len(table.words):
                table = self._with_room(len(words))
            at, self._used = self._used, self._used + len(words)
        table.words[at : at + len(words)] = words
        table.starts[row] = at
        table.lengths[row] = len(words)

    def _with_room(self, more: int) -> WordTable:
        """Copy the words that are in use to a new array that has room for as many again."""
        starts, lengths, words = self.columns.words
        order = np.flatnonzero(lengths)
        kept = [words[first : first + length] for first, length in zip(starts[order], lengths[order], strict=True)]
        self._used = int(lengths.sum())
        longer = np.zeros(2 * (self._used + more) + _FEWEST_ROWS, np.uint32)
        longer[: self._used] = np.concatenate(kept) if kept else 0
        anew = np.zeros(len(starts), np.int64)
        anew[order] = np.cumsum(lengths[order]) - lengths[order]
        table = WordTable(anew, lengths.copy(), longer)
        self.columns = self.columns._replace(words=table)
        return table


_NOTHING_KNOWN = Product("")


_NO_WORDS = WordTable(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.uint32))


def _longer(array: NDArray[Any], rows: int, dtype: type[np.generic], filler: float) -> NDArray[Any]:
    longer = np.full(rows, filler, dtype)
    longer[: len(array)] = array
    return longer
