"""What the catalogue says of each product, as tokens: what products with tokens in common are alike in."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from active_customers.core.product import Product

_WORD = re.compile(r"\w\w+")
_BANDS_PER_OCTAVE = 2
"""Prices of one band differ by a factor of 1.41 at most."""


class About(IntEnum):
    """What a token says of a product."""

    CATEGORY = 0
    """The beginning of its path: one token for each level."""
    BRAND = 1
    NAME = 2
    """A word of two letters or more."""
    ATTRIBUTE = 3
    """An attribute by the id that the file gives it."""
    PRICE = 4
    """The band that its price lies in, by currency."""


Token = tuple[About, str]


@dataclass(frozen=True, slots=True)
class ProductFeatures:
    """Products' tokens, row by row: those of product `p` are `tokens[offsets[p]:offsets[p + 1]]`, all distinct.

    Shapes: offsets int64[n_products + 1], tokens uint32[m], fields uint8[n_tokens]: what (`About`) each token is of.
    """

    offsets: NDArray[np.int64]
    tokens: NDArray[np.uint32]
    fields: NDArray[np.uint8]

    @property
    def n_products(self) -> int:
        """How many products there are; those that nothing is said of have no tokens."""
        return len(self.offsets) - 1

    @property
    def n_tokens(self) -> int:
        """How many different tokens there are."""
        return len(self.fields)


def features_of(described: Iterable[tuple[int, Iterable[Token]]], n_products: int) -> ProductFeatures:
    """Return the features of products by number, which may come more than once; a number beyond is an `IndexError`.

    >>> found = features_of([(2, [(About.BRAND, "oak")]), (0, [(About.BRAND, "oak"), (About.NAME, "oak")])], 3)
    >>> found.offsets.tolist(), found.tokens.tolist(), found.fields.tolist()
    ([0, 2, 2, 3], [0, 1, 0], [1, 2])
    """
    numbers: dict[Token, int] = {}
    rows: list[int] = []
    tokens: list[int] = []
    for product, said in described:
        if not 0 <= product < n_products:
            raise IndexError(f"product {product} of {n_products}")
        for token in said:
            rows.append(product)
            tokens.append(numbers.setdefault(token, len(numbers)))
    pairs = np.unique(np.array(rows, np.int64) << 32 | np.array(tokens, np.int64))
    counts = np.bincount(pairs >> 32, minlength=n_products)
    fields = np.array([field for field, _ in numbers], np.uint8)
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    return ProductFeatures(offsets, (pairs & 0xFFFFFFFF).astype(np.uint32), fields)


def tokens_of(product: Product) -> Iterator[Token]:
    """Yield what a catalogue entry says: levels of the category, brand, words of the name, price band.

    >>> [text for _, text in tokens_of(Product("7", name="Oak board", category="Kitchen > Boards", price=20.0))]
    ['kitchen', 'kitchen > boards', 'oak', 'board', ' 8']
    """
    if product.category:
        levels = [level.strip() for level in product.category.casefold().split(">")]
        yield from ((About.CATEGORY, " > ".join(levels[:depth])) for depth in range(1, len(levels) + 1))
    if product.brand:
        yield About.BRAND, product.brand.casefold()
    if product.name:
        yield from ((About.NAME, word) for word in _WORD.findall(product.name.casefold()))
    if product.price:
        band = math.floor(_BANDS_PER_OCTAVE * math.log2(product.price))
        yield About.PRICE, f"{product.currency or ''} {band}"


def token_weights(features: ProductFeatures, by_field: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return what each token of each product weighs, float32[m]: TF-IDF, each product's of length 1.

    That is `by_field[About]` times ln(products with tokens / products with this one), so that what all have in common
    weighs nothing.
    """
    counts = np.diff(features.offsets)
    products_with = np.bincount(features.tokens, minlength=features.n_tokens)
    rarity = np.log(max(int((counts > 0).sum()), 1) / np.maximum(products_with, 1)) * by_field[features.fields]
    weights = rarity[features.tokens]
    rows = np.repeat(np.arange(features.n_products), counts)
    lengths = np.sqrt(np.bincount(rows, weights**2, minlength=features.n_products))
    return (weights / np.maximum(lengths, 1e-12)[rows]).astype(np.float32)
