"""The catalogue and products' numbers in LMDB."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import lmdb
import orjson

from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.product import Changed, Product, ProductChange, ProductSearch, changed
from active_customers.storage.base import FACETS, MOST_LOOKED_AT
from active_customers.storage.embedded.environment import Environment
from active_customers.storage.embedded.numbers import Numbers

_VERSION = b"catalog-version"
_DELETED = b""
"""The record of an entry that was deleted: its number is known for good, and so is that it is not to be shown."""
_ENTRIES_PER_READ = 1_000


class EmbeddedCatalog:
    """`CatalogStore` on LMDB."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._entries = env.database(b"catalog")
        self.numbers = Numbers(env, b"products")
        self._facets: dict[str, Numbers] = {}
        if env.writer:
            for facet in FACETS:
                self._numbers_of(facet)

    def number_products(self, product_ids: Sequence[str]) -> list[int]:
        """Return the numbers of products, giving new ones where needed."""
        with self._env.writing() as txn:
            return [self.numbers.number(txn, product_id) for product_id in product_ids]

    def product_number(self, product_id: str) -> int:
        """Return a product's number, or `NO_NUMBER`."""
        with self._env.reading() as txn:
            return self.numbers.find(txn, product_id)

    def product_id(self, number: int) -> str | None:
        """Return the id behind a product number, or None."""
        with self._env.reading() as txn:
            return self.numbers.text(txn, number)

    def put_products(self, products: Iterable[Product]) -> int:
        """Store catalogue entries, replacing those with the same id; return how many."""
        with self._env.writing() as txn:
            count = 0
            for product in products:
                self._put(txn, product)
                count += 1
            self._count_version(txn)
        return count

    def change_products(self, changes: Sequence[ProductChange]) -> list[Changed]:
        """Change catalogue entries in one transaction; return what became of each."""
        with self._env.writing() as txn:
            outcomes = [self._change(txn, change) for change in changes]
            self._count_version(txn)
        return outcomes

    def _change(self, txn: lmdb.Transaction, change: ProductChange) -> Changed:
        number = self.numbers.find(txn, change.product_id)
        before = None if number == NO_NUMBER else _product(txn.get(_key(number), db=self._entries))
        after, outcome = changed(before, change)
        if after is not None and after is not before:
            self._put(txn, after)
        elif after is None and before is not None:
            txn.put(_key(number), _DELETED, db=self._entries)
        return outcome

    def _put(self, txn: lmdb.Transaction, product: Product) -> None:
        key = _key(self.numbers.number(txn, product.product_id))
        txn.put(key, orjson.dumps(product.as_dict()), db=self._entries)

    def _count_version(self, txn: lmdb.Transaction) -> None:
        self._env.set_counter(txn, _VERSION, self._env.counter(txn, _VERSION) + 1)

    def product(self, number: int) -> Product | None:
        """Return a catalogue entry, or None."""
        with self._env.reading() as txn:
            return _product(txn.get(_key(number), db=self._entries))

    def deleted_products(self) -> list[int]:
        """Return the numbers whose entries were deleted, ascending."""
        return [number for number, record in self._records(0) if record == _DELETED]

    def products(self) -> Iterator[tuple[int, Product]]:
        """Iterate over the catalogue by number, on one snapshot: do not linger."""
        with self._env.reading() as txn:
            for key, record in txn.cursor(db=self._entries):
                if product := _product(record):
                    yield int.from_bytes(key, "big"), product

    def find_products(self, search: ProductSearch, start: int, limit: int) -> tuple[list[Product], int | None]:
        """Return up to `limit` entries that are looked for, from a number on, and where to go on.

        Records are looked at as text first: making products of all would take ten times as long.
        """
        words = [orjson.dumps(word).decode()[1:-1] for word in search.words]
        found: list[Product] = []
        for looked_at, (number, record) in enumerate(self._records(start)):
            if len(found) == limit or looked_at == MOST_LOOKED_AT:
                return found, number
            text = record.decode().casefold() if words else ""
            if all(word in text for word in words) and (product := _product(record)) and search.finds(product):
                found.append(product)
        return found, None

    def _records(self, start: int) -> Iterator[tuple[int, bytes]]:
        """Yield numbers and records from a number on, read a few at a time: the store bears no long reading."""
        while True:
            with self._env.reading() as txn:
                cursor = txn.cursor(db=self._entries)
                rows = list(islice(cursor, _ENTRIES_PER_READ)) if cursor.set_range(_key(start)) else []
                records = [(int.from_bytes(key, "big"), bytes(record)) for key, record in rows]
            yield from records
            if len(records) < _ENTRIES_PER_READ:
                return
            start = records[-1][0] + 1

    def facet_number(self, facet: str, value: str) -> int:
        """Return the number of a value of a facet, or `NO_NUMBER`."""
        numbers = self._numbers_of(facet)
        with self._env.reading() as txn:
            return numbers.find(txn, value)

    def number_facets(self, facet: str, values: Sequence[str]) -> list[int]:
        """Return the numbers of values of a facet, giving new ones where needed."""
        numbers = self._numbers_of(facet)
        with self._env.reading() as txn:
            found = [numbers.find(txn, value) for value in values]
        if NO_NUMBER not in found:
            return found  # as almost always: nobody waits for the writer then
        with self._env.writing() as txn:
            return [numbers.number(txn, value) for value in values]

    def _numbers_of(self, facet: str) -> Numbers:
        """Return a facet's numbering, opened when it is first needed: a store of an earlier version has none."""
        if facet not in self._facets:
            self._facets[facet] = Numbers(self._env, facet.encode())
        return self._facets[facet]

    def n_entries(self) -> int:
        """Return how many products the catalogue has."""
        return sum(record != _DELETED for _, record in self._records(0))

    def catalog_version(self) -> int:
        """Return a number that grows with every change of the catalogue."""
        with self._env.reading() as txn:
            return self._env.counter(txn, _VERSION)

    def n_products(self) -> int:
        """Return how many product numbers have been given."""
        with self._env.reading() as txn:
            return self.numbers.count(txn)


def _key(number: int) -> bytes:
    return number.to_bytes(4, "big")


def _product(record: bytes | memoryview | None) -> Product | None:
    return Product.of(orjson.loads(record)) if record else None
