"""What answers say about a product, encoded once for each version of it: id, name, price, availability."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from active_customers.catalog.table import TableReader
from active_customers.core.event import MAX_TEXT_LENGTH
from active_customers.core.identifiers import NO_NUMBER, json_id
from active_customers.core.product import Product, Standing
from active_customers.kernels.answer_rows import Versions
from active_customers.realtime.answer_texts import AnswerTexts, Told
from active_customers.realtime.languages import Languages
from active_customers.storage.base import CatalogStore

_MOST_CARDS = 100_000
"""About 30 MB; those of a larger catalogue are made again when they are needed."""

_UNNAMED = b'"a product"'
"""The name of a product that nobody is to see."""


class ProductCard(NamedTuple):
    """One product in one version; without a catalogue entry it is named by its id.

    Of a name `MAX_TEXT_LENGTH` characters are shown.
    """

    version: int
    told: Told


class ProductCards:
    """The cards of the catalogue as it is now, and the texts made of them: a change counts from the next answer on.

    Without a table products never change.
    """

    def __init__(
        self, catalog: CatalogStore, table: TableReader | None = None, languages: Languages | None = None
    ) -> None:
        self._catalog = catalog
        self.table = table or TableReader()
        """What is true of products at the moment."""
        self._cards: dict[int, ProductCard] = {}
        self.texts = AnswerTexts(lambda product: self.card(product).told, self._versions, languages)
        """The texts that answers are made of."""

    @property
    def standing(self) -> NDArray[np.uint8]:
        """The `Standing` of each product at this moment."""
        return self.table.columns().standing

    def prices_of(self, products: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return what products cost at this moment, NaN where nobody told."""
        table = self.table.columns()
        prices = np.full(len(products), np.nan)
        known = products < len(table.prices)
        known[known] = table.standing[products[known]] != Standing.UNKNOWN
        prices[known] = table.prices[products[known]]
        return prices

    def with_variants(self, products: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Return product numbers with those of all other variants of these products."""
        table = self.table.columns()
        known = products[products < len(table.groups)]
        groups = table.groups[known[table.standing[known] != Standing.UNKNOWN]]
        groups = groups[groups != NO_NUMBER]
        if not len(groups):
            return products
        variants = np.isin(table.groups, groups) & (table.standing != Standing.UNKNOWN)
        return np.concatenate((products, np.flatnonzero(variants).astype(np.uint32)))

    def _versions(self) -> Versions:
        return self.table.columns().versions

    def card(self, product: int) -> ProductCard:
        """Return the card of a product number that the store has given."""
        versions = self._versions()
        version = int(versions[product]) if product < len(versions) else 0
        card = self._cards.get(product)
        if card is None or card.version != version:
            if len(self._cards) >= _MOST_CARDS:
                self._cards.clear()
            card = self._cards[product] = self._made(product, version)
        return card

    def _made(self, product: int, version: int) -> ProductCard:
        entry = self._catalog.product(product)
        shown = entry or Product(self._catalog.product_id(product) or str(product))
        name = orjson.dumps((shown.name or shown.product_id)[:MAX_TEXT_LENGTH])
        table = self.table.columns()
        standing = table.standing[product] if product < len(table.standing) else Standing.UNKNOWN
        is_hidden = standing in (Standing.HIDDEN, Standing.DELETED)
        if is_hidden:
            name = _UNNAMED
        price = math.nan if standing == Standing.UNKNOWN else float(table.prices[product])
        told = Told(orjson.dumps(json_id(shown.product_id)), name, _facts(shown, price), not is_hidden)
        return ProductCard(version, told)


def _facts(product: Product, price: float) -> bytes:
    """Return what is known of price and availability as members of a JSON object, each after a comma."""
    known = {
        "price": None if math.isnan(price) else price,
        "currency": None if math.isnan(price) else product.currency,
        "availability": product.told_availability,
    }
    given = {name: value for name, value in known.items() if value is not None}
    return b"," + orjson.dumps(given)[1:-1] if given else b""
