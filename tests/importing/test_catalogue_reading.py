"""How imports look through a catalogue: no reading of the store is held while they work."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from active_customers.core.product import Product, ProductChange
from active_customers.importing.products import available
from active_customers.storage.base import CatalogStore
from active_customers.storage.embedded import EmbeddedStore
from active_customers.storage.memory import MemoryStore

N = 5_000


@pytest.fixture(params=["embedded", "memory"])
def catalog(request, tmp_path) -> Iterator[CatalogStore]:
    if request.param == "memory":
        yield MemoryStore().catalog
        return
    store = EmbeddedStore(tmp_path / "store", writer=True).open()
    yield store.catalog
    store.close()


def test_what_changes_while_an_import_looks_through_the_catalogue_is_seen(catalog):
    """On one reading of the store it would not be, and the store could free nothing until it ends."""
    catalog.put_products([Product(str(i)) for i in range(N)])
    found = available(catalog)
    first = next(found)
    catalog.change_products(
        [ProductChange(str(N - 1), None), ProductChange(str(N - 2), {"withdrawn": True}, merge=True)]
    )
    assert [first, *found] == [str(i) for i in range(N - 2)]
