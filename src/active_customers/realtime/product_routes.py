"""The routes of the catalogue: ordinary FastAPI, but that bodies are read and checked here, for one kind of error."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from active_customers.catalog.product_schema import (
    ProductBatch,
    ProductIn,
    ProductOut,
    ProductPage,
    ProductQuery,
    ProductResult,
    ProductResults,
)
from active_customers.catalog.products import Products
from active_customers.realtime.access import Access, Scope
from active_customers.realtime.changing import body_of, changed
from active_customers.realtime.openapi import STORING, answering, document, taking

PRODUCTS = "/api/v1/products"
PRODUCT = PRODUCTS + "/{product_id:path}"

PRODUCT_MODELS: tuple[type[BaseModel], ...] = (
    ProductBatch,
    ProductIn,
    ProductOut,
    ProductPage,
    ProductResult,
    ProductResults,
)

_UNKNOWN = ("404", "There is no such product")
_NO_PATH = ("404", "This is the path of no product: an id has printable characters only")


def product_router(access: Access, products: Products) -> APIRouter:
    """Return the routes that read and change the catalogue."""
    router = APIRouter()
    _add_reading(router, access, products)
    _add_changing(router, access, products)
    return router


def _add_reading(router: APIRouter, access: Access, products: Products) -> None:
    def sees_hidden(request: Request) -> bool:
        return access.check(request.headers.raw, Scope.PUBLIC) >= Scope.SERVER

    @router.get(PRODUCTS, summary="Look for products", openapi_extra=answering(ProductPage))
    def page(request: Request, wanted: Annotated[ProductQuery, Query()]) -> Response:
        """Return products in the order in which they became known; public keys see none that are hidden.

        A page may be short, or empty, before the end: go on while there is a `next_cursor`.
        """
        search = wanted.search(with_hidden=sees_hidden(request))
        return document(products.page(search, int(wanted.cursor), wanted.limit))

    @router.get(PRODUCT, summary="One product", openapi_extra=answering(ProductOut, _UNKNOWN))
    def get(product_id: str, request: Request) -> Response:
        """Return what the shop said of a product, and what is true of it now."""
        return document(products.get(product_id, with_hidden=sees_hidden(request)))


def _add_changing(router: APIRouter, access: Access, products: Products) -> None:
    @router.post(PRODUCTS, summary="Many products", openapi_extra=taking(ProductBatch, ProductResults))
    async def post(request: Request) -> Response:
        """Store up to 1,000 products, or with `merge` change given fields; each is answered on its own.

        200 if any was stored, 400 if none was. When this returns the changes are on disk, and in every answer within a
        second.
        """
        return await changed(products.change_many, await body_of(request, access))

    @router.put(PRODUCT, summary="Store a product", openapi_extra=taking(ProductIn, ProductResult, _NO_PATH))
    async def put(product_id: str, request: Request) -> Response:
        """Store a product, whatever was known of it before."""
        return await changed(products.put, product_id, await body_of(request, access))

    @router.patch(PRODUCT, summary="Change a product", openapi_extra=taking(ProductIn, ProductResult, _UNKNOWN))
    async def patch(product_id: str, request: Request) -> Response:
        """Change the given fields of a product, and take away those given as null."""
        return await changed(products.patch, product_id, await body_of(request, access))

    @router.delete(PRODUCT, summary="Delete a product", openapi_extra=answering(ProductResult, _UNKNOWN, STORING[1]))
    async def delete(product_id: str, request: Request) -> Response:
        """Take a product out of the catalogue; it is proposed no more until it is stored again."""
        access.check(request.headers.raw, Scope.SERVER)
        return await changed(products.delete, product_id)
