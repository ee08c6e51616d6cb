"""The knobs of the simulated shop, each once."""

from __future__ import annotations

import math
from typing import Literal, Self, TypeVar

import numpy as np
from pydantic import ValidationInfo, field_validator, model_validator

from active_customers.core.clock import DAY, parse_time
from active_customers.core.config import Config
from active_customers.core.errors import InvalidValueError

_COUNTS = ("customers", "products", "days", "page_size")
_SHARES = (
    *("new_product_share", "stock_out_share", "anonymous_share", "one_time_share", "newcomer_share", "mobile_share"),
    *("bounce_share", "wander_share", "complement_share", "resume_share", "click_event_share", "read_on_share"),
    *("cart_rate", "wishlist_rate", "cart_remove_rate", "checkout_rate", "payment_rate", "refund_rate"),
)


class SimulatorConfig(Config):
    """What shop to make: its size, its period, and how its customers behave.

    Raises `InvalidValueError` that names the field for a value out of range. The same configuration always gives the
    same shop and, byte for byte, the same files.

    >>> SimulatorConfig(customers=10, products=5, days=1).seed
    1
    """

    customers: int = 2_000
    """How many customers come in the period; the few who leave after one page without a click leave no event."""
    products: int = 500
    """Size of the catalogue, variants and later releases included."""
    days: int = 30
    """Length of the period."""
    seed: int = 1
    """Chance: another seed is another shop."""
    end: str = "2025-06-30T00:00:00Z"
    """End of the period, an RFC 3339 time at midnight UTC; it never comes from the wall clock."""
    pictures: bool = True
    """Write a small SVG for each product; switch it off for catalogues of 100,000 products and more."""
    events_format: Literal["parquet", "jsonl"] = "parquet"
    """Parquet is imported fastest; JSONL can be posted line by line."""

    new_product_share: float = 0.1
    """Share of the catalogue that is released within the period."""
    stock_out_share: float = 0.15
    """Share of products that are out of stock once in 90 days, for two to ten days."""

    anonymous_share: float = 0.4
    """Share of customers who never log in."""
    one_time_share: float = 0.35
    """Share of customers who visit once and never again."""
    newcomer_share: float = 0.45
    """Share of customers who find the shop within the period; the others knew it before."""
    visits_per_month: float = 6.0
    """Mean visits of a returning customer in 30 days; a few come daily, most seldom."""
    lifetime_days: float = 150.0
    """Mean days until a returning customer is lost for good."""
    mobile_share: float = 0.55
    """Share of sessions on a phone."""

    page_size: int = 10
    """Products on a page that lists products."""
    pages_per_session: float = 8.0
    """Mean pages of a session that does not bounce, pages on which nothing was clicked included."""
    bounce_share: float = 0.22
    """Share of sessions that end after their first page."""
    wander_share: float = 0.1
    """Chance per page that the customer turns to something else."""
    complement_share: float = 0.5
    """Chance that something put into the cart makes the customer look for what goes with it."""
    resume_share: float = 0.3
    """Chance that a returning customer takes up the product of last time's cart or last view."""
    click_event_share: float = 0.25
    """Share of pages whose clicks the shop records as `click` before the `view`."""
    read_on_share: float = 0.9
    """Chance to read on to the next product of a page (the cascade model's continuation)."""
    click_bias: float = -3.9
    """Log-odds of a click on a product that nothing speaks for or against."""

    cart_rate: float = 0.006
    """Chance that a viewed product, neither loved nor disliked, goes into the cart."""
    wishlist_rate: float = 0.015
    """Chance that a viewed product goes onto the wish list."""
    cart_remove_rate: float = 0.1
    """Chance that something in the cart is taken out again at the end of the session."""
    checkout_rate: float = 0.5
    """Chance that a session with a cart reaches the checkout."""
    payment_rate: float = 0.6
    """Chance that a checkout ends in an order."""
    refund_rate: float = 0.05
    """Chance that an ordered product is sent back within two weeks."""

    @field_validator(*_COUNTS)
    @classmethod
    def _at_least_one(cls, value: int, info: ValidationInfo) -> int:
        return _accepted(value, info, value >= 1, "send a whole number of at least 1")

    @field_validator("seed")
    @classmethod
    def _not_negative(cls, value: int, info: ValidationInfo) -> int:
        return _accepted(value, info, value >= 0, "send a whole number of at least 0")

    @field_validator(*_SHARES)
    @classmethod
    def _share(cls, value: float, info: ValidationInfo) -> float:
        return _accepted(value, info, 0 <= value <= 1, "send a share from 0 to 1")

    @field_validator("visits_per_month", "lifetime_days", "pages_per_session")
    @classmethod
    def _positive(cls, value: float, info: ValidationInfo) -> float:
        return _accepted(value, info, 0 < value < math.inf, "send a number above 0")

    @field_validator("click_bias")
    @classmethod
    def _finite(cls, value: float, info: ValidationInfo) -> float:
        return _accepted(value, info, math.isfinite(value), "send a finite number")

    @field_validator("end")
    @classmethod
    def _midnight(cls, value: str, info: ValidationInfo) -> str:
        remedy = "send midnight UTC as an RFC 3339 time, such as 2025-06-30T00:00:00Z"
        try:
            at_midnight = parse_time(value) % DAY == 0
        except ValueError:
            at_midnight = False
        return _accepted(value, info, at_midnight, remedy)

    @model_validator(mode="after")
    def _begins_after_1970(self) -> Self:
        if self.start < HISTORY:
            remedy = "send at most as many days as lie between 1973 and the end of the period"
            raise InvalidValueError("days", self.days, remedy)
        return self

    @property
    def stop(self) -> int:
        """The end of the period in microseconds."""
        return parse_time(self.end)

    @property
    def start(self) -> int:
        """The beginning of the period in microseconds."""
        return self.stop - self.days * DAY

    def moment_of(self, day: int) -> int:
        """Return when a day of the period begins, in microseconds."""
        return self.start + day * DAY

    def rng(self, *stream: int) -> np.random.Generator:
        """Return the generator of one stream of chance: what is drawn in one never shifts what is drawn in another."""
        return np.random.default_rng([self.seed, *stream])


HISTORY = 3 * 365 * DAY
"""How far before the period the oldest products were released, in microseconds."""

T = TypeVar("T")


def _accepted(value: T, info: ValidationInfo, valid: bool, remedy: str) -> T:
    if not valid:
        raise InvalidValueError(info.field_name or "value", value, remedy)
    return value
