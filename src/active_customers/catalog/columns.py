"""What filters ask about, as arrays by product number: read from the catalogue once, then kept up row by row."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from active_customers.catalog.filters import ATTRIBUTE, ORDERS, READERS, Compare, Value, values_of
from active_customers.catalog.pauses import with_pauses
from active_customers.catalog.table import TableReader
from active_customers.core.clock import Clock
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.product import BELOW, Product
from active_customers.kernels.product_words import WordTable
from active_customers.storage.base import CatalogStore

NUMBERS = ("price", "stock", "released")
"""Fields that are kept as numbers; NaN where a product has none."""
CODES = ("category", "brand", "currency", "availability", "variant_group", "on_sale", "replenishable")
"""Fields of which a product has one value at most, kept as the value's code; 0 where it has none."""
TAGS = "tags"

_FEWEST_ROWS = 4_096
_FEWEST_VALUES = 16
_STATES_KEPT = 64
"""Changes that are remembered; who looks more rarely reads all rows again."""

Rows = NDArray[np.int64]


class Vocabulary:
    """Values of a field, and the code that each was given; one thread gives, while any may ask.

    Nothing is kept of a question, so that asking costs no memory; numbers are compared all at once.
    """

    def __init__(self, *, has_levels: bool = False) -> None:
        self._has_levels = has_levels
        self._codes: dict[Value, int] = {}
        self._below: dict[Value, list[int]] = {}
        self._given = np.empty(0, np.uint32)
        self._numbers = np.empty(0, np.float64)
        self._n = 0

    def __len__(self) -> int:
        return self._n

    def code(self, value: Value) -> int | None:
        """Return the code of a value, None where it has none."""
        return self._codes.get(value)

    def give(self, value: Value, code: int) -> None:
        """Give a new value a code; whoever asks meanwhile finds it wholly or not at all."""
        if self._n == len(self._given):
            rows = max(2 * self._n, _FEWEST_VALUES)
            self._given = _longer(self._given, rows, np.uint32, 0)
            self._numbers = _longer(self._numbers, rows, np.float64, np.nan)
        self._given[self._n] = code
        self._numbers[self._n] = value if isinstance(value, float) else np.nan
        if self._has_levels:
            levels = str(value).split(BELOW)
            for depth in range(1, len(levels)):
                self._below.setdefault(BELOW.join(levels[:depth]), []).append(code)
        self._n += 1
        self._codes[value] = code

    def answering(self, question: Compare) -> NDArray[np.uint32]:
        """Return the codes of all values that answer a question, ascending."""
        if question.operator in ORDERS:
            n = self._n  # read first: arrays are replaced before it grows
            found = ORDERS[question.operator](self._numbers[:n], question.values[0])
            ascending: NDArray[np.uint32] = self._given[:n][found]
            return ascending
        codes = [code for value in question.values if (code := self._codes.get(value)) is not None]
        if question.operator == "under":
            codes += self._below.get(question.values[0], ())
        return np.array(sorted(codes), np.uint32)

    def only(self, live: NDArray[np.uint32]) -> Vocabulary:
        """Return a vocabulary of the values whose codes are live (ascending), their places now being the codes."""
        kept = Vocabulary(has_levels=self._has_levels)
        codes = np.fromiter(self._codes.values(), np.uint32, len(self._codes))
        places = np.searchsorted(live, codes)
        is_live = np.append(live, 0)[places] == codes
        for value, place, stays in zip(self._codes, places.tolist(), is_live.tolist(), strict=True):
            if stays and place < len(live):
                kept.give(value, place)
        return kept


class _Named:
    """The numbers of some products that a question names, kept up as numbers are given."""

    def __init__(self) -> None:
        self.seen = -1
        self.numbers = np.empty(0, np.int64)
        self.missing: frozenset[str] = frozenset()


class Columns(NamedTuple):
    """The arrays of one moment, for products 0..n-1; rows are rewritten in place, and the next state says which.

    `vocabularies` have the codes of fields of one value, `of_words` the numbers of words, of tags and
    attributes: one numbering over all fields.
    """

    n: int
    numbers: dict[str, NDArray[np.float64]]
    codes: dict[str, NDArray[np.uint32]]
    words: WordTable
    vocabularies: Mapping[str, Vocabulary]
    of_words: dict[str, Vocabulary]

    def answering(self, question: Compare) -> NDArray[np.uint32]:
        """Return the codes or the numbers of words that answer a question, ascending."""
        vocabulary = (self.vocabularies if question.field in self.vocabularies else self.of_words).get(question.field)
        return np.empty(0, np.uint32) if vocabulary is None else vocabulary.answering(question)


class ProductColumns:
    """Keeps the columns up with the catalogue: `follow` is called by any thread, again and again; all may read.

    A product without an entry counts as one that only has its id.
    """

    def __init__(self, catalog: CatalogStore, table: TableReader, clock: Clock) -> None:
        self._catalog = catalog
        self._table = table
        self._clock = clock
        self._following = threading.Lock()
        self._named: WeakKeyDictionary[Compare, _Named] = WeakKeyDictionary()
        self._naming = threading.Lock()
        self._n_words = 0
        self._n_values = 0
        self._enough = _FEWEST_ROWS
        self._seen = np.empty(0, np.uint32)
        self._used = 0
        self._changes: deque[tuple[int, Rows]] = deque(maxlen=_STATES_KEPT)
        self.columns = Columns(
            0,
            {field: np.empty(0, np.float64) for field in NUMBERS},
            {field: np.empty(0, np.uint32) for field in CODES},
            _NO_WORDS,
            {field: Vocabulary(has_levels=field == "category") for field in CODES},
            {},
        )
        """What was read so far."""
        self.state = 0
        """Grows with each change, once it is in the columns."""
        self.is_read = False
        """Whether the whole catalogue has been read once."""

    def follow(self, *, at_once: bool = True) -> None:
        """Read the products that are new or have changed since the last time; with pauses unless `at_once`."""
        with self._following:
            self._read_changes(at_once=at_once)
            self.is_read = True

    def _read_changes(self, *, at_once: bool) -> None:
        n = self._catalog.n_products()
        before = self.columns.n
        if n > len(self._seen):
            self._grow(n)
        versions = np.array(self._table.columns().versions[:n])  # copied first: a later change is read next time
        changed = np.flatnonzero(versions != self._seen[: len(versions)])
        if n == before and not len(changed):
            return
        now = self._clock.now()
        for row in changed.tolist() if at_once else with_pauses(changed.tolist()):
            self._write(row, self._catalog.product(row) or _NOTHING_KNOWN, now)
        self._seen[changed] = versions[changed]
        if before == 0:
            self._enough = 2 * self._n_values + _FEWEST_ROWS
        elif self._n_values > self._enough:
            self._forget()
        self.columns = self.columns._replace(n=n)
        self._changes.append((self.state + 1, np.union1d(changed, np.arange(before, n))))
        self.state += 1

    def since(self, state: int) -> Rows:
        """Return the rows that changed after a state, ascending; all of them where that is not known any more."""
        changes = [rows for number, rows in list(self._changes) if number > state]
        if len(changes) < self.state - state:
            return np.arange(self.columns.n)
        return np.unique(np.concatenate(changes)) if changes else np.empty(0, np.int64)

    def numbers_of(self, named: Compare) -> NDArray[np.int64]:
        """Return the numbers of the products that a question names, ascending; those without a number are left out.

        It is kept as long as the question is. Only products whose numbers are new are looked at again.
        """
        with self._naming:
            known = self._named.setdefault(named, _Named())
            n = self.columns.n
            if known.seen < n:
                if known.seen < 0:
                    known.missing = frozenset(map(str, named.values))
                self._look_up(known, n)
            return known.numbers

    def _look_up(self, known: _Named, n: int) -> None:
        """Look for the ids that are missing among the new numbers, by whichever are fewer."""
        given = range(max(known.seen, 0), n)
        if len(given) < len(known.missing):
            found = {product_id: row for row in given if (product_id := self._catalog.product_id(row)) in known.missing}
        else:
            numbers = {product_id: self._catalog.product_number(product_id) for product_id in known.missing}
            found = {product_id: number for product_id, number in numbers.items() if number != NO_NUMBER}
        if found:
            known.numbers = np.union1d(known.numbers, np.fromiter(found.values(), np.int64, len(found)))
            known.missing = known.missing.difference(found)
        known.seen = n

    def _forget(self) -> None:
        """Make the vocabularies anew, of the values that products still have."""
        table = self._with_room(0)
        columns, codes, vocabularies = self.columns, {}, {}
        for field, column in columns.codes.items():
            live = np.union1d(column, np.zeros(1, np.uint32)).astype(np.uint32)  # 0 stays what stands for none
            codes[field] = np.searchsorted(live, column).astype(np.uint32)
            vocabularies[field] = columns.vocabularies[field].only(live)
        live = np.unique(table.words[: self._used])
        table.words[: self._used] = np.searchsorted(live, table.words[: self._used])
        of_words = {field: kept for field, words in columns.of_words.items() if len(kept := words.only(live))}
        self._n_words = len(live)
        self._n_values = sum(map(len, (*vocabularies.values(), *of_words.values())))
        self._enough = 2 * self._n_values + _FEWEST_ROWS
        self.columns = columns._replace(codes=codes, words=table, vocabularies=vocabularies, of_words=of_words)

    def _grow(self, n: int) -> None:
        """Make room for products; new rows are as if nothing were known of them."""
        columns, old = self.columns, len(self._seen)
        rows = max(n, 2 * old, _FEWEST_ROWS)
        bare = {field: self._code(field, _NOTHING_KNOWN, 0) for field in CODES}
        numbers = {field: _longer(columns.numbers[field], rows, np.float64, np.nan) for field in NUMBERS}
        codes = {field: _longer(columns.codes[field], rows, np.uint32, bare[field]) for field in CODES}
        starts, lengths = (_longer(each, rows, np.int64, 0) for each in columns.words[:2])
        self._seen = _longer(self._seen, rows, np.uint32, 0)
        words = WordTable(starts, lengths, columns.words.words)
        self.columns = columns._replace(numbers=numbers, codes=codes, words=words)

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
        if value is None:
            return 0
        vocabulary = self.columns.vocabularies[field]
        return self._given(vocabulary, value, len(vocabulary) + 1)

    def _word(self, field: str, value: Value) -> int:
        """Return the number of a word, one numbering over all fields."""
        number = self._given(self.columns.of_words.setdefault(field, Vocabulary()), value, self._n_words)
        self._n_words = max(self._n_words, number + 1)
        return number

    def _given(self, vocabulary: Vocabulary, value: Value, new: int) -> int:
        """Return the code of a value, `new` where it has none yet."""
        known = vocabulary.code(value)
        if known is None:
            vocabulary.give(value, new)
            self._n_values += 1
            return new
        return known

    def _put_words(self, row: int, words: list[int]) -> None:
        """Append the words of a row, and begin anew where most of what is there is of rows as they were."""
        table = self.columns.words
        if len(words) <= table.lengths[row]:
            at = int(table.starts[row])
        else:
            if self._used + len(words) > len(table.words):
                table = self._with_room(len(words))
                self.columns = self.columns._replace(words=table)
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
        return WordTable(anew, lengths.copy(), longer)


_NOTHING_KNOWN = Product("")


_NO_WORDS = WordTable(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.uint32))


def _longer(array: NDArray[Any], rows: int, dtype: type[np.generic], filler: float) -> NDArray[Any]:
    longer = np.full(rows, filler, dtype)
    longer[: len(array)] = array
    return longer
