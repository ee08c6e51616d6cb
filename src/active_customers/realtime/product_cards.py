"""What answers say about a product, encoded once: its id, its name, whether it is bought again and again."""

from __future__ import annotations

from typing import NamedTuple

import orjson

from active_customers.core.event import MAX_TEXT_LENGTH
from active_customers.core.identifiers import json_id
from active_customers.core.product import Product
from active_customers.realtime.answer_texts import AnswerTexts
from active_customers.storage.base import CatalogStore

_MOST_CARDS = 100_000
"""About 30 MB; those of a larger catalogue are made again when they are needed."""


class ProductCard(NamedTuple):
    """One product; without a catalogue entry it is named by its id. Both texts are JSON.

    Of a name `MAX_TEXT_LENGTH` characters are shown.
    """

    product_id: bytes
    name: bytes
    replenishable: bool
    in_catalog: bool


class Cards(dict[int, ProductCard]):
    """Cards by product number, made when they are first looked up."""

    def __init__(self, catalog: CatalogStore) -> None:
        super().__init__()
        self._catalog = catalog

    def __missing__(self, product: int) -> ProductCard:
        if len(self) >= _MOST_CARDS:
            self.clear()
        entry = self._catalog.product(product)
        shown = entry or Product(self._catalog.product_id(product) or str(product))
        card = self[product] = ProductCard(
            orjson.dumps(json_id(shown.product_id)),
            orjson.dumps((shown.name or shown.product_id)[:MAX_TEXT_LENGTH]),
            shown.replenishable,
            entry is not None,
        )
        return card


class ProductCards:
    """The cards of the catalogue as it is, and the texts made of them; both are dropped when it changes."""

    def __init__(self, catalog: CatalogStore) -> None:
        self._catalog = catalog
        self._version = -1
        self._cards = Cards(catalog)
        self.texts = self._new_texts()
        """The texts that answers are made of."""
        self.has_catalog = False
        """Whether the catalogue has any entry."""

    def refresh(self) -> None:
        """Drop the cards if the catalogue has changed; the service calls this every second.

        They are replaced, not cleared: whoever makes a card meanwhile puts it where nobody will look.
        """
        version = self._catalog.catalog_version()
        if version != self._version:
            self._cards = Cards(self._catalog)
            self.texts = self._new_texts()
            self._version = version
            self.has_catalog = next(self._catalog.products(), None) is not None

    def card(self, product: int) -> ProductCard:
        """Return the card of a product number that the store has given."""
        return self._cards[product]

    def _new_texts(self) -> AnswerTexts:
        cards = self._cards
        return AnswerTexts(lambda product: (cards[product].product_id, cards[product].name))
