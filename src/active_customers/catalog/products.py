"""The catalogue as the API reads and changes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from active_customers.catalog.product_schema import ProductIn, as_json, refusal_of
from active_customers.core.clock import Clock
from active_customers.core.errors import (
    InvalidValueError,
    PayloadTooLargeError,
    ProductsRejectedError,
    UnknownProductError,
)
from active_customers.core.identifiers import canonical_id, json_id
from active_customers.core.json_body import json_of
from active_customers.core.product import Changed, ProductChange, ProductSearch
from active_customers.realtime.schemas import MAX_PRODUCTS
from active_customers.storage.base import CatalogStore

Change = Callable[[Sequence[ProductChange]], list[Changed]]


@dataclass(frozen=True, slots=True)
class Products:
    """Reads from the store at hand, and has changes made by whoever owns it."""

    store: CatalogStore
    change: Change
    clock: Clock

    def get(self, product_id: str, *, with_hidden: bool) -> dict[str, Any]:
        """Return a product; raises `UnknownProductError` where there is none that may be seen."""
        product = self.store.product(self.store.product_number(_id(product_id)))
        if product is None or (product.hidden and not with_hidden):
            raise _unknown(product_id)
        return as_json(product, self.clock.now())

    def page(self, search: ProductSearch, start: int, limit: int) -> dict[str, Any]:
        """Return products that are looked for, and the cursor of the next ones."""
        found, then = self.store.find_products(search, start, limit)
        now = self.clock.now()
        shown = [as_json(product, now) for product in found]
        return {"products": shown, "next_cursor": None if then is None else str(then)}

    def put(self, product_id: str, body: bytes) -> dict[str, Any]:
        """Store a product, whatever was there before; raises `InvalidValueError` naming the field."""
        return self._change_one(product_id, body, merge=False)

    def patch(self, product_id: str, body: bytes) -> dict[str, Any]:
        """Change the given fields of a product; raises as `put`, and `UnknownProductError` where there is none."""
        return self._change_one(product_id, body, merge=True)

    def delete(self, product_id: str) -> dict[str, Any]:
        """Take a product out of the catalogue; raises `UnknownProductError` where there is none."""
        return self._made(ProductChange(_id(product_id), None))

    def _change_one(self, product_id: str, body: bytes, *, merge: bool) -> dict[str, Any]:
        known, sent = _id(product_id), ProductIn.read(json_of(body))
        if sent.product_id not in (None, known):
            raise InvalidValueError("product_id", sent.product_id, f"leave it out: the address names {known!r}")
        return self._made(ProductChange(known, sent.record(), merge))

    def _made(self, change: ProductChange) -> dict[str, Any]:
        [(status, refusal)] = self.change([change])
        if refusal is not None:
            raise refusal_of(*refusal)
        if status == "unknown":
            raise _unknown(change.product_id)
        return {"product_id": json_id(change.product_id), "status": status}

    def change_many(self, body: bytes) -> dict[str, Any]:
        """Change a batch of products (see `ProductBatch`), each on its own; return what became of each.

        Raises `InvalidValueError` for what is no batch, `ProductsRejectedError` when all of it was rejected,
        `PayloadTooLargeError` for too many products.
        """
        sent, merge = _batch(json_of(body))
        read = [_read(product, place, merge) for place, product in enumerate(sent)]
        changes = [change for change in read if isinstance(change, ProductChange)]
        made = iter(self.change(changes) if changes else [])
        results = [
            _refused(sent[i], each) if isinstance(each, str) else _told(each, next(made), i)
            for i, each in enumerate(read)
        ]
        if all(result["status"] in ("rejected", "unknown") for result in results):
            raise ProductsRejectedError(results)
        return {"results": results}


def _read(product: object, place: int, merge: bool) -> ProductChange | str:
    """Return the change that a product of a batch asks for, or why it cannot be made."""
    at = f"products[{place}]."
    try:
        sent = ProductIn.read(product, at)
    except InvalidValueError as error:
        return str(error)
    if sent.product_id is None:
        return str(InvalidValueError(f"{at}product_id", None, "it is required"))
    return ProductChange(sent.product_id, sent.record(), merge)


def _refused(product: object, reason: str) -> dict[str, Any]:
    named = product.get("product_id") if isinstance(product, dict) else None
    shown = named if isinstance(named, str | int) and not isinstance(named, bool) else None
    return {"product_id": shown, "status": "rejected", "error": reason}


def _told(change: ProductChange, outcome: Changed, place: int) -> dict[str, Any]:
    result: dict[str, Any] = {"product_id": json_id(change.product_id), "status": outcome.status}
    if outcome.refusal is not None:
        field, value, remedy = outcome.refusal
        result["error"] = str(refusal_of(f"products[{place}].{field}", value, remedy))
    elif outcome.status == "unknown":
        result["error"] = str(_unknown(change.product_id))
    return result


def _batch(sent: object) -> tuple[list[Any], bool]:
    products = sent.get("products") if isinstance(sent, dict) else None
    if not isinstance(sent, dict) or not isinstance(products, list) or not products:
        raise InvalidValueError("products", products, f"send a list of 1 to {MAX_PRODUCTS} products")
    if len(products) > MAX_PRODUCTS:
        raise PayloadTooLargeError(f"a batch of {len(products)} products", f"{MAX_PRODUCTS} products")
    merge = sent.get("merge", False)
    if not isinstance(merge, bool):
        raise InvalidValueError("merge", merge, "send true or false")
    if unknown := sorted(set(sent) - {"products", "merge"}):
        raise InvalidValueError(unknown[0], sent[unknown[0]], "there is no such field; known are products, merge")
    return products, merge


def _id(product_id: str) -> str:
    try:
        return canonical_id(product_id)
    except ValueError as error:
        raise InvalidValueError("product_id", product_id, str(error)) from error


def _unknown(product_id: str) -> UnknownProductError:
    return UnknownProductError(f"there is no product {product_id!r} in the catalogue: PUT it, or check the id")
