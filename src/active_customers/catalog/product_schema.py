"""Products as they are posted and read: checked by Pydantic, and the same in the OpenAPI document."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from active_customers.core.clock import format_time, parse_time
from active_customers.core.errors import InvalidValueError
from active_customers.core.identifiers import json_id
from active_customers.core.product import (
    AVAILABILITIES,
    BELOW,
    CURRENCY,
    MAX_ATTRIBUTES,
    MAX_PRICE,
    MAX_STOCK,
    MAX_TAGS,
    MAX_WORD_LENGTH,
    TEXT_LENGTHS,
    Availability,
    Product,
    ProductSearch,
    Standing,
)
from active_customers.realtime.schemas import MAX_PRODUCTS, Id, first_error

_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*):")
_TIMES = ("released", "sale_from", "sale_until")

TIME_REMEDY = "send a day such as 2025-01-01, or an RFC 3339 time with its zone, from 1970 on"
URL_REMEDY = "send an address that begins with http:// or https://, or a path of the shop"


def path_of(category: str, divider: str = ">") -> str:
    """Return the path of a category with one spelling; empty levels are left out.

    >>> path_of("Home>Kitchen  > Boards")
    'Home > Kitchen > Boards'
    """
    return BELOW.join(filter(None, (level.strip() for level in category.split(divider))))


def is_address(text: str) -> bool:
    """Tell whether a page may link to a text: a web address or a path, and no script.

    >>> is_address("https://shop.example/1"), is_address("img/1.png"), is_address("javascript:alert(1)")
    (True, True, False)
    """
    scheme = _SCHEME.match(text)
    return text.isprintable() and (scheme is None or scheme[1].lower() in ("http", "https"))


def _category(value: object) -> object:
    levels = [str(level) if isinstance(level, str) else "" for level in (value if isinstance(value, list) else [value])]
    path = path_of(BELOW.join(levels))
    if "" in levels or not path:
        raise PydanticCustomError("category", 'send a path such as "Kitchen > Boards", or a list of its levels')
    return path


def _time(value: object) -> int:
    try:
        if isinstance(value, str):
            return parse_time(f"{value}T00:00:00Z" if _DAY.fullmatch(value) else value)
    except (ValueError, OverflowError):
        pass
    raise PydanticCustomError("time", TIME_REMEDY)


def _address(value: object) -> object:
    if isinstance(value, str) and is_address(value):
        return value
    raise PydanticCustomError("address", URL_REMEDY)


def _attribute(value: object) -> object:
    if isinstance(value, list) and len(value) <= MAX_TAGS and all(isinstance(each, str) for each in value):
        return value
    if isinstance(value, str | int | float):
        return value
    raise PydanticCustomError("attribute", "send a text, a number, true, false or a list of texts")


Time = Annotated[int, BeforeValidator(_time), WithJsonSchema({"type": "string", "format": "date-time"})]
Money = Annotated[float, Field(ge=0, le=MAX_PRICE, allow_inf_nan=False, strict=True)]
Address = Annotated[str, BeforeValidator(_address), StringConstraints(min_length=1, max_length=TEXT_LENGTHS["url"])]
Name = Annotated[str, StringConstraints(min_length=1, max_length=TEXT_LENGTHS["name"], strict=True)]
Long = Annotated[str, StringConstraints(min_length=1, max_length=TEXT_LENGTHS["description"], strict=True)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=MAX_WORD_LENGTH, strict=True)]
Switch = Annotated[bool, Field(strict=True)]
Path = Annotated[
    str,
    BeforeValidator(_category),
    StringConstraints(max_length=TEXT_LENGTHS["category"]),
    WithJsonSchema({"type": "string", "examples": ["Kitchen > Boards"]}),
]
AttributeIn = Annotated[
    str | int | float | bool | list[str],
    BeforeValidator(_attribute),
    WithJsonSchema(
        {"anyOf": [{"type": ["string", "number", "boolean"]}, {"type": "array", "items": {"type": "string"}}]}
    ),
]


class ProductIn(BaseModel):
    """What a shop says of a product. A field that is null is not set."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    product_id: Id | None = None
    """The shop's id of it; where the address names it, it need not be repeated."""
    name: Name | None = None
    """What it is called; without a name it is shown by its id."""
    description: Long | None = None
    """What is told of it."""
    brand: Name | None = None
    """Who makes it."""
    category: Path | None = None
    """Path from the root, levels joined by " > "; a list of levels will do."""
    price: Money | None = None
    """Price of one, in `currency`."""
    sale_price: Money | None = None
    """What it costs while it is on sale, at most the price."""
    sale_from: Time | None = None
    """Beginning of the sale; without one it has begun."""
    sale_until: Time | None = None
    """End of the sale; without one it goes on."""
    currency: Annotated[str, StringConstraints(pattern=CURRENCY, strict=True)] | None = None
    """ISO 4217 code, such as EUR."""
    stock: Annotated[int, Field(ge=0, le=MAX_STOCK, strict=True)] | None = None
    """Pieces in stock; at 0 it is not proposed, unless it can be ordered all the same."""
    availability: Availability | None = None
    """in_stock, out_of_stock, preorder (before its release) or backorder (without stock)."""
    variant_group: Id | None = None
    """What joins the sizes and colours of one product."""
    url: Address | None = None
    """Its page."""
    image: Address | None = None
    """Its picture."""
    tags: Annotated[list[Word], Field(max_length=MAX_TAGS)] | None = None
    """Words that rules can go by."""
    attributes: Annotated[dict[Word, AttributeIn], Field(max_length=MAX_ATTRIBUTES)] | None = None
    """Anything else that tells products apart: colour, size, material."""
    released: Time | None = None
    """First day of sale; before it only what can be ordered (`preorder`) is proposed."""
    replenishable: Switch | None = None
    """Bought again and again, so that it stays recommendable after a purchase."""
    hidden: Switch | None = None
    """Never proposed, and read with a server key only."""

    def record(self) -> dict[str, Any]:
        """Return the given fields as `Product.as_dict` has them, None for those that were sent as null."""
        return {name: getattr(self, name) for name in self.model_fields_set if name != "product_id"}

    @classmethod
    def read(cls, sent: object, at: str = "") -> Self:
        """Return what was sent as a product; raises `InvalidValueError` naming the field below `at`."""
        try:
            return cls.model_validate(sent)
        except ValidationError as error:
            raise first_error(error, cls, at) from error


class ProductQuery(BaseModel):
    """Which products are looked for, and where in the list to begin."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    q: Annotated[str, StringConstraints(max_length=200)] = ""
    """Words in id, name, brand or category."""
    category: Annotated[str, StringConstraints(max_length=500)] | None = None
    """A path; what is below it counts."""
    brand: Annotated[str, StringConstraints(max_length=500)] | None = None
    """The name of a brand, in any case."""
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    """Products in one page, at most."""
    cursor: Annotated[str, StringConstraints(pattern="^[0-9]{1,9}$")] = "0"
    """`next_cursor` of the page before."""

    def search(self, *, with_hidden: bool) -> ProductSearch:
        """Return what is looked for."""
        category = None if self.category is None else path_of(self.category)
        return ProductSearch(tuple(self.q.casefold().split()), category, self.brand, with_hidden)


class ProductBatch(BaseModel):
    """Several products; each is answered on its own, and a bad one costs none of the others."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    products: list[ProductIn] = Field(min_length=1, max_length=MAX_PRODUCTS)
    merge: bool = False
    """Whether given fields are changed (PATCH) or whole products replaced (PUT)."""


class ProductResult(BaseModel):
    """What became of one product."""

    product_id: int | str | None
    status: Literal["created", "replaced", "updated", "deleted", "unknown", "rejected"]
    error: str | None = None


class ProductResults(BaseModel):
    """What became of each product, in the order posted."""

    results: list[ProductResult]


class CurrentFacts(BaseModel):
    """What is true of a product at the moment."""

    price: float | None = None
    availability: Availability | None = None
    shown: bool
    """Whether it may be proposed."""
    withdrawn: bool | None = None
    """Whether a full feed lacked it, so that it is sold out whatever else is said of it; left out where not."""


class ProductOut(BaseModel):
    """A product as the shop described it: the fields of `ProductIn` that are set, and what is true at the moment."""

    model_config = ConfigDict(extra="allow")

    product_id: int | str
    current: CurrentFacts


class ProductPage(BaseModel):
    """Some products, and where the next ones are."""

    products: list[ProductOut]
    next_cursor: str | None
    """`cursor` of the next page; null at the end."""


def as_json(product: Product, now: int) -> dict[str, Any]:
    """Return a product as `ProductOut`."""
    shown = product.as_dict() | {"product_id": json_id(product.product_id)}
    withdrawn = shown.pop("withdrawn", None)
    if product.variant_group is not None:
        shown["variant_group"] = json_id(product.variant_group)
    shown |= {name: format_time(shown[name]) for name in _TIMES if name in shown}
    standing = product.standing_at(now)
    told = {"price": product.price_at(now), "availability": product.told_availability, "withdrawn": withdrawn}
    current = {name: value for name, value in told.items() if value is not None}
    return {**shown, "current": {**current, "shown": standing == Standing.OPEN}}


def refusal_of(field: str, value: object, remedy: str) -> InvalidValueError:
    """Return the error behind a refusal of the store; times are told as they were sent."""
    return InvalidValueError(field, format_time(value) if field in _TIMES and isinstance(value, int) else value, remedy)


def known_availability(word: str) -> str | None:
    """Return the availability behind a word of a feed, or None where nobody knows it.

    >>> known_availability("In Stock"), known_availability("https://schema.org/OutOfStock"), known_availability("?")
    ('in_stock', 'out_of_stock', None)
    """
    plain = re.sub(r"[\s_-]", "", word.rpartition("/")[2].lower())
    return {each.replace("_", ""): each for each in AVAILABILITIES}.get(plain)
