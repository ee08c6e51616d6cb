"""The catalogue and products' numbers in LMDB."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import orjson

from active_customers.core.product import Product
from active_customers.storage.embedded.environment import Environment
from active_customers.storage.embedded.numbers import Numbers

_VERSION = b"catalog-version"


class EmbeddedCatalog:
    """`CatalogStore` on LMDB."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._entries = env.database(b"catalog")
        self.numbers = Numbers(env, b"products")

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
                number = self.numbers.number(txn, product.product_id)
                txn.put(number.to_bytes(4, "big"), orjson.dumps(product.as_dict()), db=self._entries)
                count += 1
            self._env.set_counter(txn, _VERSION, self._env.counter(txn, _VERSION) + 1)
        return count

    def product(self, number: int) -> Product | None:
        """Return a catalogue entry, or None."""
        with self._env.reading() as txn:
            record = txn.get(number.to_bytes(4, "big"), db=self._entries)
        return None if record is None else Product(**orjson.loads(record))

    def products(self) -> Iterator[tuple[int, Product]]:
        """Iterate over the catalogue by number, on one snapshot: do not linger."""
        with self._env.reading() as txn:
            for key, record in txn.cursor(db=self._entries):
                yield int.from_bytes(key, "big"), Product(**orjson.loads(record))

    def catalog_version(self) -> int:
        """Return a number that grows with every change of the catalogue."""
        with self._env.reading() as txn:
            return self._env.counter(txn, _VERSION)

    def n_products(self) -> int:
        """Return how many product numbers have been given."""
        with self._env.reading() as txn:
            return self.numbers.count(txn)
