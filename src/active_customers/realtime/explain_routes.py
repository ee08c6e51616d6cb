"""The route that explains an answer: the parameters of the answer, and the product in question."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, Request
from pydantic import Field, TypeAdapter, ValidationError

from active_customers.core.errors import InvalidValueError
from active_customers.realtime.access import Access, Scope
from active_customers.realtime.explain import Account, Explainer
from active_customers.realtime.hot_routes import parse_query
from active_customers.realtime.openapi import parameters_of, problems
from active_customers.realtime.schemas import Id, Query, RecommendationQuery, in_our_words

EXPLAIN = "/api/v1/explain"

_PRODUCT, _ON_PAGE = "product_id", "page_product_id"
_ID: TypeAdapter[str] = TypeAdapter(Id)


class ExplainQuery(RecommendationQuery):
    """What is to be explained: the answer to these parameters, with a look at one product."""

    product_id: Id  # type: ignore[assignment]
    """The product in question, shown or not."""
    page_product_id: Annotated[list[Id], Field(max_length=20)] = Field(default_factory=list)
    """The product on the page (repeatable): what is called `product_id` where recommendations are asked for."""


def explain_router(access: Access, explainer: Explainer) -> APIRouter:
    """Return the route that explains answers; it answers in the thread that answers do."""
    router = APIRouter()
    described: dict[str, Any] = {"parameters": parameters_of(ExplainQuery), "responses": problems()}

    @router.get(EXPLAIN, summary="Why this product, or why not?", openapi_extra=described)
    async def explain(request: Request) -> Account:
        """Return the whole account of a product in the answer that a customer would get now; needs the server scope.

        What every source says of it, what each feature adds to its score, what was applied afterwards, and, where it is
        not in the answer, why not.
        """
        access.check(request.headers.raw, Scope.SERVER)
        query, product_id = parse_explain(request.scope["query_string"])
        return explainer.account(query, product_id, explainer.languages.asked(query.lang, request.headers.raw))

    return router


def parse_explain(query_string: bytes) -> tuple[Query, str]:
    """Return the query whose answer is explained, and the product; raises `InvalidValueError` naming the parameter."""
    try:
        given = parse_qsl(query_string.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError as error:
        raise InvalidValueError("query", query_string[:60], "percent-encode text in UTF-8") from error
    products = [value for name, value in given if name == _PRODUCT]
    if len(products) != 1:
        remedy = "name the one product that is to be explained; what is on the page is `page_product_id`"
        raise InvalidValueError(_PRODUCT, products or None, remedy)
    try:
        product_id = _ID.validate_python(products[0])
    except ValidationError as error:
        message = in_our_words(error.errors(include_url=False)[0]["msg"])
        raise InvalidValueError(_PRODUCT, products[0], message) from error
    rest = [(_PRODUCT if name == _ON_PAGE else name, value) for name, value in given if name != _PRODUCT]
    return parse_query(urlencode(rest).encode()), product_id
