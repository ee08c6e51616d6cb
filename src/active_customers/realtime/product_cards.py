"""What answers say about a product, encoded once: its id, its name, whether it is bought again and again."""

from __future__ import annotations

from typing import NamedTuple

import orjson

from active_customers.core.identifiers import json_id
from active_customers.core.product import Product
from active_customers.storage.base import CatalogStore

_MOST_CARDS = 100_000
"""About 40 MB; a larger catalogue's cards are made again when they are needed."""


class ProductCard(NamedTuple):
    """One product as JSON fragments; a product without a catalogue entry is named by its id."""

    head: bytes
    """`{"product_id":...,"product_name":"...","score":` as it begins each recommendation."""
    name: bytes
    """The name as a JSON string, without its quotes."""
    replenishable: bool
    in_catalog: bool


class _Cards(dict[int, ProductCard]):
    """Cards by product number, made when they are first looked up."""

    def __init__(self, catalog: CatalogStore) -> None:
        super().__init__()
        self._catalog = catalog

    def __missing__(self, product: int) -> ProductCard:
        if len(self) >= _MOST_CARDS:
            self.clear()
        entry = self._catalog.product(product)
        shown = entry or Product(self._catalog.product_id(product) or str(product))
        card = self[product] = _card(shown, in_catalog=entry is not None)
        return card


class ProductCards:
    """The cards of the catalogue as it is; they are dropped when it changes."""

    def __init__(self, catalog: CatalogStore) -> None:
        self._catalog = catalog
        self._cards = _Cards(catalog)
        self._version = -1
        self.has_catalog = False
        """Whether the catalogue has any entry."""

    def refresh(self) -> None:
        """Drop the cards if the catalogue has changed; the service calls this every second.

        They are replaced, not cleared: whoever makes a card meanwhile puts it where nobody will look.
        """
        version = self._catalog.catalog_version()
        if version != self._version:
            self._cards = _Cards(self._catalog)
            self._version = version
            self.has_catalog = next(self._catalog.products(), None) is not None

    def card(self, product: int) -> ProductCard:
        """Return the card of a product number that the store has given."""
        return self._cards[product]


def _card(product: Product, *, in_catalog: bool) -> ProductCard:
    name = orjson.dumps(product.name or product.product_id)
    head = b'{"product_id":%b,"product_name":%b,"score":' % (orjson.dumps(json_id(product.product_id)), name)
    return ProductCard(head, name[1:-1], product.replenishable, in_catalog)
