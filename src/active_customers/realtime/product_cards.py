"""What answers say about a product, encoded once: its id, its name, whether it is bought again and again."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from active_customers.core.identifiers import json_id
from active_customers.core.product import Product
from active_customers.storage.base import CatalogStore

_MOST_CARDS = 100_000
"""About 40 MB; a larger catalogue's cards are made again when they are needed."""


@dataclass(frozen=True, slots=True)
class ProductCard:
    """One product as JSON fragments; a product without a catalogue entry is named by its id."""

    head: bytes
    """`{"product_id":...,"product_name":"...","score":` as it begins each recommendation."""
    name: bytes
    """The name as a JSON string, without its quotes."""
    replenishable: bool
    in_catalog: bool


class ProductCards:
    """Cards by product number, made on first use and dropped when the catalogue changes."""

    def __init__(self, catalog: CatalogStore) -> None:
        self._catalog = catalog
        self._cards: dict[int, ProductCard] = {}
        self._version = -1

    def refresh(self) -> None:
        """Drop the cards if the catalogue has changed; the service calls this every second."""
        version = self._catalog.catalog_version()
        if version != self._version:
            self._cards = {}
            self._version = version

    def card(self, product: int) -> ProductCard:
        """Return the card of a product number that the store has given."""
        cards = self._cards  # a refresh meanwhile replaces them, and must not be given a card of before
        card = cards.get(product)
        if card is None:
            if len(cards) >= _MOST_CARDS:
                cards = self._cards = {}
            card = cards[product] = self._make(product)
        return card

    def _make(self, product: int) -> ProductCard:
        entry = self._catalog.product(product)
        product_id = entry.product_id if entry else self._catalog.product_id(product) or str(product)
        return _card(entry or Product(product_id), in_catalog=entry is not None)


def _card(product: Product, *, in_catalog: bool) -> ProductCard:
    name = orjson.dumps(product.name or product.product_id)
    head = b'{"product_id":%b,"product_name":%b,"score":' % (orjson.dumps(json_id(product.product_id)), name)
    return ProductCard(head, name[1:-1], product.replenishable, in_catalog)
