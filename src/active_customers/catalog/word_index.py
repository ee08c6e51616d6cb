"""Which products a word or a category leads to: an index in memory, kept up by the versions of the table."""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from active_customers.catalog.pauses import with_pauses
from active_customers.catalog.table import TableReader
from active_customers.core.product import BELOW, Product
from active_customers.storage.base import CatalogStore

_WORD = re.compile(r"[^\W_]+")
_MOST_WORDS = 16
"""Of a query; the rest says nothing new."""
_AT_FIRST = 20_000
"""Products that the first look reads, in one go: what is worth waiting for before the first answer, about a second."""
_MOST_REWRITTEN = 2_000
"""Products with other texts than before, after which the index is made anew."""


class WordIndex:
    """Finds products by words of name, brand, category and tags, and by category path.

    Words count without case, accents and a final s. One thread may `follow` while another asks; what was renamed since
    it was read first is looked at again when it is found.
    """

    def __init__(self, catalog: CatalogStore, table: TableReader) -> None:
        self._catalog = catalog
        self._table = table
        self._read = _Read()
        self._has_begun = False
        self.is_ready = False
        """Whether the whole catalogue has been read once."""

    def follow(self) -> None:
        """Read what changed in the catalogue since the last time; the first time no more than is soon read."""
        read = self._read if len(self._read.rewritten) <= _MOST_REWRITTEN else _Read()
        versions = self._table.columns().versions.copy()
        news, is_first = read.news(versions), not self._has_begun
        for number in news[:_AT_FIRST] if is_first else with_pauses(news):
            entry = self._catalog.product(number)
            if entry is not None:  # of what was deleted nothing is shown, so that it may stay
                read.add(number, entry)
            read.note(number, versions[number])
        self._read, self._has_begun = read, True
        self.is_ready = not is_first or len(news) <= _AT_FIRST

    def find(self, query: str) -> NDArray[np.uint32]:
        """Return the products, ascending, that have all words of a query; where none has, those that have most."""
        words = sorted(set(words_of(query)))[:_MOST_WORDS]
        read = self._read
        found = [np.unique(read.numbers(word)) for word in words]  # what was renamed may stand there twice
        products, counts = np.unique(np.concatenate([np.empty(0, np.uint32), *found]), return_counts=True)
        if not len(products):
            return products
        most = counts.max()
        return self._still(products[counts == most], words, int(most))

    def in_category(self, path: str) -> NDArray[np.uint32]:
        """Return the products of a category, and of all below it."""
        key = _path_key(path.split(">"))
        return self._still(np.unique(self._read.numbers(key)), [key], 1)

    def _still(self, products: NDArray[np.uint32], keys: list[str], least: int) -> NDArray[np.uint32]:
        """Leave out what was renamed and has fewer of the keys now."""
        gone = [
            product
            for product in self._read.rewritten.intersection(products.tolist())
            if (entry := self._catalog.product(product)) is None or len(keys_of(entry).intersection(keys)) < least
        ]
        return products[~np.isin(products, gone)] if gone else products


class _Read:
    """What was read of the catalogue: the products of each key, and those that had other texts before."""

    def __init__(self) -> None:
        self._postings: dict[str, array[int]] = {}
        self._texts = np.empty(0, np.int64)
        self._versions = np.empty(0, np.uint32)
        self.rewritten: set[int] = set()

    def news(self, versions: NDArray[np.uint32]) -> list[int]:
        """Return the products whose version is another than the one that was noted, and make room for them."""
        self._versions, self._texts = _longer(self._versions, len(versions)), _longer(self._texts, len(versions))
        return np.flatnonzero(versions != self._versions[: len(versions)]).tolist()

    def note(self, number: int, version: np.uint32) -> None:
        """Take a version of a product as known, once what it says has been taken up."""
        self._versions[number] = version

    def add(self, number: int, product: Product) -> None:
        """Take up the texts of a product, unless they are known."""
        text = hash((product.name, product.brand, product.category, product.tags)) or 1
        known = int(self._texts[number])
        if known == text:
            return
        if known:
            self.rewritten.add(number)
        self._texts[number] = text
        for key in keys_of(product):
            self._postings.setdefault(key, array("I")).append(number)

    def numbers(self, key: str) -> NDArray[np.uint32]:
        """Return the products of a key, a copy: the thread that reads may make the original longer."""
        posting = self._postings.get(key)
        return np.empty(0, np.uint32) if posting is None else np.frombuffer(posting.tobytes(), np.uint32)


def _longer(values: NDArray[Any], least: int) -> NDArray[Any]:
    return np.concatenate((values, np.zeros(max(least - len(values), 0), values.dtype)))


def words_of(text: str) -> list[str]:
    """Return the words of a text as they are compared.

    >>> words_of("Crème brûlée DISHES, 2-pack")
    ['creme', 'brulee', 'dishe', '2', 'pack']
    """
    plain = unicodedata.normalize("NFKD", text).casefold()
    letters = "".join(character for character in plain if not unicodedata.combining(character))
    words: list[str] = _WORD.findall(letters)
    return [word[:-1] if len(word) > 3 and word.endswith("s") else word for word in words]


def keys_of(product: Product) -> set[str]:
    """Return the words that lead to a product, and the paths of its category and of those above."""
    said = filter(None, (product.name, product.brand, product.category, *product.tags))
    levels = product.category.split(">") if product.category else []
    return {
        *(word for text in said for word in words_of(text)),
        *(_path_key(levels[:depth]) for depth in range(1, len(levels) + 1)),
    }


def _path_key(levels: Iterable[str]) -> str:
    return "> " + BELOW.join(level.strip().casefold() for level in levels)
