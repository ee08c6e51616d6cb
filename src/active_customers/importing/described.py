"""Files of products as evaluation reads them: what `import-products` reads, and plain tables of attributes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from active_customers.evaluation.described import DescribedProducts
from active_customers.evaluation.interactions import Source
from active_customers.importing.preset import preset_named
from active_customers.importing.products import read_products
from active_customers.importing.readers import read_batches, reader_for
from active_customers.importing.source import Wanted
from active_customers.importing.values import text_of
from active_customers.models.product_features import About, Token, tokens_of

_ID, _ATTRIBUTES = "item_id", "attribute_ids"
_ELEMENT = re.compile(r"[^\s,;\[\]\"']+")


def read_described(paths: Sequence[Path], preset: str | None = None) -> DescribedProducts:
    """Read what files say of products; what cannot be read of a row is passed over.

    A table with the columns `item_id` and `attribute_ids` (a list, or text divided by spaces or commas) is read as it
    is; others as `import-products` does, by the preset if that knows products, else as native. Raises
    `InvalidValueError` for a file that is neither.
    """
    described = [pair for path in paths for pair in _described(path, preset)]
    ids = np.array([product_id for product_id, _ in described], np.str_)
    return DescribedProducts(ids, [tokens for _, tokens in described], tuple(Source.of(path) for path in paths))


def _described(path: Path, preset: str | None) -> Iterator[tuple[str, list[Token]]]:
    if {_ID, _ATTRIBUTES} <= set(reader_for(path).column_names(path)):
        yield from _plain(path)
        return
    knows_products = preset is not None and preset_named(preset).products is not None
    for product in read_products([path], preset if knows_products else None):
        yield product.product_id, list(tokens_of(product))


def _plain(path: Path) -> Iterator[tuple[str, list[Token]]]:
    for batch in read_batches(path, Wanted((_ID, _ATTRIBUTES), frozenset({_ATTRIBUTES}))):
        ids, attributes = text_of(batch.columns[_ID]).to_pylist(), batch.columns[_ATTRIBUTES].to_pylist()
        for product_id, said in zip(ids, attributes, strict=True):
            if product_id is not None:
                yield product_id, [(About.ATTRIBUTE, text) for text in _elements(said)]


def _elements(said: object) -> list[str]:
    if isinstance(said, list):
        return [str(element) for element in said if element is not None]
    return [] if said is None else _ELEMENT.findall(str(said))
