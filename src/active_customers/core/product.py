"""Products as the shop describes them, how a change makes one of another, and what is true of one at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import IntEnum
from typing import Any, Literal, NamedTuple, Self, get_args

from active_customers.core.errors import InvalidValueError

BELOW = " > "
"""What joins the levels of a category path."""

Availability = Literal["in_stock", "out_of_stock", "preorder", "backorder"]
"""What a shop can say of a product's availability; the last two can be ordered with nothing in stock."""
AVAILABILITIES: tuple[str, ...] = get_args(Availability)
IN_STOCK, OUT_OF_STOCK, PREORDER, BACKORDER = AVAILABILITIES

# Limits of a product's fields, the same whether it is posted or imported.
TEXT_LENGTHS: Mapping[str, int] = {
    "name": 500,
    "description": 20_000,
    "category": 500,
    "brand": 500,
    "url": 2_000,
    "image": 2_000,
}
"""Characters of texts, by field."""
MAX_PRICE = 1e12
MAX_STOCK = 10**9
MAX_TAGS = 100
"""Of a product, and of the texts of one attribute."""
MAX_ATTRIBUTES = 200
MAX_WORD_LENGTH = 100
"""Characters of a tag, and of an attribute's name."""
CURRENCY = "^[A-Z]{3}$"
"""ISO 4217, as a regular expression."""

Attribute = str | int | float | bool | list[str]


class Standing(IntEnum):
    """Whether a product may be shown; the number is what answers go by: up to `OPEN` it may."""

    UNKNOWN = 0
    """The catalogue has no entry, which forbids nothing."""
    OPEN = 1
    SOLD_OUT = 2
    HIDDEN = 3
    """The shop hides it."""
    NOT_YET = 4
    """Its release lies ahead, and it cannot be ordered before."""
    DELETED = 5
    """It was in the catalogue."""


@dataclass(frozen=True, slots=True)
class Product:
    """A catalogue entry. Only the id is required; a product without a name is shown by its id.

    Times are microseconds since the epoch.
    """

    product_id: str
    name: str | None = None
    description: str | None = None
    category: str | None = None
    """Path from the root, levels joined by " > "."""
    brand: str | None = None
    price: float | None = None
    currency: str | None = None
    url: str | None = None
    image: str | None = None
    variant_group: str | None = None
    replenishable: bool = False
    """Bought again and again (coffee, not a sofa): stays recommendable after a purchase."""
    released: int | None = None
    """First day of sale."""
    sale_price: float | None = None
    """What it costs from `sale_from` until before `sale_until`; without a limit it holds on that side for ever."""
    sale_from: int | None = None
    sale_until: int | None = None
    stock: int | None = None
    """Pieces in stock; None where nobody counts them."""
    availability: str | None = None
    """One of `AVAILABILITIES`; None is in stock as long as `stock` is not 0."""
    tags: tuple[str, ...] = ()
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    """Anything else that tells products apart: colour, size, material."""
    hidden: bool = False
    """Never shown, and read by the shop's own servers only."""
    withdrawn: bool = False
    """A full feed lacked it: sold out until a feed has it again, or the shop tells of its stock or availability."""

    def as_dict(self) -> dict[str, Any]:
        """Return the fields that are set, for storage and JSON."""
        return {name: value for name, value in asdict(self).items() if _is_set(value)}

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        """Return the product behind what `as_dict` gave; a field that is missing or None is not set."""
        given = {name: value for name, value in record.items() if value is not None}
        if "tags" in given:
            given["tags"] = tuple(given["tags"])
        return cls(**given)

    def check(self) -> Self:
        """Return itself if its fields agree with each other; raises `InvalidValueError` for the one that does not."""
        if self.sale_price is not None:
            if self.price is None:
                raise InvalidValueError("sale_price", self.sale_price, "give the `price` that it is lower than")
            if self.sale_price > self.price:
                raise InvalidValueError("sale_price", self.sale_price, f"it is at most the price, {self.price}")
        if self.sale_from is not None and self.sale_until is not None and self.sale_until <= self.sale_from:
            raise InvalidValueError("sale_until", self.sale_until, "it lies after `sale_from`")
        return self

    def price_at(self, now: int) -> float | None:
        """Return what it costs at a time."""
        if self.sale_price is None or now < (self.sale_from or 0):
            return self.price
        return self.sale_price if self.sale_until is None or now < self.sale_until else self.price

    def standing_at(self, now: int) -> Standing:
        """Return whether it may be shown at a time; stock of 0 sells out whatever `availability` says of stock."""
        if self.hidden:
            return Standing.HIDDEN
        if self.withdrawn:
            return Standing.SOLD_OUT
        if self.availability == PREORDER:
            return Standing.OPEN
        if self.released is not None and now < self.released:
            return Standing.NOT_YET
        if self.availability == BACKORDER:
            return Standing.OPEN
        is_sold_out = self.availability == OUT_OF_STOCK or self.stock == 0
        return Standing.SOLD_OUT if is_sold_out else Standing.OPEN

    @property
    def told_availability(self) -> str | None:
        """What customers are told: one of `AVAILABILITIES`, or None where the shop said nothing of it."""
        if self.withdrawn or (self.stock == 0 and self.availability not in (PREORDER, BACKORDER)):
            return OUT_OF_STOCK
        return IN_STOCK if self.stock and self.availability in (None, BACKORDER) else self.availability

    def changes_after(self, now: int) -> int | None:
        """Return the next time at which its price or standing changes by itself, or None."""
        moments = (self.sale_from, self.sale_until, self.released)
        return min((moment for moment in moments if moment is not None and moment > now), default=None)


def _is_set(value: object) -> bool:
    return value is not None and value is not False and value not in ((), {})


FIELDS = tuple(each.name for each in fields(Product) if each.name != "withdrawn")
"""What a shop says of a product."""
_TELLS_OF_STOCK = frozenset({"stock", "availability"})


class ProductChange(NamedTuple):
    """What is to become of one product: `fields` replace its entry, or are merged into it; None deletes it.

    In a merge None takes a field away. Fields are as `Product.as_dict` gives them.
    """

    product_id: str
    fields: Mapping[str, Any] | None
    merge: bool = False


class Changed(NamedTuple):
    """What became of a product: `status` is created, replaced, updated, deleted, unknown or rejected.

    `refusal` is (field, value, remedy) where it was rejected; then, and where it is unknown, nothing changed.
    """

    status: str
    refusal: tuple[str, Any, str] | None = None


def changed(before: Product | None, change: ProductChange) -> tuple[Product | None, Changed]:
    """Return the entry after a change, and what became of it; `before` is None where the catalogue has none."""
    if change.fields is None:
        return None, Changed("unknown" if before is None else "deleted")
    if change.merge and before is None:
        return None, Changed("unknown")
    kept = before.as_dict() if change.merge and before is not None else {}
    if not _TELLS_OF_STOCK.isdisjoint(change.fields):
        kept.pop("withdrawn", None)
    try:
        after = Product.of({**kept, **change.fields, "product_id": change.product_id}).check()
    except InvalidValueError as error:
        return before, Changed("rejected", (error.field, error.value, error.remedy))
    if before is None:
        return after, Changed("created")
    return after, Changed("updated" if change.merge else "replaced")


class ProductSearch(NamedTuple):
    """Which products are looked for: all words (case-folded) in id, name, brand or category, and what else is given.

    `category` is a path, whose sub-categories count.
    """

    words: tuple[str, ...] = ()
    category: str | None = None
    brand: str | None = None
    with_hidden: bool = True

    def finds(self, product: Product) -> bool:
        """Tell whether a product is among them."""
        if product.hidden and not self.with_hidden:
            return False
        if self.brand is not None and self.brand.casefold() != (product.brand or "").casefold():
            return False
        if self.category is not None:
            own, path = (product.category or "").casefold(), self.category.casefold()
            if own != path and not own.startswith(f"{path}{BELOW}"):
                return False
        named = " ".join(filter(None, (product.product_id, product.name, product.brand, product.category))).casefold()
        return all(word in named for word in self.words)
